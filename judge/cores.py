"""Which core runs what: the judge works on the parties' first core and watches from its own.

A core that idles for some milliseconds loses its clock, and its share of the cache: on the
development machine one and the same loop then took 46 or 58 us, and one and the same copy 140 or
550 us, from call to call, which moved the speed-up of a memory-bound program by 5 %. So the judge
does all its work between two calls on the core that the next call will run on, and only moves away
to watch that call: the program finds the core as hot as its neighbour in the pair found it.

During a call both are real-time threads, which ordinary ones cannot keep waiting. A
priority among those is not enough: newer kernels let whoever runs finish a slice of 3 ms first, and
weigh sessions, not threads, against each other. With two busy neighbours a null call took 2.6 ms
(median) and a score came out between one and five times its value; now 43 us, and within a per cent
of it. Between calls the judge is an ordinary thread: a core with nothing but real-time threads is
taken from them for a twentieth of every second.
"""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LOOK_AGAIN_S = 0.02

_PARTY, _JUDGE = 1, 2
"""Real-time priorities: the judge never waits for a party."""


@dataclass(frozen=True, slots=True)
class Cores:
    """How the cores are shared out.

    Attributes:
        watch: where the judge spins while a call runs.
        party: where candidate and baseline run, and (on the first) the judge between two calls.
    """

    watch: int
    party: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether there is only one core for everybody."""
        return self.watch in self.party

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the cores for oneself: waits until no other judging on this machine is timed there.

        Real-time threads of two of them would keep each other waiting. In network namespaces of
        their own judgings do not know of each other, and should have cores of their own as well.
        """
        with contextlib.ExitStack() as names:
            for core in sorted({self.watch, *self.party}):
                _take(names.enter_context(socket.socket(socket.AF_UNIX)), f"\0opjudge-core-{core}")
            yield

    def work(self) -> None:
        """Move this thread to where it works between calls."""
        _schedule(0, os.SCHED_OTHER, 0)
        os.sched_setaffinity(0, self.party[:1])

    def leave(self) -> None:
        """Move this thread to where it watches from, before whatever else runs there."""
        _schedule(0, os.SCHED_FIFO, _JUDGE)
        os.sched_setaffinity(0, (self.watch,))

    def favour(self, thread: int) -> None:
        """Let a thread of a party, and those it starts, run before whatever else is on its core.

        Not where the judge has no other core: it would not notice the end of a call.
        """
        favour(thread)
        if not self.shared:
            # Round robin: threads of a program that wait for one another in a loop take turns.
            _schedule(thread, os.SCHED_RR, _PARTY)


def _take(name: socket.socket, address: str) -> None:
    # An abstract name: the kernel gives it back when its owner dies, however it does.
    while True:
        try:
            name.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def share_out(available: Sequence[int] | None = None) -> Cores:
    """One core for the judge to watch from and the rest for the parties; one for all if need be.

    Args:
        available: None for those this thread may use.
    """
    first, *rest = sorted(os.sched_getaffinity(0) if available is None else available)
    return Cores(first, tuple(rest) or (first,))


def environment(threads: int | None = None) -> dict[str, str]:
    """What a harness is started with; by default for as many threads as a party has cores."""
    return {"OMP_NUM_THREADS": str(threads or len(share_out().party))}


def favour(thread: int) -> None:
    """Give a thread (0: this one) more of its core than ordinary ones get, where we may."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, thread, -20)


def may_go_first() -> bool:
    """Whether programs here can be timed as if nothing else ran on their cores."""
    with scheduling_restored():
        return not share_out().shared and _schedule(0, os.SCHED_FIFO, _JUDGE)


def _schedule(thread: int, policy: int, priority: int) -> bool:
    """Set a scheduling policy, where we may. Returns whether we may."""
    try:
        os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except ProcessLookupError:
        raise
    except OSError:
        return False
    return True


@contextlib.contextmanager
def scheduling_restored() -> Iterator[None]:
    """Give this thread its policy, priority and cores back afterwards."""
    cores, priority = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    policy, real_time = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    try:
        yield
    finally:
        _schedule(0, policy, real_time)
        os.setpriority(os.PRIO_PROCESS, 0, priority)
        os.sched_setaffinity(0, cores)
