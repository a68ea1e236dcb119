"""A submission's source: from an upload, a file, a folder or a zip to checked, canonical files.

Everything a contestant sends passes here before it is stored, and again before it is built.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from judge.archive import (
    Limits,
    check_count,
    check_paths,
    check_size,
    digest,
    ignored,
    looks_like_zip,
    read_zip,
    strip_top_folder,
)
from judge.errors import SubmissionError
from judge.hints import did_you_mean, shorten
from judge.verdict import Language, Mode
from judge.wire import SourceFile

MAX_FILES = 64
_DIRECTIVE_LINES = 20
_FOLDERS = 1000  # visited below a given folder before we say it cannot be a submission
_SUFFIXES = {
    Language.PYTHON: (".py",),
    Language.CPP: (".cpp", ".cc", ".cxx"),
}
_MARKERS = {Language.PYTHON: "#!OPJUDGE", Language.CPP: "//!OPJUDGE"}
_DIRECTIVES: Mapping[str, frozenset[str] | None] = {
    "problem": None,
    "device": None,
    "arrays": frozenset({"torch", "numpy"}),
    "mode": frozenset(Mode),
    "language": frozenset(Language),
}


@dataclass(frozen=True)
class Source:
    """A submission that is well formed; whether it compiles or runs is another question.

    Attributes:
        files: sorted by path.
        entry: the path that is loaded (Python) or that directives come from (C++, which builds
            every source file).
        directives: `key=value` pairs from the head of the entry.
        hash: sha256 in hex of language, entry and files; the name of a lone file does not count.
    """

    files: tuple[SourceFile, ...]
    language: Language
    entry: str
    directives: Mapping[str, str]
    hash: str


def parse_upload(
    filename: str, data: bytes, *, limit_bytes: int, language: Language | None = None
) -> Source:
    """Reads one uploaded file: a source file, or a zip whatever it is called.

    Args:
        filename: as the browser sent it; folders in it are dropped.
        limit_bytes: of all source files together.
        language: what the contestant says it is; needed only where the files leave it open.

    Raises:
        SubmissionError: see `from_files`, and `judge.archive.read_zip` for archives.
    """
    if not data:
        raise SubmissionError(f"the file {shorten(filename)!r} is empty", code="empty-submission")
    if looks_like_zip(data) or filename.lower().endswith(".zip"):
        limits = Limits(total_bytes=limit_bytes, files=MAX_FILES)
        files = strip_top_folder(read_zip(data, limits, SubmissionError))
    else:
        files = {re.split(r"[/\\]", filename)[-1]: data}
    return _from_contents(files, limit_bytes, language)


def read_source(path: Path, *, limit_bytes: int, language: Language | None = None) -> Source:
    """Reads a source file, a folder or a zip on disk.

    Raises:
        SubmissionError: `no-such-file`, `unreadable`, `symlink` or `special-file` inside a folder,
            and everything `parse_upload` raises.
    """
    try:
        if path.is_dir():
            return _from_contents(_read_folder(path, limit_bytes), limit_bytes, language)
        return parse_upload(
            path.name, _read_file(path, limit_bytes), limit_bytes=limit_bytes, language=language
        )
    except FileNotFoundError as error:
        raise SubmissionError(f"there is no file {str(path)!r}", code="no-such-file") from error
    except OSError as error:
        raise SubmissionError(
            f"cannot read {str(path)!r}: {error.strerror}", code="unreadable"
        ) from error


def from_files(
    files: Iterable[SourceFile],
    *,
    limit_bytes: int | None = None,
    language: Language | None = None,
) -> Source:
    """Checks files and finds out what they are. `from_files(s.files, language=s.language)` is `s`.

    Raises:
        SubmissionError: `empty-submission`, `too-large`, `too-many-files`, `unsafe-path`,
            `duplicate-name`, `not-utf8`, `no-entry`, `mixed-languages`, `unknown-language`,
            `language-mismatch` or `bad-directive`.
    """
    given = tuple(files)
    check_paths((f.path for f in given), SubmissionError)
    kept = tuple(sorted((f for f in given if not ignored(f.path)), key=lambda f: f.path))
    if not kept:
        raise SubmissionError(
            "there is no file in it (hidden files and __pycache__ are ignored)",
            code="empty-submission",
        )
    check_count(len(kept), MAX_FILES, SubmissionError)
    if limit_bytes is not None:
        check_size(sum(len(f.content) for f in kept), limit_bytes, SubmissionError)
    texts = {f.path: _text(f) for f in kept}
    spoken = language or _language(texts)
    entry = _entry(texts, spoken)
    if not texts[entry].strip():
        raise SubmissionError(f"{entry} is empty", code="empty-submission")
    directives = _directives(entry, texts[entry], spoken)
    return Source(kept, spoken, entry, MappingProxyType(directives), _hash(kept, spoken, entry))


def _from_contents(
    contents: Mapping[str, bytes], limit_bytes: int, language: Language | None
) -> Source:
    files = [SourceFile(path=path, content=content) for path, content in contents.items()]
    return from_files(files, limit_bytes=limit_bytes, language=language)


def _hash(files: tuple[SourceFile, ...], language: Language, entry: str) -> str:
    if len(files) == 1:
        return digest({"": files[0].content}, language)
    return digest({f.path: f.content for f in files}, language, entry)


# --- reading ------------------------------------------------------------------------------


def _read_file(path: Path, limit_bytes: int) -> bytes:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise SubmissionError(f"{str(path)!r} is not a plain file", code="special-file")
    if path.suffix.lower() != ".zip":  # an archive's own size says little; read_zip bounds it
        check_size(info.st_size, limit_bytes, SubmissionError)
    # One byte more than can be right, in case the file grows or is an endless one.
    with path.open("rb") as stream:
        return stream.read(max(info.st_size, limit_bytes) + 1)


def _read_folder(folder: Path, limit_bytes: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = limit_bytes
    for path in _walk(folder):
        relative = path.relative_to(folder).as_posix()
        try:
            files[relative] = _read_file(path, left)
        except SubmissionError as error:
            if error.code != "too-large":
                raise
            raise SubmissionError(
                f"{str(folder)!r} is too large, the limit is {limit_bytes} bytes", code="too-large"
            ) from error
        left -= len(files[relative])
        check_count(len(files), MAX_FILES, SubmissionError)
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, litter left out, in no order."""
    waiting, visited = [folder], 0
    while waiting:
        visited += 1
        check_count(visited, _FOLDERS, SubmissionError)
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if ignored(entry.name):
                    continue
                if entry.is_symlink():
                    raise SubmissionError(
                        f"{entry.path!r} is a symbolic link; put the file itself there",
                        code="symlink",
                    )
                if entry.is_dir():
                    waiting.append(Path(entry.path))
                else:
                    yield Path(entry.path)


