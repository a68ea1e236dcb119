"""What kernel and processor count of a program: CPU time, instructions, cycles.

No program can reach these counters or do anything about them, and they go on when its clock does
not: a program that got work done while it was thought to be stopped, or in more cycles than its
time has, shows here, by whatever trick it did so. See perf_event_open(2).
"""

import ctypes
import os
import platform
import struct

from judge.wire import CpuUse

OUTSIDE_NS = 50_000_000
OUTSIDE_SHARE = 0.02
"""CPU time outside of its calls that accuses nobody: that long, and that share of its own time.
What a hypervisor takes from a core may be counted as that of the program on it."""

MOST_GHZ = 10.0
"""No core is faster."""

_CALL = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTES = struct.Struct("=IIQQQQQIIQ")
_READ = struct.Struct("=QQQ")
_TIMES = 1 | 2  # enabled, running
_INHERIT, _NO_KERNEL, _NO_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_CLOEXEC = 8

CPU_TIME = (1, 1)
INSTRUCTIONS = (0, 1)
CYCLES = (0, 0)
"""Type and number of an event."""

_libc = ctypes.CDLL(None, use_errno=True)


class Counter:
    """One event, of every thread a process has and of all that come out of them.

    Raises OSError where kernel or processor do not count it, or not for us.
    """

    def __init__(self, pid: int, event: tuple[int, int]) -> None:
        self._fds: list[int] = []
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                self._fds.append(_open(int(thread), event))
        except OSError:
            self.close()
            raise

    def read(self) -> int:
        """The count so far; an estimate where it took turns with others on the processor."""
        total = 0.0
        for fd in self._fds:
            value, enabled, running = _READ.unpack(os.read(fd, _READ.size))
            total += value * enabled / running if 0 < running < enabled else value
        return int(total)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


class Watch:
    """Counts what a party's program does inside of its requests, and what outside of them."""

    def __init__(self) -> None:
        self._time: Counter | None = None
        self._hardware: list[Counter] = []
        self._start_ns = self._seen_ns = 0
        self._going = False
        self._inside_ns = self._outside_ns = self._charged_ns = 0
        self._counted = [0, 0]
        self._complete = True

    def follow(self, pid: int) -> None:
        """From now on count this process, which is stopped; nothing where that cannot be done."""
        self.leave()
        try:
            self._time = Counter(pid, CPU_TIME)
        except OSError:
            self._complete = False
            return
        try:
            for event in (INSTRUCTIONS, CYCLES):
                self._hardware.append(Counter(pid, event))
        except OSError:
            # Both or none: the totals of all processes are added up in that order.
            for counter in self._hardware:
                counter.close()
            self._hardware.clear()

    def leave(self) -> None:
        """The process is about to end, or has ended."""
        if self._time is not None:
            if self._going:
                self.after(0)
            else:
                self.before()
            self._counted = self._totals()
            for counter in (self._time, *self._hardware):
                counter.close()
        self._time, self._hardware, self._seen_ns, self._going = None, [], 0, False

    def before(self) -> None:
        """The program is stopped, and about to go on."""
        if self._time is not None:
            self._start_ns, self._going = self._time.read(), True
            self._outside_ns += self._start_ns - self._seen_ns

    def after(self, charged_ns: int) -> None:
        """The program has been stopped again; so long its clock has run."""
        if self._time is not None:
            self._seen_ns, self._going = self._time.read(), False
            self._inside_ns += self._seen_ns - self._start_ns
            self._charged_ns += charged_ns

    def use(self) -> CpuUse | None:
        """What was counted so far; None if a process was not."""
        if not self._complete:
            return None
        instructions, cycles = self._totals()
        return CpuUse(
            inside_ns=self._inside_ns,
            outside_ns=self._outside_ns,
            charged_ns=self._charged_ns,
            instructions=instructions or None,
            cycles=cycles or None,
        )

    def _totals(self) -> list[int]:
        now = [counter.read() for counter in self._hardware] or [0, 0]
        return [known + more for known, more in zip(self._counted, now, strict=True)]


def beyond_its_clock(use: CpuUse | None, threads: int = 1) -> bool:
    """Whether a program did more than its clock has seen.

    Args:
        threads: how many cores it had.
    """
    if use is None:
        return False
    if use.outside_ns > max(OUTSIDE_NS, OUTSIDE_SHARE * use.charged_ns):
        return True
    most = MOST_GHZ * threads * (use.charged_ns + OUTSIDE_NS)
    return use.cycles is not None and use.cycles > most


def _open(thread: int, event: tuple[int, int]) -> int:
    number = _CALL.get(platform.machine())
    if number is None:
        raise OSError(f"perf_event_open is not known on {platform.machine()}")
    kind, config = event
    flags = _INHERIT | _NO_KERNEL | _NO_HYPERVISOR
    packed = _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, config, 0, 0, _TIMES, flags, 0, 0, 0)
    anywhere, no_group = -1, -1
    fd = _libc.syscall(
        ctypes.c_long(number), packed, thread, anywhere, no_group, ctypes.c_ulong(_CLOEXEC)
    )
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"perf_event_open: {os.strerror(code)}")
    return int(fd)
