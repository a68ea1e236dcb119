"""What is counted of a program, and what a program cannot do about it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from judge import counters
from judge.building import PYTHON_ENTRY, canonical_zip
from judge.cores import scheduling_restored, share_out
from judge.counters import CPU_TIME, OUTSIDE_NS, Counter, Watch, beyond_its_clock
from judge.measured import CpuUse
from judge.party import Party
from judge.verdict import Language, Verdict
from sandbox.bubblewrap import Bubblewrap
from sandbox.harness import protocol
from sandbox.harness.protocol import Op
from sandbox.limits import Limits
from sandbox.process import stat_fields
from sandbox.resident import BubblewrapResident
from tests.judge.conftest import Judge

SPINS = "print(flush=True)\nwhile True: pass"
THREADS = """\
import subprocess, sys, threading
def spin():
    while True: pass
input()
threading.Thread(target=spin, daemon=True).start()
subprocess.run([sys.executable, "-c", "while True: pass"])
"""
MILLISECOND = 1_000_000


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts Python programs in a process group each, and kills them all."""
    started: list[subprocess.Popen[str]] = []

    def run(text: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", text]
        pipe = subprocess.PIPE
        child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        )
        started.append(child)
        return child

    yield run
    for child in started:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def let_pass(seconds: float) -> None:
    """Nothing is waited for: this is time in which nothing may happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def until_it_counts(counter: Counter, least_ns: int) -> int:
    deadline = time.monotonic() + 60
    while (count := counter.read()) < least_ns:
        assert time.monotonic() < deadline
    return count


def test_the_cpu_time_of_a_stopped_process_stands_still(
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    child = start(SPINS)
    assert child.stdout is not None
    child.stdout.readline()
    counter = Counter(child.pid, CPU_TIME)
    until_it_counts(counter, MILLISECOND)
    os.kill(child.pid, signal.SIGSTOP)
    while stat_fields(child.pid)[0] != "T":
        pass
    let_pass(0.05)  # for what still was on its way off the core
    settled = counter.read()
    let_pass(0.05)
    assert counter.read() == settled
    os.kill(child.pid, signal.SIGCONT)
    until_it_counts(counter, settled + MILLISECOND)
    counter.close()


def test_threads_and_processes_that_come_later_are_counted_too(
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    """The process that is watched waits; all the work is done by what it starts."""
    child = start(THREADS)
    counter = Counter(child.pid, CPU_TIME)
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    until_it_counts(counter, 100 * MILLISECOND)
    counter.close()


def test_a_process_that_is_gone_cannot_be_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
        with pytest.raises(OSError, match=r"No such|perf_event"):
            Counter(child.pid, CPU_TIME)


WORKS = b"""\
import threading, time

def spin(until):
    while time.monotonic() < until:
        pass

def solve(n):
    spin(time.monotonic() + n / 1000)

def prepare(n):
    "Goes on after it has returned."
    threading.Thread(target=spin, args=(time.monotonic() + n / 1000,), daemon=True).start()
"""


@pytest.fixture
def party() -> Iterator[Party]:
    """Loaded, and watched."""
    sandbox = Party(Bubblewrap(), Limits(wall_s=60), "none", arena_bytes=1 << 20)
    with scheduling_restored(), sandbox as party:
        party.ready()
        party.pin(share_out())
        program = canonical_zip({PYTHON_ENTRY: WORKS})
        assert party.load(program, Language.PYTHON, {}, 10.0).failure is None
        yield party


def used(party: Party) -> CpuUse:
    found = party.watch.use()
    assert found is not None
    return found


def test_work_is_counted_inside_of_the_calls_and_after_a_restart(party: Party) -> None:
    call = protocol.encode([50])
    before = used(party)
    for _ in range(3):
        assert party.request(Op.CALL, call, 10.0).failure is None
    party.renew()
    assert party.reload().failure is None
    assert party.request(Op.CALL, call, 10.0).failure is None
    party.end()
    use = used(party)
    # A busy machine may give the program less than its clock runs, never more.
    assert 0 < use.inside_ns - before.inside_ns <= use.charged_ns - before.charged_ns + OUTSIDE_NS
    assert use.charged_ns - before.charged_ns >= 200 * MILLISECOND
    assert not beyond_its_clock(use)


def test_a_program_that_dies_in_a_call_has_worked_inside_of_it(party: Party) -> None:
    assert party.request(Op.CALL, protocol.encode([60_000]), 0.3).failure is Verdict.TLE
    assert not beyond_its_clock(used(party))


def went_on(party: Party) -> bool:
    """Whether a thread that works on after the call is found out."""
    assert party.prepare([500], 10.0).failure is None
    let_pass(0.6)
    return beyond_its_clock(used_at_the_end(party))


def used_at_the_end(party: Party) -> CpuUse:
    party.end()
    return used(party)


def test_a_stopped_program_does_nothing_outside_of_its_calls(party: Party) -> None:
    assert not went_on(party)


def test_a_program_that_is_not_really_stopped_is_found_out(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop switched off: the counters notice by themselves."""
    monkeypatch.setattr(BubblewrapResident, "stop", lambda _self: None)
    assert went_on(party)


def test_where_nothing_is_counted_nobody_is_accused(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "perf_event_open")

    monkeypatch.setattr(counters, "_open", refused)
    watch = Watch()
    watch.follow(os.getpid())
    watch.before()
    watch.after(1)
    watch.leave()
    assert watch.use() is None
    assert not beyond_its_clock(None)
    assert judged("def solve(x, y, eps):\n    y[:] = x * np.float32(1 + eps)\n").cpu is None


def test_a_judging_tells_what_was_counted(judged: Judge) -> None:
    result = judged("def solve(x, y, eps):\n    y[:] = x * np.float32(1 + eps)\n")
    assert result.verdict is Verdict.AC
    assert result.cpu is not None
    assert result.cpu.inside_ns > 0
    assert not beyond_its_clock(result.cpu)


def test_a_processor_that_counts_only_one_of_two_leaves_nothing_open(
    start: Callable[[str], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = counters._open

    def one_of_two(thread: int, event: tuple[int, int]) -> int:
        if event == counters.CYCLES:
            raise FileNotFoundError(2, "perf_event_open")
        return real(thread, CPU_TIME)

    monkeypatch.setattr(counters, "_open", one_of_two)
    child = start(SPINS)
    before = os.listdir("/proc/self/fd")
    watch = Watch()
    watch.follow(child.pid)
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    watch.leave()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    use = watch.use()
    assert use is not None
    assert (use.instructions, use.cycles) == (None, None)


@pytest.mark.parametrize(
    ("use", "threads", "beyond"),
    [
        (CpuUse(inside_ns=10**9, outside_ns=0, charged_ns=10**9), 1, False),
        (CpuUse(inside_ns=10**9, outside_ns=OUTSIDE_NS, charged_ns=10**9), 1, False),
        (CpuUse(inside_ns=10**9, outside_ns=OUTSIDE_NS + 1, charged_ns=10**9), 1, True),
        (CpuUse(inside_ns=10**9, outside_ns=10**8, charged_ns=10**10), 1, False),
        (CpuUse(inside_ns=0, outside_ns=0, charged_ns=10**9, cycles=10**10), 1, False),
        (CpuUse(inside_ns=0, outside_ns=0, charged_ns=10**9, cycles=2 * 10**10), 1, True),
        (CpuUse(inside_ns=0, outside_ns=0, charged_ns=10**9, cycles=2 * 10**10), 2, False),
    ],
)
def test_who_is_accused(use: CpuUse, threads: int, beyond: bool) -> None:
    assert beyond_its_clock(use, threads) == beyond
