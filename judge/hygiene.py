"""After each judging the machine must be as it was before, or the worker judges no more.

What a judging leaves behind (a process, a control group, shared memory, an open port, memory that
does not come back) may take time from the next one, or talk to it. So the worker looks before and
after. What is still there after a short grace puts it in quarantine: a file in its folder says
what was found, and no worker starts there until somebody has seen to it and removed the file.

The process that judges looks *before* it hands the result in: a result measured on a machine that
is not clean does not count, whatever it is; the judgement is given back and judged elsewhere.

Only what is the worker's own counts, so that neighbours cannot trigger it: what belongs to its tree
of processes (to which orphans return, see `judge.processes.adopt_orphans`), what carries a process
id of that tree in its name, and shared memory of the user that only programs in sandboxes run as.
Free memory of the machine is anybody's; of memory, what counts is what the worker itself holds
while it is idle.
"""

import contextlib
import os
import re
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from judge.errors import InfrastructureError
from sandbox import cgroup
from sandbox.identity import NOBODY
from sandbox.process import stat_fields

GRACE_S = 2.0
LEAK_BYTES = 512 << 20
_AGAIN_S = 0.05
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, never written
_GATES = Path("/run/opjudge")
_START_FIELD = 19  # in /proc/<pid>/stat, counted from the state as 0
_NUMBER = re.compile(r"\[\d+\]")
_WORD = re.compile(r"\d+")
_MOST_TOLD = 256

Traces = dict[str, str]
"""What is there: by an identity that does not change, in words for a person."""


class Quarantined(InfrastructureError):
    """The worker must not judge: something was left behind."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose traces are looked for.

    Attributes:
        worker: the process id of the worker's parent process.
        asking: who looks: that process itself, or its child that judges.
        below: every other process below the worker.
        judged: the children that judged for it, dead or alive.
    """

    worker: int
    asking: int
    below: tuple[psutil.Process, ...]
    judged: frozenset[int] = frozenset()

    @classmethod
    def of(cls, worker: int, judged: Iterable[int] = ()) -> "Scope":
        """As it is now, for this process to ask."""
        below = psutil.Process(worker).children(recursive=True)
        others = tuple(p for p in below if p.pid != os.getpid())
        return cls(worker, os.getpid(), others, frozenset(judged))

    def pids(self) -> set[int]:
        """The process ids of the worker and of everything below it."""
        return {self.worker, self.asking, *(process.pid for process in self.below)}

    def left_by(self, maker: int) -> bool:
        """Whether what this process made is ours to answer for; a neighbour may die as well."""
        return maker in self.pids() or maker in self.judged


Look = Callable[[Scope], Traces]


def processes(scope: Scope) -> Traces:
    """Living processes below the worker."""
    found = {}
    for process in scope.below:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                started = stat_fields(process.pid)[_START_FIELD]
                found[f"process {process.pid} {started}"] = (
                    f"process {process.pid} ({process.name()})"
                )
    return found


def groups(scope: Scope) -> Traces:
    """Control groups made here; of a child that is gone, those with processes in them."""
    ours = scope.pids()
    return {
        f"group {directory}": f"control group {directory}"
        for maker, directory in cgroup.existing()
        if maker in ours or (scope.left_by(maker) and _members(directory))
    }


def _members(directory: Path) -> str:
    with contextlib.suppress(OSError):
        return (directory / "cgroup.procs").read_text()
    return ""


def temporary(scope: Scope) -> Traces:
    """Files and folders that sandboxes make on the host; the maker's process id is in the name."""
    made = [*Path(tempfile.gettempdir()).glob("opjudge-dummy-*-*"), *_GATES.glob("opjudge-*-*")]
    makers = ((path, path.name.split("-")[-2]) for path in made)
    return {
        f"temporary {path}": str(path)
        for path, maker in makers
        if maker.isdigit() and scope.left_by(int(maker))
    }


def shared_memory(scope: Scope) -> Traces:
    """Files in /dev/shm that can be told to be ours.

    That is: named after a process of ours (as torch does), open in one, or of the user that only
    programs run as, where there is one. Others of the worker's user may be a neighbour's.
    """
    programs = NOBODY if os.geteuid() == 0 else None
    names, held = {str(pid) for pid in scope.pids()}, _held(scope.pids())
    found = {}
    for entry in os.scandir(_SHARED_MEMORY):
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            ours = status.st_ino in held or bool(names & set(_WORD.findall(entry.name)))
            if ours or (status.st_uid == programs and not _neighbours_hold(scope, status)):
                found[f"file {entry.path} {status.st_ino}"] = f"shared memory {entry.path}"
    return found


def _neighbours_hold(scope: Scope, file: os.stat_result) -> bool:
    return file.st_ino in _held(set(psutil.pids()) - scope.pids())


def _held(pids: Iterable[int]) -> set[int]:
    """Inodes of the files in /dev/shm that these processes are seen to have open or mapped."""
    device, found = _SHARED_MEMORY.stat().st_dev, set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
                if f" {_SHARED_MEMORY}/" in line:
                    found.add(int(line.split()[4]))
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    status = os.stat(f"/proc/{pid}/fd/{name}")
                    if status.st_dev == device:
                        found.add(status.st_ino)
    return found


def ports(scope: Scope) -> Traces:
    """Sockets that processes of the worker's have bound: TCP, UDP, Unix."""
    found: Traces = {}
    for pid in scope.pids():
        sockets = _sockets(pid)
        own = pid == os.getpid()
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            for at in _own_addresses(sockets) if own else _addresses(pid, frozenset(sockets)):
                found[f"port {pid} {at}"] = f"port {at} of process {pid}"
    return found


