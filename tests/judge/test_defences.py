"""Cheats, each judged twice: with the defence that stops it, and with that defence switched off.

The second run must be fooled, else the cheat proves nothing about the defence.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from judge import tracks
from judge.arena import Arena, Given
from judge.checker import QuickCheck
from judge.inputs import InputSource
from judge.session import Session
from judge.verdict import Mode, Verdict
from sandbox.resident import BubblewrapResident
from tests.judge.conftest import Judge
from tests.scheduling import like_others

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Cheat:
    """A submission that would fool a judge without one of our defences.

    Attributes:
        off: switches the defence off.
        verdicts: what the defence makes of it.
    """

    text: str
    off: Callable[[Patch], None]
    verdicts: tuple[Verdict, ...] = (Verdict.WA,)
    filename: str = "s.py"


def repeat_inputs(patch: Patch) -> None:
    """The same inputs on every call, at the same place, as most harnesses time."""
    fresh = InputSource.fresh
    patch.setattr(InputSource, "fresh", lambda self, _call: fresh(self, 0))
    patch.setattr(tracks, "PLACES", 1)


def no_poison(patch: Patch) -> None:
    patch.setattr(Arena, "poison", lambda *_: None)


def repeat_inputs_without_poison(patch: Patch) -> None:
    repeat_inputs(patch)
    no_poison(patch)


def believe_inputs(patch: Patch) -> None:
    patch.setattr(Given, "place", lambda *_: ())


def no_guards(patch: Patch) -> None:
    patch.setattr(Arena, "guards_intact", lambda *_: True)


def but_the_first() -> Callable[[BubblewrapResident], bool]:
    """Tells all others from the candidate, whose harness is the first to be ready and stopped."""
    stopped: list[int] = []

    def other(resident: BubblewrapResident) -> bool:
        stopped.append(resident.pid)
        return resident.pid != stopped[0]

    return other


def look_late(patch: Patch) -> None:
    """A judge that stamps, then takes its time before it stops the program and looks."""
    stop, others = BubblewrapResident.stop, but_the_first()
    like_others(patch)

    def late(self: BubblewrapResident) -> None:
        while not others(self) and self.alive() and len(os.listdir(f"/proc/{self.pid}/task")) > 1:
            pass  # its threads are still at work
        stop(self)

    patch.setattr(BubblewrapResident, "stop", late)


def look_once(patch: Patch) -> None:
    """Outputs are taken once and never looked at again."""
    patch.setattr(tracks, "unchanged", lambda *_: True)


def trust_the_baseline_only_at_first(patch: Patch) -> None:
    """Only the first calls are verified."""
    patch.setattr(QuickCheck, "agrees", lambda *_: True)
    patch.setattr(Session, "_rarely", lambda *_: False)


CHEATS = {
    # integrity.md B1: the harness reuses its buffers, so the address names the answer.
    "cache by address": Cheat(
        """
cache = {}
def solve(x, y, eps):
    key = x.ctypes.data
    if key not in cache:
        cache[key] = x * np.float32(1 + eps)
    y[:] = cache[key]
""",
        repeat_inputs,
    ),
    # B4
    "cache by shape": Cheat(
        """
cache = {}
def solve(x, y, eps):
    if x.shape not in cache:
        cache[x.shape] = x * np.float32(1 + eps)
    y[:] = cache[x.shape]
""",
        repeat_inputs,
    ),
    # B12: leave the output alone, it still holds the right answer.
    "stale output": Cheat(
        """
seen = {}
def solve(x, y, eps):
    if seen.setdefault(x.shape, 0) < 1:
        np.multiply(x, np.float32(1 + eps), out=y)
    seen[x.shape] += 1
""",
        repeat_inputs_without_poison,
    ),
    # B5: stop working once the correctness calls must be over.
    "work only on the first calls": Cheat(
        """
calls = {}
def solve(x, y, eps):
    calls[x.shape] = calls.get(x.shape, 0) + 1
    if calls[x.shape] <= 2:
        np.multiply(x, np.float32(1 + eps), out=y)
    else:
        y[0] = x[0]
""",
        trust_the_baseline_only_at_first,
    ),
    # D7
    "inputs as scratch": Cheat(
        """
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=x)
    y[:] = x
""",
        believe_inputs,
        verdicts=(Verdict.RTE,),
    ),
    # E8
    "writes past the end": Cheat(
        """
#include <cstdint>
extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols, double eps) {
    const float f = 1 + eps;
    for (int64_t i = 0; i < rows * cols; ++i) y[i] = x[i] * f;
    for (int64_t i = 0; i < 16; ++i) y[rows * cols + i] = 0;  // padding for whole vectors
}
""",
        no_guards,
        filename="s.cpp",
    ),
    # A2: return at once, let a thread finish before anyone looks.
    "background thread": Cheat(
        """
#include <cstdint>
#include <thread>
extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols, double eps) {
    std::thread([=] {
        const float f = 1 + eps;
        for (int64_t i = 0; i < rows * cols; ++i) y[i] = x[i] * f;
    }).detach();
}
""",
        look_late,
        filename="s.cpp",
    ),
}


@pytest.fixture
def patch() -> Iterator[Patch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.mark.parametrize("name", CHEATS)
def test_the_cheat_is_caught(name: str, judged: Judge) -> None:
    cheat = CHEATS[name]
    result = judged(cheat.text, cheat.filename, Mode.BENCHMARK)
    assert result.verdict in cheat.verdicts


@pytest.mark.parametrize("name", CHEATS)
def test_without_the_defence_it_would_have_been_accepted(
    name: str, judged: Judge, patch: Patch
) -> None:
    cheat = CHEATS[name]
    cheat.off(patch)
    result = judged(cheat.text, cheat.filename, Mode.BENCHMARK)
    assert result.verdict is Verdict.AC, (result.message, result.runs)


def test_a_late_write_is_proof_of_deferral(judged: Judge, patch: Patch) -> None:
    """The outputs are compared again before their place is used a second time."""
    text = """
