"""A program held from outside by descriptors: stopping, continuing, its limits, its end.

What is the same for every back end; `sandbox.resident` and `sandbox.docker_resident` add how the
program's use is counted and how its tree is taken down.
"""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sandbox.base import Command, Resident
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.process import Handle, Threads

KILL_TIMEOUT_S = 10.0
_TICK_S = 0.02
_TICK_POLLED_S = 0.005
_BY_SIGNAL: dict[int, Status] = {
    signal.SIGXCPU: Status.CPU_LIMIT,
    signal.SIGXFSZ: Status.FILE_LIMIT,
}


@dataclass(frozen=True, slots=True)
class Tree(ABC):
    """One running sandbox, as held by the host. All by descriptor, so a forked child can use it.

    Attributes:
        program: the contestant-reachable process.
        init: process 1 of its pid namespace; when it is gone, everything inside is.
        stdout, stderr: files with what it printed.
    """

    program: Handle
    init: Handle
    threads: Threads
    stdout: int
    stderr: int

    @abstractmethod
    def writable(self) -> Sequence[int]:
        """The directories a program can write, one of each file system."""

    @abstractmethod
    def close(self) -> None:
        """Close every descriptor and remove what the sandbox leaves on the host."""


AnyTree = TypeVar("AnyTree", bound=Tree)


class Held(Resident, Generic[AnyTree]):
    """See `Resident`. May be used by a forked child of the process that started it."""

    def __init__(self, tree: AnyTree, command: Command, limits: Limits) -> None:
        self.tree = tree
        self.pid = tree.program.pid
        self.limits = limits
        self._collect = tuple(command.collect)
        self._started = time.monotonic()
        self._verdict: Status | None = None
        self._peak_bytes = 0
        self._cpu_s = 0.0
        self._outcome: Outcome | None = None
        self._pidfd = tree.program.fd

    def stop(self) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)
        except ProcessLookupError:
            return
        self.tree.threads.wait_stopped()

    def resume(self) -> None:
        # Inside the timing window: no context manager.
        try:  # noqa: SIM105
            signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def alive(self) -> bool:
        return self.tree.program.alive()

    def check(self) -> None:
        if self._outcome is None and self._verdict is None and self.alive():
            self._verdict = self._excess(time.monotonic() - self._started)
            if self._verdict is not None:
                self.tree.init.send(signal.SIGKILL)
                # So that `alive` tells the truth from here on.
                self.tree.program.wait(KILL_TIMEOUT_S)

    def kill(self) -> None:
        if self._outcome is None:
            self.tree.init.send(signal.SIGKILL)

    def end(self) -> Outcome:
        if self._outcome is None:
            ended_itself = not self.alive()
            wall_s = time.monotonic() - self._started
            # A control group may go with the tree: this is the last look.
            self._verdict = self._verdict or self._excess(0.0 if ended_itself else wall_s)
            self._outcome = self._end(ended_itself, wall_s)
            self.tree.close()
        return self._outcome

    def to_its_end(self) -> Outcome:
        """Watch the program until it ends or is over a limit."""
        tick_s = _TICK_POLLED_S if self.polled else _TICK_S
        with self:
            while not self.tree.program.wait(tick_s):
                self.check()
            return self.end()

    @abstractmethod
    def _end(self, ended_itself: bool, wall_s: float) -> Outcome:
        """Take the tree down and see it gone; `_verdict` has what it was killed for, if it was."""

    @abstractmethod
    def _used(self) -> Status | None:
        """The resource limit that is exceeded, if one is; notes peak memory and CPU time."""

    def _excess(self, wall_s: float) -> Status | None:
        """The limit that is exceeded, if one is; notes what is used on the way."""
        limits = self.limits
        exceeded = self._used()
        if exceeded is not None:
            return exceeded
        if max(os.fstat(fd).st_size for fd in (self.tree.stdout, self.tree.stderr)) > (
            limits.output_bytes
        ):
            return Status.OUTPUT_LIMIT
        if files_in(self.tree.writable()) > limits.files:
            return Status.FILE_LIMIT
        if self._cpu_s > limits.cpu_s:
            return Status.CPU_LIMIT
        return Status.WALL_LIMIT if wall_s > limits.wall_s else None


def files_in(directories: Sequence[int]) -> int:
    """How many files, folders and links there are on the file systems of these directories."""
    found = [os.fstatvfs(fd) for fd in directories]
    return sum(stored.f_files - stored.f_ffree for stored in found)


def classify(code: int | None, full: bool) -> tuple[Status, int | None]:
    """Status and signal of a program that was not killed by us.

    Args:
        code: its exit code, 128 + signal if signalled; None if it was still running.
        full: whether its place for files has no room left.
    """
    if code is None or code == 0:
        return Status.OK, None
    number = code - 128 if code > 128 else None
    if full:
        return Status.FILE_LIMIT, number
    if number is None:
        return Status.NONZERO_EXIT, None
    return _BY_SIGNAL.get(number, Status.SIGNALLED), number
