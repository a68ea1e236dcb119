"""What the kernel tells of a process from outside: its threads, its memory, its time, its end."""

import contextlib
import os
import select
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import Unstoppable

_STOP_TIMEOUT_S = 2.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STAT_BYTES = 1024
_THREADS_FIELD = 17  # in /proc/<pid>/stat, counted from the state as 0


class Handle:
    """A process held by pidfd, so that a reused process id can never be hit. Not only for parents.

    Raises ProcessLookupError when made for a process that is gone.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fd = os.pidfd_open(pid)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def alive(self) -> bool:
        """Whether any thread is left."""
        return not self._poll.poll(0)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end, for ever by default; False if it did not come in time."""
        return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.fd, number)

    def close(self) -> None:
        """Let go of the process. The handle must not be used after."""
        os.close(self.fd)


class Threads:
    """The threads of one process, watched through open descriptors to be fast."""

    def __init__(self, pid: int) -> None:
        self._directory = os.open(f"/proc/{pid}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._leader = str(pid)
        self._stats: dict[str, int] = {}
        self._count = 0

    def wait_stopped(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Return once no thread can run; the stop signal has been sent.

        Only a running thread can make another. So it is proof when, after the last known thread was
        seen stopped, the kernel counts (or lists) no more threads than were seen stopped.
        Raises Unstoppable after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        halted: set[str] = set()
        listing = list(self._stats)
        while True:
            for tid in listing:
                if tid not in halted and self._halt(tid, deadline):
                    halted.add(tid)
            # Usually nothing is new since the last stop: the last state read had the count with it.
            if halted and self._count == len(halted):
                return
            listing = self._list()
            if halted.issuperset(listing):
                return

    def close(self) -> None:
        """Close every descriptor."""
        for fd in (self._directory, *self._stats.values()):
            os.close(fd)
        self._stats.clear()

    def _list(self) -> list[str]:
        try:
            return os.listdir(self._directory)
        except (FileNotFoundError, ProcessLookupError):
            return []

    def _halt(self, tid: str, deadline: float) -> bool:
        """Wait until a thread is stopped (True) or gone (False: another may have its number)."""
        while (state := self._state(tid)) is not None:
            # A main thread that has ended stays as a zombie for as long as others live.
            if state == b"T" or (state == b"Z" and tid == self._leader):
                return True
            if time.monotonic() > deadline:
                raise Unstoppable(f"thread {tid} did not stop (state {state.decode()})")
            os.sched_yield()
        return False

    def _state(self, tid: str) -> bytes | None:
        """The state of a thread, None if gone; `_count` becomes the threads there were just after.

        The kernel reads the state before the count, never after.
        """
        try:
            fd = self._stats.get(tid)
            if fd is None:
                path = f"{tid}/stat"
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
                self._stats[tid] = fd
            line = os.pread(fd, _STAT_BYTES, 0)
        except (FileNotFoundError, ProcessLookupError):
            gone = self._stats.pop(tid, None)
            if gone is not None:
                os.close(gone)
            return None
        words = line[line.rindex(b")") + 2 :].split(b" ", _THREADS_FIELD + 1)
        self._count = int(words[_THREADS_FIELD])
        return words[0]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes uses now.

    Attributes:
        private_bytes: resident or swapped pages of each process's own, and all page tables.
        shared_bytes: resident pages of shared mappings and of files in memory, whoever made them.
    """

    private_bytes: int
    shared_bytes: int
    cpu_s: float
    threads: int


def stat_fields(pid: int) -> list[str]:
    """``/proc/<pid>/stat`` from the state on (field 3 is index 0). Raises OSError if gone."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def parent_of(pid: int) -> int:
    """The parent's process id. Raises OSError if the process is gone."""
    return int(stat_fields(pid)[1])


def tree_usage(root: int, inherited_bytes: int = 0, exact: bool = False) -> Usage:
    """What everything below `root` uses (`root` itself not counted).

    Args:
        inherited_bytes: private memory that each still shares with what it was forked from.
        exact: count a page that several processes share once. Takes milliseconds for each GiB;
            otherwise it counts once in each of them.
    """
    private, shared, cpu, threads = 0, 0, 0.0, 0
    pending = _children(root)
    while pending:
        pid = pending.pop()
        try:
            fields = stat_fields(pid)
            memory = _memory(f"/proc/{pid}/status")
        except OSError:
            continue
        private += max(0, _private(memory) - inherited_bytes)
        shared += _share(pid, memory["RssShmem"]) if exact else memory["RssShmem"]
        cpu += sum(map(int, fields[11:15])) / _TICKS_PER_S
        threads += int(fields[_THREADS_FIELD])
        pending += _children(pid)
    return Usage(private, shared, cpu, threads)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            continue
    return found


def private_bytes(pid: int) -> int:
    """What a process has to itself, or still shares with what it was forked from.

    Raises OSError if it is gone.
    """
    return _private(_memory(f"/proc/{pid}/status"))


def _private(memory: Counter[str]) -> int:
    return memory["RssAnon"] + memory["VmSwap"] + memory["VmPTE"]


def _memory(path: str) -> Counter[str]:
    """Bytes by name, of a file of ``Name: N kB`` lines; 0 for what is not there.

    Raises OSError if the process is gone.
    """
    found: Counter[str] = Counter()
    for line in Path(path).read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[name] = int(value[:-3]) * 1024
    return found


def _share(pid: int, resident_bytes: int) -> int:
    """A process's part of the shared pages it has: those of n processes count 1/n in each.

    All that it has, where the kernel does not tell, or does not let us look.
    """
    try:
        return _memory(f"/proc/{pid}/smaps_rollup").get("Pss_Shmem", resident_bytes)
    except OSError:
        return resident_bytes
