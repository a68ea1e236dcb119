"""One side of a judging: a harness in its sandbox, its shared pages, and the clock outside it.

The program in the sandbox runs only between `resume` and the verified `stop` of one request.
"""

import contextlib
import gc
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from judge.arena import Arena, Given, SharedMemory
from judge.cores import Cores, environment, favour
from judge.counters import Watch
from judge.errors import InfrastructureError
from judge.text import plain
from judge.verdict import Language, Verdict
from sandbox.base import Command, Launch, Resident, Sandbox, Unstoppable
from sandbox.harness import protocol
from sandbox.harness.protocol import Arg, Op
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status

ARENA_BYTES = 2 << 30
"""Virtual size of an arena. Pages cost memory only once they are written."""

BOOT_LIMIT_S = 60.0
_LOOK_EVERY = 4096  # spins between two looks at the deadline: about 0.3 ms
_LONG_NS = 200_000_000  # from here on the judge's core is free for others between two looks
_CHECK_EVERY_NS = 20_000_000  # where the kernel does not see to the limits

Library = Literal["torch", "numpy", "none"]

_LIMIT_VERDICTS = {
    Status.MEMORY_LIMIT: Verdict.MLE,
    Status.OUTPUT_LIMIT: Verdict.OLE,
    Status.FILE_LIMIT: Verdict.OLE,
    Status.CPU_LIMIT: Verdict.TLE,
    Status.WALL_LIMIT: Verdict.TLE,
    Status.VIOLATION: Verdict.SV,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of one request.

    Attributes:
        ns: nanoseconds from just before the program was continued to the sight of DONE.
        charged_ns: the same to the verified stop of all its threads. This is what a call costs: a
            system call under way in another thread goes on after DONE.
        failure: None, or the verdict the request itself has earned.
        message: why, for the contestant (their own traceback, for example).
        absent: the optional function asked for does not exist.
    """

    ns: int
    charged_ns: int = 0
    failure: Verdict | None = None
    message: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class _Artifact:
    """What was loaded: the bytes, where they lie in the arena, and the request."""

    data: bytes
    where: protocol.TensorArg
    request: bytes
    limit_s: float


class Party:
    """A harness under the judge's clock. Use as a context manager.

    Args:
        library: what the harness imports before its first request.
        given: where inputs lie that do not lie in the arena; not the party's to close.
        threads: how many it may start.

    Attributes:
        watch: what is counted of it since it was pinned.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        limits: Limits,
        library: Library,
        threads: int = 1,
        arena_bytes: int = ARENA_BYTES,
        given: Given | None = None,
    ) -> None:
        self.library = library
        self.arena = Arena(arena_bytes, given)
        self._control = SharedMemory("control", protocol.CONTROL_BYTES)
        self._page = memoryview(self._control.map)
        self._words = self._page.cast("Q")
        self._sequence = protocol.BOOT
        self._slots: dict[bytes, int] = {}
        self._quiet_ns = 0
        self._cores: Cores | None = None
        self._outcome: Outcome | None = None
        self.stopped = False
        self.watch = Watch()
        self._artifact: _Artifact | None = None
        self._earlier: Outcome | None = None
        self._resident: Resident | None = None
        self._begin = partial(sandbox.begin, self._command(library, threads), limits)
        self._launch: Launch[Resident] | None = self._begin()

    def _command(self, library: Library, threads: int) -> Command:
        fds = [self._control.fd, self.arena.memory.fd]
        numbers = [*fds, self.arena.size, -1, 0]
        if self.arena.given is not None:
            memory = self.arena.given.memory
            fds.append(memory.fd)
            numbers[3:] = memory.fd, memory.size
        return Command(
            argv=(*map(str, numbers), library),
            share=tuple(fds),
            environment=environment(threads),
            module="sandbox.harness",
        )

    @property
    def resident(self) -> Resident:
        """The program. Raises ValueError before the start."""
        if self._resident is None:
            raise ValueError("the program has not been started")
        return self._resident

    def start(self) -> None:
        """Let the program go, if it has not been yet: of several, all get ready at once.

        Raises SandboxError.
        """
        if self._launch is not None:
            launch, self._launch = self._launch, None
            self._resident = launch.resident()

    def ready(self, limit_s: float = BOOT_LIMIT_S) -> Reply:
        """Start, wait until the harness has imported its library, then stop it."""
        if self.stopped:
            return Reply(0)
        self.start()
        return self._await(time.perf_counter_ns(), int(limit_s * 1e9), patient=True)

    def pin(self, cores: Cores) -> None:
        """Keep the program on its cores, before others there; see `judge.cores`.

        From now on every request expects the judge at work on the first of them.
        """
        self._cores = cores
        self.watch.follow(self.resident.pid)
        for thread in self._threads():
            os.sched_setaffinity(thread, cores.party)
            cores.favour(thread)

    def favour(self) -> None:
        """Let the program go before others, with the threads that it starts from now on."""
        for thread in self._threads():
            favour(thread)

    def _threads(self) -> list[int]:
        return [int(thread) for thread in os.listdir(f"/proc/{self.resident.pid}/task")]

    def load(
        self,
        artifact: bytes,
        language: Language,
        directives: Mapping[str, str],
        limit_s: float,
    ) -> Reply:
        """Hand the built submission over and have it imported."""
        where = self.arena.write(artifact)
        kind = (int(language is Language.CPP), int(directives.get("arrays") == "numpy"))
        self._artifact = _Artifact(artifact, where, protocol.encode((where, *kind)), limit_s)
        return self.request(Op.LOAD, self._artifact.request, limit_s, patient=True)

    def renew(self) -> None:
        """End the program and begin another: another sandbox, other pages, the same buffers."""
        self.watch.leave()
        self._earlier = _together(self._earlier, self.resident.end())
        self.arena.wipe()
        self._page[:] = bytes(len(self._page))
        self._sequence, self._quiet_ns = protocol.BOOT, 0
        self._slots.clear()
        self.stopped = False
        self._resident, self._launch = None, self._begin()

    def reload(self) -> Reply:
        """After `renew`, load what was loaded before.

        Raises ValueError if there was nothing, InfrastructureError if the sandbox does not start:
        the program is not to blame for that.
        """
        if self._artifact is None:
            raise ValueError("nothing was loaded that could be loaded again")
        reply = self.ready()
        if reply.failure is not None:
            raise InfrastructureError(f"a sandbox did not start again: {reply.message}")
        if self._cores is not None:
            self.pin(self._cores)
        self.arena.rewrite(self._artifact.where, self._artifact.data)
        return self.request(Op.LOAD, self._artifact.request, self._artifact.limit_s, patient=True)

    def prepare(self, args: Sequence[Arg], limit_s: float) -> Reply:
        """Call `prepare`, if the submission has one."""
        return self.request(Op.PREPARE, protocol.encode(args), limit_s)

    def request(self, op: Op, descriptor: bytes, limit_s: float, *, patient: bool = False) -> Reply:
        """Let the program serve one request; it is stopped before and after.

        Returns when the program has answered, died, or run out of `limit_s` seconds. A program
        that died or ran out of time is gone for good.

        Args:
            patient: milliseconds do not matter; leave it the cores.
        """
        words, page = self._words, self._page
        page[protocol.DESCRIPTOR_AT : protocol.DESCRIPTOR_AT + len(descriptor)] = descriptor
        words[protocol.SIZE] = len(descriptor)
        words[protocol.SLOT] = self._slots.setdefault(descriptor, len(self._slots))
        words[protocol.OP] = op
        words[protocol.REPLY] = words[protocol.TEXT_SIZE] = 0
        self._sequence += 1
        words[protocol.GO] = self._sequence
        resident = self.resident
        self.watch.before()
        with self._watching():
            start = time.perf_counter_ns()
            resident.resume()
            reply = self._await(start, int(limit_s * 1e9), patient=patient)
        self.watch.after(reply.charged_ns)
        return reply

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Nothing of ours on the program's core, and no pause of ours while the clock runs."""
        cores = None if self._cores is None or self._cores.shared else self._cores
        collecting = gc.isenabled()
        gc.disable()
        try:
            if cores is not None:
                cores.leave()
            yield
        finally:
            if cores is not None:
                cores.work()
            if collecting:
                gc.enable()

    def _await(self, start: int, limit_ns: int, *, patient: bool = False) -> Reply:
        words, wanted, clock = self._words, self._sequence, time.perf_counter_ns
        resident = self.resident
        look_every = 1 if patient else _LOOK_EVERY
        done, look_at, check_at = protocol.DONE, look_every, start + _CHECK_EVERY_NS
        spins, gives_way = 0, self._cores is not None and self._cores.shared
        while words[done] != wanted:
            spins += 1
            if gives_way:
                os.sched_yield()
            if spins >= look_at:
                waited = clock() - start
                if waited > limit_ns:
                    return self._give_up(waited)
                if resident.polled and clock() > check_at:
                    self._check()
                    check_at = clock() + _CHECK_EVERY_NS
                if not resident.alive():
                    return self._died(clock() - start)
                if patient or waited > _LONG_NS:
                    look_every = 1
                    time.sleep(0.0003 if patient else 0.00005)
                look_at = spins + look_every
        end = clock()
        try:
            resident.stop()
        except Unstoppable:
            # Threads that are deep in system calls: its own doing, and its own time.
            return self._give_up(clock() - start)
        charged_ns = clock() - start
        self.stopped = True
        return self._reply(end - start, charged_ns)

    def _reply(self, ns: int, charged_ns: int) -> Reply:
        # Looking costs half a millisecond; a short call gets a look now and then.
        self._quiet_ns += ns
        if self._quiet_ns > _CHECK_EVERY_NS:
            self._quiet_ns = 0
            self._check()
        if not self.resident.alive():
            return self._died(ns)
        code = self._words[protocol.REPLY]
        if code == protocol.Reply.OK:
            return Reply(ns, charged_ns)
        if code == protocol.Reply.ABSENT:
            return Reply(ns, charged_ns, absent=True)
        failure = Verdict.MLE if code == protocol.Reply.NO_MEMORY else Verdict.RTE
        return Reply(ns, charged_ns, failure, self._text())

    def _check(self) -> None:
        self.resident.lent_bytes = protocol.CONTROL_BYTES + self.arena.filled_bytes
        self.resident.check()

    def over_limit(self) -> Reply | None:
        """The failure of a program that is over a limit and was not caught at it yet."""
        if self._outcome is not None:
            return None
        self._check()
        return None if self.resident.alive() else self._died(0)

    def _text(self) -> str:
        size = min(int(self._words[protocol.TEXT_SIZE]), protocol.TEXT_BYTES)
        return plain(bytes(self._page[protocol.TEXT_AT : protocol.TEXT_AT + size]))

    def _give_up(self, ns: int) -> Reply:
        # A program thrashing at its memory limit is also slow: the limit is the better answer.
        self._check()
        outcome = self.end()
        if outcome.status in _LIMIT_VERDICTS:
            return Reply(ns, ns, _LIMIT_VERDICTS[outcome.status], explain(outcome))
        return Reply(ns, ns, Verdict.TLE, f"stopped after {ns / 1e9:.2f} s")

    def _died(self, ns: int) -> Reply:
        outcome = self.end()
        verdict = _LIMIT_VERDICTS.get(outcome.status, Verdict.RTE)
        return Reply(ns, ns, verdict, explain(outcome))

    def kill(self) -> None:
        """Kill the program and do not wait for that; `end` must follow."""
        if self._outcome is None and self._resident is not None:
            self._resident.kill()

    def end(self) -> Outcome:
        """Destroy the sandbox and give the pages back; idempotent.

        The outcome is that of the last process, with what earlier ones printed and used.
        """
        if self._outcome is None:
            self.watch.leave()
            if self._launch is not None:
                self._launch.abandon()
            last = _NEVER if self._resident is None else self._resident.end()
            self._outcome = _together(self._earlier, last)
            self._words.release()
            self._page.release()
            self._control.close()
            self.arena.close()
        return self._outcome

    def __enter__(self) -> "Party":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()


