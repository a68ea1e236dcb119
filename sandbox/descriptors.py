"""Bytes in and bytes out by file descriptor: the host never opens a path a contestant can write."""

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from sandbox.base import SandboxError

_FOLDER_MODE = 0o777  # in a sandbox's own place, for its only user
_OPENAT2 = 437  # the same number on every architecture
# RESOLVE_NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def memory_file(name: str, data: bytes = b"") -> int:
    """A close-on-exec memory file that holds `data`, positioned at its start. The caller closes."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def read_at_most(fd: int, size_bytes: int) -> bytes:
    """The first `size_bytes` of a file, wherever its position is."""
    chunks: list[bytes] = []
    offset = 0
    while offset < size_bytes:
        chunk = os.pread(fd, min(size_bytes - offset, 1 << 20), offset)
        if not chunk:
            break
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)


def open_directory(path: str) -> int:
    """Open a directory that no contestant could have replaced. The caller closes."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def lay_out(directory: int, files: Mapping[str, bytes]) -> None:
    """Put files into a work directory where nothing runs yet that could interfere.

    Raises SandboxError if they do not fit, ValueError for a name that leads elsewhere.
    """
    try:
        for name, data in files.items():
            for folder in reversed(Path(safe_name(name)).parents[:-1]):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=directory)
                os.chmod(folder, _FOLDER_MODE, dir_fd=directory)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(name, flags, 0o644, dir_fd=directory), "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(data)
    except OSError as error:
        raise SandboxError(f"the files do not fit into the work directory: {error}") from error


def safe_name(name: str) -> str:
    """A relative file name without ``..``, empty parts or NUL. Raises ValueError otherwise."""
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"not a plain relative file name: {name!r}")
    return name


def open_beneath(directory: int, name: str) -> int:
    """Open a file under a directory for reading; no link of any kind is followed.

    Raises OSError where the file is missing, unreadable, or reached through a link; SandboxError
    where the kernel has no openat2 (before 5.6).
    """
    # NONBLOCK: a FIFO put in the file's place must not hang us before we can see what it is.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
    how = _OpenHow(flags, 0, _RESOLVE)
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(
        _OPENAT2, directory, os.fsencode(name), ctypes.byref(how), ctypes.sizeof(how)
    )
    if fd >= 0:
        return fd
    code = ctypes.get_errno()
    if code == errno.ENOSYS:
        raise SandboxError("this kernel has no openat2: Linux 5.6 or newer is needed")
    raise OSError(code, os.strerror(code), name)


def collect(directory: int, names: Iterable[str], limit_bytes: int) -> dict[str, bytes]:
    """Regular files of at most `limit_bytes` under a directory; anything else is left out.

    Call only when nothing that could still change the files is alive.
    """
    found: dict[str, bytes] = {}
    for name in names:
        try:
            fd = open_beneath(directory, safe_name(name))
        except OSError:
            continue
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and status.st_size <= limit_bytes:
                found[name] = read_at_most(fd, status.st_size)
        finally:
            os.close(fd)
    return found
