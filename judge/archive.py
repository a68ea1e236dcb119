"""Zip files from strangers, read without trust; our own, written byte for byte alike every time.

Everything stays in memory: nothing here touches the disk, so a hostile name has nothing to hit.
"""

import hashlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from judge.errors import ProblemError, SubmissionError

Raised = type[SubmissionError] | type[ProblemError]

NAME_CHARACTERS = 200
_COMPONENT_BYTES = 255  # what file systems allow; a longer name could be checked but not written
_DIRECTORY_BYTES = 1 << 20  # of a zip's central directory: some 20 000 entries before we look
_OVERHEAD_BYTES = 64 << 10  # headers of a small archive beyond the files themselves
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_END_OF_DIRECTORY = b"PK\x05\x06"

# What `zipfile` raises on damaged or made-up input, found by fuzzing it.
_CORRUPT = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    struct.error,
    ValueError,
)


@dataclass(frozen=True)
class Limits:
    """How much may come out of an archive: bytes of all files together, and number of files."""

    total_bytes: int
    files: int


def looks_like_zip(data: bytes) -> bool:
    """Whether the bytes begin like a zip file, whatever the name says."""
    return data.startswith(_MAGIC)


def ignored(path: str) -> bool:
    """Whether a path is litter of editors and operating systems, never part of the content."""
    return any(p.startswith(".") or p in ("__pycache__", "__MACOSX") for p in path.split("/"))


def path_fault(path: str) -> str | None:
    """What makes a relative path unsafe to write below a folder, or None."""
    if not path:
        return "is empty"
    if len(path) > NAME_CHARACTERS:
        return f"has {len(path)} characters, the limit is {NAME_CHARACTERS}"
    if not path.isprintable():
        return "contains control or invisible characters"
    if "\\" in path:
        return "contains a backslash; use forward slashes"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is absolute"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "contains `..`, `.` or an empty component"
    if any(len(part.encode()) > _COMPONENT_BYTES for part in path.split("/")):
        return f"has a component of more than {_COMPONENT_BYTES} bytes"
    return None


def check_paths(paths: Iterable[str], error: Raised) -> None:
    """Refuses unsafe paths, a path that comes twice, and a file that is also a folder.

    Raises:
        error: `unsafe-path` or `duplicate-name`.
    """
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        if fault := path_fault(path):
            raise error(f"the file name {path[:80]!r} {fault}", code="unsafe-path")
        if path in seen:
            raise error(f"the file {path!r} is there twice", code="duplicate-name")
        seen.add(path)
        folders.update(path[:i] for i, character in enumerate(path) if character == "/")
    for path in sorted(seen & folders):
        raise error(f"{path!r} is both a file and a folder", code="duplicate-name")


def check_size(size_bytes: int, limit_bytes: int, error: Raised) -> None:
    """Raises `error` with code `too-large` if the size is over the limit."""
    if size_bytes > limit_bytes:
        raise error(
            f"{size_bytes} bytes are too much, the limit is {limit_bytes} bytes", code="too-large"
        )


def check_count(count: int, limit: int, error: Raised) -> None:
    """Raises `error` with code `too-many-files` if there are more files than allowed."""
    if count > limit:
        raise error(f"{count} files are too many, the limit is {limit}", code="too-many-files")


def read_zip(data: bytes, limits: Limits, error: Raised) -> dict[str, bytes]:
    """The files of an archive, path to content; litter is left out.

    Raises:
        error: `corrupt-archive`, `encrypted-archive`, `unsafe-path`, `duplicate-name`, `symlink`,
            `special-file`, `too-large` or `too-many-files`. Sizes are checked as declared before
            anything is decompressed, and again while decompressing.
    """
    check_size(len(data), limits.total_bytes + _OVERHEAD_BYTES, error)
    _check_directory(data, error)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, limits, error)
            return {info.filename: _content(archive, info) for info in members}
    except _CORRUPT as cause:
        raise error(f"the zip file is damaged: {cause}", code="corrupt-archive") from cause


def strip_top_folder(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files without the one folder they are all in, if there is one."""
    tops = {path.partition("/")[0] for path in files if "/" in path}
    if len(tops) != 1 or not all("/" in path for path in files):
        return dict(files)
    return {path.partition("/")[2]: content for path, content in files.items()}


def write_zip(files: Mapping[str, bytes]) -> bytes:
    """A canonical archive: sorted, fixed dates, stored (deflate differs between zlib versions)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, files[path])
    return buffer.getvalue()


def digest(files: Mapping[str, bytes], *labels: str) -> str:
    """sha256 in hex over labels and files; lengths go in, so that no two inputs run together."""
    state = hashlib.sha256()
    parts = [b"%d" % len(labels), *(label.encode() for label in labels)]
    for path in sorted(files):
        parts += [path.encode(), files[path]]
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()


def _check_directory(data: bytes, error: Raised) -> None:
    """Bounds the central directory: `zipfile` makes an object per entry before we can count."""
    at = data.rfind(_END_OF_DIRECTORY)
    if at < 0 or len(data) < at + 22:
        raise error("the zip file is damaged: it has no directory", code="corrupt-archive")
    (size,) = struct.unpack_from("<I", data, at + 12)
    if size > _DIRECTORY_BYTES:
        raise error("the zip file lists too many files", code="too-many-files")


def _members(archive: zipfile.ZipFile, limits: Limits, error: Raised) -> list[zipfile.ZipInfo]:
    """The entries to read, after every check that needs no decompression."""
    entries = archive.infolist()
    for info in entries:
        _check_entry(info, error)
    files = [info for info in entries if not info.is_dir()]
    check_paths((info.filename for info in files), error)
    kept = [info for info in files if not ignored(info.filename)]
    check_count(len(kept), limits.files, error)
    check_size(sum(info.file_size for info in kept), limits.total_bytes, error)
    return kept


def _check_entry(info: zipfile.ZipInfo, error: Raised) -> None:
    # `filename` is cut at a NUL by zipfile; `orig_filename` is what the archive really says.
    name = info.orig_filename
    if fault := path_fault(name.removesuffix("/")):
        raise error(f"the file name {name[:80]!r} {fault}", code="unsafe-path")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise error(f"{name!r} is a symbolic link; put the file itself in", code="symlink")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise error(f"{name!r} is not a plain file", code="special-file")
    if info.flag_bits & 0x1:
        raise error(
            "the zip file is encrypted; send it without a password", code="encrypted-archive"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise error(
            f"{name!r} is compressed in an unusual way; use plain zip (deflate)",
            code="corrupt-archive",
        )


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        content = stream.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename!r} is not as long as declared")
    return content