import threading
last = None
def solve(x, y, eps):
    global last
    if last is not None:
        last[0, 0] += 1  # what a thread of the previous call would do
    np.multiply(x, np.float32(1 + eps), out=y)
    last = y
"""
    result = judged(text, mode=Mode.BENCHMARK)
    assert result.verdict is Verdict.WA
    (run,) = [r for r in result.runs if r.error is not None]
    assert run.error is not None
    assert run.error.gate == "late-write"
    look_once(patch)
    assert judged(text, mode=Mode.BENCHMARK).verdict is Verdict.AC


def test_nothing_runs_between_calls(judged: Judge, patch: Patch) -> None:
    """Threads left burning get no time while the judge works or the baseline runs (A20, K-5)."""
    text = """
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
static int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
static std::atomic<int64_t> burnt;
static void burn() {
    for (int64_t last = now();;) {
        int64_t next = now();
        if (next - last < 100000) burnt += next - last;  // a longer gap is time we did not have
        last = next;
    }
}
extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols, double eps) {
    static int64_t left = 0, left_burnt = 0;
    double share = left ? double(burnt - left_burnt) / double(now() - left) : 0;
    if (!left) for (int i = 0; i < 3; ++i) std::thread(burn).detach();
    const float f = share > 0.25 ? 0 : 1 + eps;
    for (int64_t i = 0; i < rows * cols; ++i) y[i] = x[i] * f;
    left = now();
    left_burnt = burnt;
}
"""
    write = tracks.write_inputs

    def at_leisure(arena: Arena, *rest: Any) -> None:
        time.sleep(0.1)  # what the judge does between two calls takes this long here
        write(arena, *rest)

    patch.setattr(tracks, "write_inputs", at_leisure)
    assert judged(text, "s.cpp", Mode.TEST).verdict is Verdict.AC
    stop, others = BubblewrapResident.stop, but_the_first()
    like_others(patch)
    patch.setattr(BubblewrapResident, "stop", lambda self: stop(self) if others(self) else None)
    assert judged(text, "s.cpp", Mode.TEST).verdict is Verdict.WA


def test_a_forged_done_is_a_wrong_answer(judged: Judge) -> None:
    """Raising DONE early from a thread only cuts one's own time short (J9)."""
    text = """
import sys
def solve(x, y, eps):
    w = sys._getframe(1).f_locals["words"]
    w[17] = 0
    w[16] = w[0]
    np.multiply(x, np.float32(1 + eps), out=y)
    for _ in range(1000):
        np.multiply(x, np.float32(1 + eps), out=y)
"""
    result = judged(text, mode=Mode.BENCHMARK)
    assert result.verdict is Verdict.WA


def test_a_sequence_number_from_the_future_is_never_believed(judged: Judge) -> None:
    text = """
import sys
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
    w = sys._getframe(1).f_locals["words"]
    w[16] = w[0] + 5
    while True: pass
"""
    assert judged(text, mode=Mode.TEST).verdict is Verdict.TLE


def test_null_calls_are_not_the_candidates_to_slow_down(judged: Judge, patch: Patch) -> None:
    """A candidate that makes "nothing" slow must not have that time subtracted."""
    text = """
import sys, time
harness = sys.modules["__main__"]
def slow(*_args):
    time.sleep(0.003)
harness.nothing = slow
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
"""
    honest = judged(text, mode=Mode.BENCHMARK)
    assert honest.overhead is not None
    assert honest.overhead.median_ns < 2_000_000

    null = Session._null
    patch.setattr(Session, "_null", lambda self, track, _side: null(self, track, track.candidate))
    patch.setattr(Session, "_answer", lambda *_: None)
    fooled = judged(text, mode=Mode.BENCHMARK)
    assert fooled.overhead is not None
    assert fooled.overhead.median_ns > 2_000_000


def test_no_process_can_be_left_behind(judged: Judge) -> None:
    text = "import os\ndef solve(x, y, eps): os.fork()"
    result = judged(text, mode=Mode.TEST)
    assert result.verdict is Verdict.RTE
    assert "PermissionError" in result.message


def test_the_judges_pages_survive_a_program_that_tries_to_shrink_them(judged: Judge) -> None:
    text = """
import os
def solve(x, y, eps):
    for fd in range(3, 64):
        try:
            os.ftruncate(fd, 0)
        except OSError:
            pass
    np.multiply(x, np.float32(1 + eps), out=y)
"""
    assert judged(text, mode=Mode.TEST).verdict is Verdict.AC


def test_fresh_views_are_what_the_judge_compares(judged: Judge) -> None:
    """Unmapping or scribbling over the control page ends in a verdict, never in a hang."""
    text = """
import sys
def solve(x, y, eps):
    page = sys._getframe(1).f_locals["self"]._page
    page[:] = b"\\xff" * len(page)
"""
    assert judged(text, mode=Mode.TEST).verdict in (Verdict.RTE, Verdict.WA, Verdict.TLE)
