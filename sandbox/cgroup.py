"""Control groups: what a process tree uses, and what it may not exceed (versions 1 and 2).

Only directories below this process's own group are made, so limits set on us from outside still
hold for what we start. Where nothing is writable there is no group, and the caller has to poll.
"""

import contextlib
import errno
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from sandbox.limits import Limits

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_PREFIX = "opjudge-"
_ASIDE = "opjudge.self"
_V1 = ("memory", "pids", "cpuacct")


def _read_int(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _read_key(path: Path, key: str) -> int:
    """The number after `key` in a file of ``key value`` lines; 0 where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(w[1]) for w in map(str.split, lines) if len(w) == 2 and w[0] == key), 0)


class Group(ABC):
    """The control group of one sandbox."""

    version: str

    def __init__(self, directories: list[Path]) -> None:
        self.directories = directories

    def add(self, pid: int) -> None:
        """Put a process in the group; what it starts later follows. Raises OSError."""
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(pid))

    @abstractmethod
    def set_limits(self, limits: Limits) -> None:
        """Write the limits. Raises OSError."""

    @abstractmethod
    def memory_kills(self) -> int:
        """Processes killed for want of memory."""

    @abstractmethod
    def refused_processes(self) -> int:
        """Processes and threads that were not created because of the limit."""

    @abstractmethod
    def peak_bytes(self) -> int:
        """Highest memory use seen."""

    @abstractmethod
    def cpu_s(self) -> float:
        """CPU seconds of the whole tree, dead processes included; 0 where not accounted."""

    def close(self, timeout_s: float = 5.0) -> bool:
        """Remove the group; False if something in it would not go away in time."""
        deadline = time.monotonic() + timeout_s
        for directory in self.directories:
            while not _remove(directory):
                if time.monotonic() > deadline:
                    return False
                # The kernel lets go of an exited task a moment after its exit is reported, and
                # version 1 has nothing to wait on.
                time.sleep(0.001)
        return True


def _remove(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


class GroupV1(Group):
    """Directories in the memory, pids and, if there, cpuacct hierarchies."""

    version = "v1"

    def __init__(self, memory: Path, pids: Path, cpuacct: Path | None) -> None:
        super().__init__([d for d in (memory, pids, cpuacct) if d is not None])
        self._memory, self._pids, self._cpuacct = memory, pids, cpuacct

    def set_limits(self, limits: Limits) -> None:
        (self._memory / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
        with_swap = self._memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists():
            with_swap.write_text(str(limits.memory_bytes))
        (self._pids / "pids.max").write_text(str(limits.processes))

    def memory_kills(self) -> int:
        return _read_key(self._memory / "memory.oom_control", "oom_kill")

    def refused_processes(self) -> int:
        return _read_key(self._pids / "pids.events", "max")

    def peak_bytes(self) -> int:
        return _read_int(self._memory / "memory.max_usage_in_bytes")

    def cpu_s(self) -> float:
        return _read_int(self._cpuacct / "cpuacct.usage") / 1e9 if self._cpuacct else 0.0


class GroupV2(Group):
    """One directory in the unified hierarchy."""

    version = "v2"

    def __init__(self, directory: Path) -> None:
        super().__init__([directory])
        self._directory = directory

    def set_limits(self, limits: Limits) -> None:
        (self._directory / "memory.max").write_text(str(limits.memory_bytes))
        with_swap = self._directory / "memory.swap.max"
        if with_swap.exists():
            with_swap.write_text("0")
        (self._directory / "memory.oom.group").write_text("1")
        (self._directory / "pids.max").write_text(str(limits.processes))

    def memory_kills(self) -> int:
        return _read_key(self._directory / "memory.events", "oom_kill")

    def refused_processes(self) -> int:
        return _read_key(self._directory / "pids.events", "max")

    def peak_bytes(self) -> int:
        return _read_int(self._directory / "memory.peak")

    def cpu_s(self) -> float:
        return _read_key(self._directory / "cpu.stat", "usage_usec") / 1e6


def own_groups(text: str) -> dict[str, str]:
    """``/proc/self/cgroup`` as controller -> path; version 2 is the controller ``""``."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def create(limits: Limits, root: Path = ROOT, own: Path = OWN) -> Group | None:
    """A new group with these limits, or None where this process may not make one."""
    try:
        groups = own_groups(own.read_text())
    except OSError:
        return None
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    group = _create_v1(groups, root, name) or _create_v2(groups, root, name)
    if group is None:
        return None
    try:
        group.set_limits(limits)
    except OSError:
        group.close()
        return None
    return group


def _make(parent: Path, name: str) -> Path | None:
    _sweep(parent)
    try:
        (parent / name).mkdir()
    except OSError:
        return None
    return parent / name


def _sweep(parent: Path) -> None:
    """Remove empty groups whose maker is dead: a worker killed outright cannot tidy up."""
    for maker, group in _made_in(parent):
        if not Path("/proc", str(maker)).exists():
            with contextlib.suppress(OSError):
                group.rmdir()


def _made_in(parent: Path) -> Iterator[tuple[int, Path]]:
    for group in parent.glob(f"{_PREFIX}*-*"):
        maker = group.name.removeprefix(_PREFIX).split("-")[0]
        if maker.isdigit():
            yield int(maker), group


def existing(root: Path = ROOT, own: Path = OWN) -> list[tuple[int, Path]]:
    """The groups that are there, made where this process makes its own; with their makers' pids."""
    try:
        groups = own_groups(own.read_text())
    except OSError:
        return []
    parents = [_parent_v1(groups, root, name) for name in _V1]
    return [found for parent in (*parents, _parent_v2(groups, root)) for found in _made_in(parent)]


def _parent_v1(groups: dict[str, str], root: Path, controller: str) -> Path:
    hierarchy = root / controller
    # In a container the path may be the host's; then the hierarchy's top is our own group.
    inside = hierarchy / groups.get(controller, "/").lstrip("/")
    return inside if inside.is_dir() else hierarchy


def _parent_v2(groups: dict[str, str], root: Path) -> Path:
    own = root / groups.get("", "/").lstrip("/")
    # Where this process has moved itself aside, groups are made beside it, not below.
    return own.parent if own.name == _ASIDE else own


def _create_v1(groups: dict[str, str], root: Path, name: str) -> GroupV1 | None:
    made: dict[str, Path | None] = {}
    for controller in _V1:
        parent = _parent_v1(groups, root, controller)
        made[controller] = _make(parent, name) if (parent / "cgroup.procs").exists() else None
    memory, pids = made["memory"], made["pids"]
    if memory is None or pids is None:
        for directory in made.values():
            if directory is not None:
                directory.rmdir()
        return None
    return GroupV1(memory, pids, made["cpuacct"])


def _create_v2(groups: dict[str, str], root: Path, name: str) -> GroupV2 | None:
    base = _parent_v2(groups, root)
    if not (base / "cgroup.subtree_control").exists() or not _delegate(base):
        return None
    directory = _make(base, name)
    return None if directory is None else GroupV2(directory)


def _delegate(base: Path) -> bool:
    """Let groups under `base` have memory and pids limits; move ourselves aside if we must.

    The kernel forbids processes beside limited groups, so this process moves to a leaf of its own.
    Processes that are not ours are never moved: with any of them there, there is no group.
    """
    wanted = {"memory", "pids"}
    try:
        if not wanted <= set((base / "cgroup.controllers").read_text().split()):
            return False
        control = base / "cgroup.subtree_control"
        if wanted <= set(control.read_text().split()):
            return True
        try:
            control.write_text("+memory +pids")
        except OSError as error:
            if error.errno != errno.EBUSY:
                return False
            leaf = base / _ASIDE
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text(str(os.getpid()))
            control.write_text("+memory +pids")
    except OSError:
        return False
    return True
