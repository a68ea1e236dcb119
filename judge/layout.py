"""What a problem package looks like on disk: which files, and what the Python ones must define."""

import ast
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from judge.archive import Limits, check_count, check_size, ignored, path_fault
from judge.errors import ProblemError
from judge.hints import did_you_mean

PACKAGE_LIMITS = Limits(total_bytes=64 << 20, files=1000)
LANGUAGES = ("en", "zh")

CERTIFICATE = "certificate.json"
"""Vouches for a package and is no part of it: its hash does not cover it, nobody is sent it."""

_FILES = ("problem.yaml", "reference.py", "baseline.py", CERTIFICATE)
_FOLDERS = ("statement", "submissions", "attachments")
_STATEMENTS = tuple(f"problem.{language}.md" for language in LANGUAGES)


def read_tree(root: Path) -> dict[str, bytes]:
    """Everything in a package but submissions/ and the certificate, relative path to content.

    Litter is left out.

    Raises:
        ProblemError: not a folder, symbolic links or special files anywhere, unknown or misspelt
            names, unsafe names, too much.
    """
    if root.is_symlink() or not root.is_dir():
        raise ProblemError(f"{root} is not a folder (symbolic links are not followed)")
    try:
        with os.scandir(root) as entries:
            _check_top(root.name, entries)
        found = dict(_walk(root))
        check_count(len(found), PACKAGE_LIMITS.files, ProblemError)
        wanted = {
            path: info
            for path, info in found.items()
            if path != CERTIFICATE and not path.startswith("submissions/")
        }
        total = sum(info.st_size for info in wanted.values())
        check_size(total, PACKAGE_LIMITS.total_bytes, ProblemError)
        return {path: (root / path).read_bytes() for path in sorted(wanted)}
    except OSError as error:
        raise ProblemError(
            f"{root.name}: cannot read {error.filename}: {error.strerror}"
        ) from error


def read_statements(slug: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """Language to markdown. Raises ProblemError on unknown names and without an English one."""
    texts: dict[str, str] = {}
    for path in files:
        folder, _, name = path.partition("/")
        if folder != "statement":
            continue
        if name not in _STATEMENTS:
            hint = did_you_mean(name, _STATEMENTS)
            raise ProblemError(f"{slug}/{path}: unknown file{hint} (pictures go to attachments/)")
        texts[name.split(".")[1]] = read_text(slug, path, files)
    if not texts.get("en", "").strip():
        raise ProblemError(f"{slug}/statement/problem.en.md is missing or empty; write it")
    return texts


def read_text(slug: str, path: str, files: Mapping[str, bytes]) -> str:
    """A file as text. Raises ProblemError if it is missing or not UTF-8."""
    if path not in files:
        raise ProblemError(f"{slug}/{path} is missing")
    try:
        return files[path].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProblemError(f"{slug}/{path}: not UTF-8 text (byte {error.start})") from error


def check_function(
    place: str, source: str, name: str, parameters: Sequence[str], *, optional: bool = False
) -> None:
    """Checks, without running it, that a source defines a function with the right arity.

    Args:
        place: of the file, for messages.
        parameters: names it should take by position; only their number is binding.
        optional: it may as well not be defined.

    Raises:
        ProblemError: it does not parse, does not define the function, or takes other arguments.
    """
    wanted = f"def {name}({', '.join(parameters)}):"
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ProblemError(f"{place}:{error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a NUL byte; absurd nesting
        raise ProblemError(f"{place}: cannot be parsed: {error}") from error
    defined = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    if not defined and optional:
        return
    if not defined:
        raise ProblemError(f"{place}: does not define `{name}`; add `{wanted}`")
    function = defined[-1]
    if not _accepts(function.args, len(parameters)):
        raise ProblemError(
            f"{place}:{function.lineno}: `{name}` must take {len(parameters)} arguments "
            f"by position; write `{wanted}`"
        )


def _accepts(arguments: ast.arguments, count: int) -> bool:
    most = len(arguments.posonlyargs) + len(arguments.args)
    least = most - len(arguments.defaults)
    if any(default is None for default in arguments.kw_defaults):
        return False
    return least <= count and (count <= most or arguments.vararg is not None)


def _check_top(slug: str, entries: Iterable[os.DirEntry[str]]) -> None:
    for entry in entries:
        if ignored(entry.name):
            continue
        folder = entry.is_dir(follow_symlinks=False)
        known = _FOLDERS if folder else _FILES
        if entry.name not in known:
            kind = "folder" if folder else "file"
            raise ProblemError(
                f"{slug}/{entry.name}: unknown {kind}{did_you_mean(entry.name, known)}"
            )


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Plain files below a package with their status, litter left out."""
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if ignored(entry.name):
                    continue
                path = Path(entry.path).relative_to(root).as_posix()
                if fault := path_fault(path):
                    raise ProblemError(f"{root.name}: the file name {path[:80]!r} {fault}")
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    waiting.append(Path(entry.path))
                elif stat.S_ISREG(info.st_mode):
                    yield path, info
                else:
                    link = stat.S_ISLNK(info.st_mode)
                    kind = "a symbolic link; copy the file here" if link else "not a plain file"
                    raise ProblemError(f"{root.name}/{path} is {kind}")