# --- understanding ------------------------------------------------------------------------


def _text(file: SourceFile) -> str:
    if b"\0" in file.content:
        raise SubmissionError(
            f"{file.path} is binary; a submission is source text, built on the judge",
            code="not-utf8",
        )
    try:
        return file.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SubmissionError(
            f"{file.path} is not UTF-8 text (byte {error.start}); save it as UTF-8",
            code="not-utf8",
        ) from error


def _sources(paths: Iterable[str], language: Language) -> list[str]:
    return [p for p in paths if PurePosixPath(p).suffix.lower() in _SUFFIXES[language]]


def _language(paths: Iterable[str]) -> Language:
    paths = list(paths)
    found = [language for language in Language if _sources(paths, language)]
    if len(found) > 1:
        raise SubmissionError(
            "both Python and C++ sources are in it; say which one to run (language)",
            code="mixed-languages",
        )
    if found:
        return found[0]
    known = ", ".join(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    if len(paths) == 1:
        raise SubmissionError(
            f"{paths[0]!r} is in no language known here; file names end in {known}",
            code="unknown-language",
        )
    raise SubmissionError(f"there is no source file ({known}) in it", code="no-entry")


def _entry(paths: Iterable[str], language: Language) -> str:
    paths = sorted(paths)
    sources = _sources(paths, language)
    if not sources:
        raise SubmissionError(
            f"there is no {language} source in it ({', '.join(_SUFFIXES[language])})",
            code="language-mismatch",
        )
    named = [p for p in sources if PurePosixPath(p).stem == "solution" and "/" not in p]
    if named or len(sources) == 1 or language is Language.CPP:
        return (named or sources)[0]
    raise SubmissionError(
        f"which of {', '.join(sources[:5])} is it? Call the file with `solve` solution.py",
        code="no-entry",
    )


def _directives(path: str, text: str, language: Language) -> dict[str, str]:
    found: dict[str, str] = {}
    marker = _MARKERS[language]
    for number, line in enumerate(text.splitlines()[:_DIRECTIVE_LINES], 1):
        words = line.split()
        if not words or words[0] != marker:
            continue
        for word in words[1:]:
            key, fault = _directive_fault(word, found)
            if fault:
                raise SubmissionError(f"{path}:{number}: {fault}", code="bad-directive")
            found[key] = word.partition("=")[2]
    if found.get("language", language) != language:
        raise SubmissionError(
            f"{path} says language={found['language']}, but it is {language}",
            code="language-mismatch",
        )
    return found


def _directive_fault(word: str, found: Mapping[str, str]) -> tuple[str, str | None]:
    """The key of a directive, and what is wrong with it."""
    key, equals, value = word.partition("=")
    if not equals or not value:
        return key, f"`{shorten(word)}` is not of the form key=value"
    if key not in _DIRECTIVES:
        return key, f"unknown directive `{shorten(key)}`{did_you_mean(key, _DIRECTIVES)}"
    allowed = _DIRECTIVES[key]
    if allowed is not None and value not in allowed:
        return key, f"`{key}` cannot be `{shorten(value)}`{did_you_mean(value, allowed)}"
    if found.get(key, value) != value:
        return key, f"`{key}` is set twice, to {shorten(found[key])} and to {shorten(value)}"
    return key, None
