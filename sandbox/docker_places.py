"""The places of a container that can be written: the host's, in memory, shown inside by binds.

One file system under /work, /tmp and /dev/shm, so that a single quota and a single count of files
cover everything written, whatever the engine's runtime; and a small one for the two outputs. The
host makes them before anything runs inside and holds them by descriptor; nothing here follows a
path that the program could have made.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox import jail
from sandbox.base import SandboxError
from sandbox.descriptors import open_directory
from sandbox.docker_engine import is_orphan, owner
from sandbox.limits import Limits

OUTPUTS = f"{jail.HARNESS_ROOT}/out"
"""Where the two outputs are seen inside."""

WRITABLE: Mapping[str, str] = {jail.WORK: "work", "/tmp": "tmp", "/dev/shm": "shm"}  # noqa: S108
"""Where a program can write, by the directory of the one file system that is shown there."""

ROOTS_HOME = "/root"
"""Private to root in an image, but Python may lie beneath it: then it is covered by another."""

_HOME = Path("/run/opjudge")
_FILES, _OUTPUTS = "files", "outputs"
_MODES = {"work": 0o777, "tmp": 0o1777, "shm": 0o1777, "root": 0o755}
_PAGE_BYTES = 4096
_NOSUID, _NODEV, _NOEXEC, _REMOUNT, _DETACH = 2, 4, 8, 32, 2  # mount(2), umount2(2)


class Folder:
    """A host directory for one container, which nobody but root can enter.

    Attributes:
        name: unlike any other on this host.
        owner: who it belongs to, as in `sandbox.docker_engine.owner`.
    """

    def __init__(self, home: Path = _HOME) -> None:
        self.name = f"opjudge-{os.getpid()}-{secrets.token_hex(8)}"
        self.owner = owner(os.getpid())
        self.path = home / self.name
        self.path.mkdir(mode=0o700, parents=True)
        (self.path / "owner").write_text(self.owner)

    def close(self) -> None:
        """Remove it; a forked child may have done so before."""
        shutil.rmtree(self.path, ignore_errors=True)


def sweep(home: Path = _HOME) -> None:
    """Remove the directories of workers that are gone, and what they have left mounted."""
    for label in home.glob("*/owner"):
        with contextlib.suppress(OSError):
            if is_orphan(label.read_text()):
                for name in (_FILES, _OUTPUTS):
                    with contextlib.suppress(OSError):
                        _unmount(label.parent / name)
                shutil.rmtree(label.parent)


class Places:
    """Made for one container. Raises SandboxError where this process may not mount.

    Args:
        folder: a host directory that nobody else can enter.

    Attributes:
        work: descriptor of the work directory.
        stdout, stderr: descriptors of the files that are the program's outputs.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._files, self._outputs = folder / _FILES, folder / _OUTPUTS
        with contextlib.ExitStack() as undo:
            for path, flags in ((self._files, 0), (self._outputs, _NOEXEC)):
                path.mkdir()
                _mount(path, flags, _size(path == self._files, limits))
                undo.callback(_unmount, path)
            for name, mode in _MODES.items():
                (self._files / name).mkdir()
                (self._files / name).chmod(mode)
            for name in ("stdout", "stderr"):
                # For the program, which is another user; nobody else can enter the folder.
                (self._outputs / name).touch()
                (self._outputs / name).chmod(0o666)
            undo.pop_all()
        self.work = open_directory(str(self._files / "work"))
        flags = os.O_RDONLY | os.O_CLOEXEC
        self.stdout, self.stderr = (
            os.open(self._outputs / name, flags) for name in ("stdout", "stderr")
        )

    def resize(self, limits: Limits) -> None:
        """Have the quota of other limits from now on."""
        for path, flags in ((self._files, 0), (self._outputs, _NOEXEC)):
            _mount(path, flags | _REMOUNT, _size(path == self._files, limits))

    def full(self) -> bool:
        """Whether no byte or no file more fits in."""
        found = os.fstatvfs(self.work)
        return found.f_bfree == 0 or found.f_ffree == 0

    def check_seen(self, root: str) -> None:
        """Raise SandboxError if the container with that root directory sees something else."""
        if not os.path.samestat(os.stat(root + jail.WORK), os.fstat(self.work)):
            raise SandboxError(
                "the Docker engine does not see what the worker mounts: run both in the same "
                "mount namespace (no PrivateTmp=, ProtectSystem= and the like for either)"
            )

    def close(self) -> None:
        """Close every descriptor."""
        for fd in (self.work, self.stdout, self.stderr):
            os.close(fd)

    def remove(self) -> None:
        """Unmount; what was in there is gone."""
        for path in (self._files, self._outputs):
            # A forked child may have been here first.
            with contextlib.suppress(FileNotFoundError):
                _unmount(path)


def written(folder: Path, root: bool) -> Iterator[tuple[Path, str]]:
    """Where what can be written lies and where it is seen inside.

    Args:
        folder: the container's.
        root: whether something has to lie under /root.
    """
    for inside, name in WRITABLE.items():
        yield folder / _FILES / name, inside
    if root:
        yield folder / _FILES / "root", ROOTS_HOME
    yield folder / _OUTPUTS, OUTPUTS


def _size(files: bool, limits: Limits) -> str:
    if files:
        return f"size={limits.file_bytes},nr_inodes={limits.inodes},mode=0755"
    # One page more than is allowed, so that too much can be told from just enough.
    return f"size={2 * (limits.output_bytes + 2 * _PAGE_BYTES)},nr_inodes=8,mode=0755"


def _mount(path: Path, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(
        b"opjudge", os.fsencode(path), b"tmpfs", flags | _NOSUID | _NODEV, options.encode()
    ):
        code = ctypes.get_errno()
        raise SandboxError(
            f"cannot mount a file system in {path}: {os.strerror(code)}; "
            "the docker back end needs a worker that is root and may mount"
        )


def _unmount(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), _DETACH):
        raise OSError(ctypes.get_errno(), "umount2", str(path))