def _sockets(pid: int) -> dict[str, int]:
    """A process's sockets, by the kernel's name for each; with their descriptors."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:"):
                    found[target] = int(name)
    return found


_told: dict[tuple[int, frozenset[str]], tuple[str, ...]] = {}


def _addresses(pid: int, sockets: frozenset[str]) -> tuple[str, ...]:
    """Where these sockets of a process listen. The kernel takes 10 ms to tell: it is asked once."""
    if not sockets:
        return ()
    if (pid, sockets) in _told:
        return _told[pid, sockets]
    bound = (c.laddr for c in psutil.Process(pid).net_connections("all") if not c.raddr)
    found = tuple(at if isinstance(at, str) else _address(*at) for at in bound if at)
    if sockets == _sockets(pid).keys():
        if len(_told) >= _MOST_TOLD:
            _told.clear()
        _told[pid, sockets] = found
    return found


def _own_addresses(sockets: Mapping[str, int]) -> Iterator[str]:
    """Where this process's own sockets listen, asked of themselves."""
    for fd in sockets.values():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as one:
            at = one.getsockname()
            if one.family == socket.AF_UNIX and at:
                yield os.fsdecode(at)
            elif one.family in (socket.AF_INET, socket.AF_INET6) and _open_to_all(one):
                yield _address(*at[:2])


def _open_to_all(one: socket.socket) -> bool:
    """Whether anybody can reach it: not a connection, nor one on its way or broken off."""
    if one.type == socket.SOCK_STREAM:
        return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    try:
        one.getpeername()
    except OSError:
        return bool(one.getsockname()[1])
    return False


def _address(host: str, port: int) -> str:
    return f"{host}:{port}"


def descriptors(scope: Scope) -> Traces:
    """What the worker's parent process has open or mapped; for itself to ask.

    Left out are sockets (connections to the service and to Redis come and go; for those that
    listen see `ports`) and mapped files that have a name.
    """
    if scope.asking != scope.worker:
        return {}
    kinds = Counter(f"descriptor of {kind}" for kind in _open())
    kinds.update(f"mapping of {kind}" for kind in _mapped())
    return {f"{kind} {n}": f"{kind} of the worker" for kind in kinds for n in range(kinds[kind])}


def _open() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            kind = _NUMBER.sub("", os.readlink(f"/proc/self/fd/{name}"))
            # The listing itself needs a descriptor.
            if kind != "socket:" and not kind.startswith("/proc/"):
                yield kind


def _mapped() -> Iterator[str]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.partition("/")[2]
        if path.startswith("memfd:"):
            yield path


def no_device(_scope: Scope) -> Traces:
    """Memory and processes on the worker's device: a processor has none of its own."""
    return {}


LOOKS: tuple[Look, ...] = (processes, groups, temporary, shared_memory, ports, descriptors)


class Hygiene:
    """Looks before and after a judging. Made by the worker's parent, used by its children as well.

    Args:
        home: the worker's own folder.
        looks: what is looked at.
        device: what is looked at on the device.
        grace_s: how long what was used may take to go away.
        leak_bytes: how much more memory than at first the worker's parent may hold while idle.
    """

    def __init__(
        self,
        home: Path,
        looks: Sequence[Look] = LOOKS,
        device: Look = no_device,
        grace_s: float = GRACE_S,
        leak_bytes: int = LEAK_BYTES,
    ) -> None:
        self._file = home / "quarantine"
        self._looks = (*looks, device)
        self._grace_s, self._leak_bytes = grace_s, leak_bytes
        self._worker = os.getpid()
        self._judged: set[int] = set()
        self._before: Traces = {}
        self._idle_bytes: int | None = None

    def admit(self) -> None:
        """Raises Quarantined if a worker of this folder found something since the last boot."""
        try:
            boot, _, found = self._file.read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            return
        if boot == _boot():
            raise Quarantined(self._explain(found.strip().splitlines()))
        self._file.unlink()

    def settle(self) -> None:
        """Remember the machine as it is before a judging. For the worker's parent, while idle."""
        self._before = self._look()
        if self._idle_bytes is None:
            self._idle_bytes = _private_bytes()

    def judged_by(self, child: int) -> None:
        """Remember a child that judges: what it leaves is found though it may be dead by then."""
        self._judged.add(child)

    def left_by_judging(self) -> list[str]:
        """What is there now and was not before the judging; for the process that judges."""
        return self._left()

    def left(self) -> list[str]:
        """What is there now and was not before the judging; for the worker's parent, after it."""
        _reap()
        found = self._left()
        leak = _private_bytes() - (self._idle_bytes or 0)
        if leak > self._leak_bytes:
            found.append(f"{leak >> 20} MiB of memory of the worker")
        return found

    def quarantine(self, found: Sequence[str]) -> None:
        """Judge no more until somebody has seen to it."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("w", encoding="utf-8") as file:
            file.write("\n".join([_boot(), *found, ""]))
            file.flush()
            os.fsync(file.fileno())

    def _look(self) -> Traces:
        scope = Scope.of(self._worker, self._judged)
        return {key: text for look in self._looks for key, text in look(scope).items()}

    def _left(self) -> list[str]:
        deadline = time.monotonic() + self._grace_s
        while True:
            now = self._look()
            found = sorted(now[key] for key in now.keys() - self._before.keys())
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(_AGAIN_S)

    def _explain(self, found: Sequence[str]) -> str:
        return (
            f"the worker is in quarantine, for after a judging something was left behind: "
            f"{'; '.join(found)}. End or remove it (or reboot), see how it came about, then delete "
            f"{self._file} and start the worker again"
        )


def _private_bytes() -> int:
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


def _reap() -> None:
    """Bury the orphans that came to this process and have ended; it waits for nobody else now."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