_NEVER = Outcome(Status.OK, None, None, b"", b"", wall_s=0.0, cpu_s=0.0, peak_bytes=0, files={})


def _together(earlier: Outcome | None, last: Outcome) -> Outcome:
    if earlier is None:
        return last
    return replace(
        last,
        stdout=earlier.stdout + last.stdout,
        stderr=earlier.stderr + last.stderr,
        wall_s=earlier.wall_s + last.wall_s,
        cpu_s=earlier.cpu_s + last.cpu_s,
        peak_bytes=max(earlier.peak_bytes, last.peak_bytes),
    )


def explain(outcome: Outcome) -> str:
    """One line on how a program ended, with the end of what it printed to stderr."""
    if outcome.status is Status.SIGNALLED and outcome.signal is not None:
        text = f"killed by signal {outcome.signal} ({_signal_name(outcome.signal)})"
        if outcome.signal == signal.SIGSEGV:
            text += ": memory that cannot be accessed; an input, for one, can only be read"
    elif outcome.status in _LIMIT_VERDICTS:
        text = f"stopped: {outcome.status.value.replace('_', ' ')}"
    else:
        code = "" if outcome.exit_code is None else f" with status {outcome.exit_code}"
        text = f"the process exited{code} during the call"
    stderr = plain(outcome.stderr).strip()
    return f"{text}\n{stderr[-2000:]}".strip()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
