"""Whole judgings in real sandboxes: honest work is accepted, everything else is found out."""

import io
import os
import threading
import zipfile
from dataclasses import replace
from typing import NoReturn

import psutil
import pytest

from judge import judging, session
from judge.cores import scheduling_restored
from judge.effort import Effort
from judge.judging import JudgingOptions, judge
from judge.lease import Abort, Reason
from judge.measuring import selected
from judge.package import Package
from judge.party import Party
from judge.source import parse_upload
from judge.verdict import Mode, Verdict
from judge.wire import ErrorReport, JudgementResult, Run
from sandbox.bubblewrap import Bubblewrap
from tests.judge.conftest import Judge
from tests.judge.problems import small_problem
from tests.sandbox.conftest import eventually

HONEST = """
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
"""

CPP = """
#include <cstdint>
extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols, double eps) {
    const float f = 1 + eps;
    for (int64_t i = 0; i < rows * cols; ++i) y[i] = x[i] * f;
}
"""


def failed(result: JudgementResult) -> Run:
    return next(r for r in result.runs if r.verdict not in (None, Verdict.AC))


@pytest.mark.parametrize(("text", "filename"), [(HONEST, "s.py"), (CPP, "s.cpp")])
def test_honest_work_is_accepted_and_timed(judged: Judge, text: str, filename: str) -> None:
    result = judged(text, filename)
    assert result.verdict is Verdict.AC, result.message
    assert result.score is not None
    assert result.score.low <= result.score.value <= result.score.high
    timed = [r for r in result.runs if r.timed]
    assert len(timed) == 2
    for run in timed:
        assert run.calls == 6
        assert len(run.candidate_samples_ns) == len(run.baseline_samples_ns) == 6
        assert run.latency_ns is not None
        assert run.latency_ns > 0
        assert run.gbps is not None
        assert run.gbps > 0
    assert result.overhead is not None
    assert result.overhead.calls == 12
    assert 0 < result.kernel_s < result.elapsed_s
    assert len(result.artifact_hash) == len(result.seed) == 64
    assert result.environment.sandbox["backend"] == "bubblewrap"


def test_torch_tensors_are_the_default(judged: Judge) -> None:
    text = """#!OPJUDGE arrays=torch
import torch
def solve(x, y, eps):
    assert isinstance(x, torch.Tensor) and x.is_contiguous()
    torch.mul(x, 1 + eps, out=y)
"""
    assert judged(text, mode=Mode.TEST).verdict is Verdict.AC


def test_modes_cover_what_they_say() -> None:
    problem = small_problem()
    names = {mode: [w.name for w in selected(problem, mode)] for mode in Mode}
    assert names == {
        Mode.TEST: ["sample"],
        Mode.BENCHMARK: ["sample", "large"],
        Mode.RANKED: ["sample", "prime", "large"],
    }


def test_prepare_gets_shapes_before_the_first_call_and_is_reported(judged: Judge) -> None:
    text = """
tables = {}
def prepare(rows, cols, eps):
    tables[rows, cols] = np.float32(1 + eps)
def solve(x, y, eps):
    np.multiply(x, tables[x.shape], out=y)
"""
    result = judged(text)
    assert result.verdict is Verdict.AC, result.message
    assert result.prepare_s is not None
    assert result.prepare_s > 0
    assert judged(HONEST).prepare_s is None


def test_folders_import_their_own_modules(package: Package, sandbox: Bubblewrap) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("solution.py", "#!OPJUDGE arrays=numpy\nfrom helper import solve\n")
        archive.writestr("helper.py", "import numpy as np\n" + HONEST)
    source = parse_upload("s.zip", buffer.getvalue(), limit_bytes=1 << 20)
    assert judge(package, source, Mode.TEST, sandbox).verdict is Verdict.AC


BUGS = {
    "wrong formula": ("def solve(x, y, eps): np.multiply(x, 1.001, out=y)", "element"),
    "nothing written": ("def solve(x, y, eps): pass", "pattern"),
    "tail not written": ("def solve(x, y, eps): y[:-1] = x[:-1] * np.float32(1+eps)", "pattern"),
    "not a number": ("def solve(x, y, eps): y[:] = np.nan", "pattern"),
    "infinite": ("def solve(x, y, eps): y[:] = np.inf", "pattern"),
    "half precision": (
        "def solve(x, y, eps): y[:] = x.astype(np.float16).astype(np.float32)",
        "element",
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_wrong_answers_say_which_gate_and_where(judged: Judge, name: str) -> None:
    text, gate = BUGS[name]
    result = judged(text, mode=Mode.TEST)
    assert result.verdict is Verdict.WA
    assert result.score is None
    error = failed(result).error
    assert error is not None
    assert error.gate == gate
    if gate == "element":
        assert error.index is not None
        assert error.expected is not None
        assert error.got is not None
        assert error.share_wrong is not None


CRASHES = {
    "exception": ("def solve(x, y, eps): raise ValueError('tile of 7')", "ValueError: tile of 7"),
    "wrong shape": ("def solve(x, y, eps): y[:] = x[:, :1, None]", "could not broadcast"),
    "exit": ("import sys\ndef solve(x, y, eps): sys.exit(0)", "SystemExit"),
    "hard exit": ("import os\ndef solve(x, y, eps): os._exit(0)", "exited"),
    "no module": ("import missing_module\ndef solve(x, y, eps): pass", "missing_module"),
    "recursion": ("def solve(x, y, eps): solve(x, y, eps)", "RecursionError"),
    "kills itself": (
        "import os, signal\ndef solve(x, y, eps): os.kill(os.getpid(), signal.SIGKILL)",
        "",
    ),
}


@pytest.mark.parametrize("name", CRASHES)
def test_crashes_are_run_time_errors_with_the_authors_own_traceback(
    judged: Judge, name: str
) -> None:
    text, said = CRASHES[name]
    result = judged(text, mode=Mode.TEST)
    assert result.verdict is Verdict.RTE
    assert said in result.message
    assert "sandbox/harness" not in result.message


WAITS_IN_A_LOOP = """
#include <atomic>
#include <cstdint>
#include <thread>
extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols, double eps) {
    const float f = 1 + eps;
    std::atomic<bool> done{false};
    std::thread other([&] {
        for (int64_t i = 0; i < rows * cols; ++i) y[i] = x[i] * f;
        done = true;
    });
    while (!done) {}
    other.join();
}
"""


def test_threads_that_wait_for_each_other_in_a_loop_take_turns(judged: Judge) -> None:
    """With one core for both, and nobody to take it from the one that waits, it would not end."""
    result = judged(WAITS_IN_A_LOOP, "s.cpp", Mode.TEST)
    assert result.verdict is Verdict.AC, result.message


CPP_CRASHES = {
    "null pointer": ("*(volatile int*)0 = 1;", "SIGSEGV"),
    "abort": ("__builtin_abort();", "SIGABRT"),
    "division": ("volatile int64_t zero = 0; y[0] = rows / zero;", "SIGFPE"),
    "exception": ("throw 7;", "SIGABRT"),
}


@pytest.mark.parametrize("name", CPP_CRASHES)
def test_native_crashes_name_the_signal(judged: Judge, name: str) -> None:
    body, said = CPP_CRASHES[name]
    text = (
        '#include <cstdint>\nextern "C" void solve(const float*, float* y, int64_t rows, '
        f"int64_t, double) {{ {body} }}\n"
    )
    result = judged(text, "s.cpp", Mode.TEST)
    assert result.verdict is Verdict.RTE
    assert said in result.message


LIMITS = {
    "endless": ("def solve(x, y, eps):\n    while True: pass", Verdict.TLE),
    "sleeping": ("import time\ndef solve(x, y, eps): time.sleep(100)", Verdict.TLE),
    "endless import": ("while True: pass\ndef solve(x, y, eps): pass", Verdict.TLE),
    "output": ("def solve(x, y, eps):\n    print('x' * 8_000_000)", Verdict.OLE),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_have_verdicts_of_their_own(name: str, judged: Judge) -> None:
    text, verdict = LIMITS[name]
    assert judged(text, mode=Mode.TEST).verdict is verdict


def test_a_right_answer_over_the_output_limit_is_not_accepted(judged: Judge) -> None:
    """However short the calls are, the last look is taken before the verdict."""
    assert judged(HONEST + "    print('x' * 2_000_000)\n", mode=Mode.TEST).verdict is Verdict.OLE


def test_too_much_memory_is_not_called_too_slow(package: Package, judged: Judge) -> None:
    text = "def solve(x, y, eps):\n    hog = [np.ones(1 << 23) for _ in range(100)]"
    patient = package.problem.limits.model_copy(update={"time_limit_s": 60.0})
    problem = package.problem.model_copy(update={"limits": patient})
    result = judged(text, mode=Mode.TEST, package=replace(package, problem=problem))
    assert result.verdict is Verdict.MLE


@pytest.mark.parametrize(
    ("text", "filename", "said"),
    [
        ("def solve(x, y, eps:\n    pass", "s.py", "s.py:3"),
        ("def other(x): pass", "s.py", "solve"),
        ("def solve(x): pass", "s.py", "3"),
        ('extern "C" void solve() { nonsense }', "s.cpp", "nonsense"),
        ("int other() { return 1; }", "s.cpp", "solve"),
    ],
)
def test_what_does_not_build_is_a_compile_error(
    judged: Judge, text: str, filename: str, said: str
) -> None:
    result = judged(text, filename)
    assert result.verdict is Verdict.CE
    assert said in result.log
    assert result.runs == ()


def test_output_is_shown_in_test_mode_and_never_once_hidden_data_was_seen(judged: Judge) -> None:
    text = HONEST + "    print('secret', x[0, 0])\n"
    assert "secret" in judged(text, mode=Mode.TEST).stdout
    assert judged(text, mode=Mode.RANKED).stdout == ""


def test_an_exception_cannot_carry_hidden_inputs_out(judged: Judge) -> None:
    text = """
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
    if x.shape[0] == 509:
        raise ValueError(f"leak {x[0, 0]}")
"""
    result = judged(text)
    assert result.verdict is Verdict.RTE
    assert "leak" not in result.model_dump_json()


def test_a_wrong_hidden_workload_tells_gate_and_magnitude_only(judged: Judge) -> None:
    text = HONEST + "    if x.shape[0] == 509: y[3, 5] *= 2\n"
    run = failed(judged(text))
    assert run.hidden
    assert run.error is not None
    assert run.error.gate == "element"
    assert (run.error.index, run.error.expected, run.error.got) == (None, None, None)
    assert run.error.share_wrong is None
    size = run.error.max_error
    assert size is not None
    assert size > 1
    assert size == float(f"{size:.0e}"), "digits that the program chose"


def test_rounds_end_when_the_interval_is_narrow_or_at_the_cap(judged: Judge) -> None:
    def rounds(half_width: float) -> set[int]:
        effort = Effort(checks=1, min_rounds=5, max_rounds=15, half_width=half_width, budget_s=60)
        result = judged(HONEST, options=JudgingOptions(effort=dict.fromkeys(Mode, effort)))
        return {r.calls for r in result.runs if r.timed}

    assert rounds(1e9) == {5}
    assert rounds(0.0) == {15}


@pytest.mark.parametrize(("wide", "rounds"), [(1e9, 30), (0.0, 60)])
def test_rounds_go_on_while_the_interval_is_wide(judged: Judge, wide: float, rounds: int) -> None:
    effort = Effort(
        checks=1, min_rounds=5, max_rounds=30, half_width=0.0, wide=wide, patience=2, budget_s=60
    )
    result = judged(HONEST, options=JudgingOptions(effort=dict.fromkeys(Mode, effort)))
    assert {r.calls for r in result.runs if r.timed} == {rounds}


@pytest.mark.parametrize(("processes", "rounds"), [(1, 5), (3, 15)])
def test_rounds_go_on_until_several_processes_were_measured(
    judged: Judge, monkeypatch: pytest.MonkeyPatch, processes: int, rounds: int
) -> None:
    monkeypatch.setattr(session, "_CHEAP_S", 60.0)
    effort = Effort(
        checks=1, min_rounds=5, max_rounds=30, half_width=1e9, budget_s=60, life=(4, 4),
        processes=processes,
    )  # fmt: skip
    result = judged(HONEST, options=JudgingOptions(effort=dict.fromkeys(Mode, effort)))
    assert {r.calls for r in result.runs if r.timed} == {rounds}


def test_the_judges_own_cores_are_given_back(judged: Judge) -> None:
    def scheduling() -> tuple[set[int], int]:
        return os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)

    before = scheduling()
    judged(HONEST, mode=Mode.TEST)
    assert scheduling() == before


def test_one_core_is_enough(judged: Judge) -> None:
    with scheduling_restored():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        result = judged(HONEST)
    assert result.verdict is Verdict.AC
    assert result.score is not None


def test_the_seed_that_was_committed_to_is_the_one_used(
    package: Package, sandbox: Bubblewrap
) -> None:
    """The same seed gives the same stream: inputs, order and guards come from it alone."""
    given = bytes(range(32))
    source = parse_upload("s.py", SEEN.encode(), limit_bytes=1 << 20)
    options = JudgingOptions(effort=dict.fromkeys(Mode, Effort(checks=1)), seed=given)
    first, again, other = (
        judge(package, source, Mode.TEST, sandbox, options=o)
        for o in (options, options, replace(options, seed=None))
    )
    assert first.seed == again.seed == given.hex()
    assert first.message == again.message != ""
    assert other.message != first.message


SEEN = """#!OPJUDGE arrays=numpy
def solve(x, y, eps):
    raise ValueError(x.tobytes().hex())
"""


def test_no_two_judgings_share_a_seed(judged: Judge) -> None:
    assert judged(HONEST, mode=Mode.TEST).seed != judged(HONEST, mode=Mode.TEST).seed


RESTARTED = JudgingOptions(
    effort=dict.fromkeys(Mode, Effort(min_rounds=9, max_rounds=9, half_width=0.0, life=(2, 3)))
)


def test_processes_are_changed_in_the_middle_of_the_stream(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So neither luck with pages nor the count of calls lasts; each is prepared and verified."""
    # On a busy machine starts are dear, and changes rare.
    monkeypatch.setattr(session, "_CHEAP_S", 60.0)
    text = """
print("loaded")
ready = {}
def prepare(rows, cols, eps):
    ready[rows, cols] = np.float32(1 + eps)
    print("prepared")
def solve(x, y, eps):
    np.multiply(x, ready[x.shape], out=y)
"""
    result = judged(text, mode=Mode.BENCHMARK, options=RESTARTED)
    assert result.verdict is Verdict.AC, result.message
    assert 3 <= result.stdout.count("loaded") <= 5
    assert result.stdout.count("prepared") >= result.stdout.count("loaded")
    (timed,) = [r for r in result.runs if r.timed]
    assert len(timed.candidate_samples_ns) == len(timed.baseline_samples_ns) == 9


def test_a_process_never_sees_enough_calls_to_turn_wrong(judged: Judge) -> None:
    """A program that is right for its first calls only is caught where processes live longer."""
    text = """
calls = 0
def solve(x, y, eps):
    global calls
    calls += 1
    np.multiply(x, np.float32(1 + eps) if calls < 7 else 0, out=y)
"""
    assert judged(text, mode=Mode.BENCHMARK, options=RESTARTED).verdict is Verdict.AC
    alone = dict.fromkeys(Mode, replace(RESTARTED.effort[Mode.TEST], life=(99, 99)))
    kept = JudgingOptions(effort=alone)
    assert judged(text, mode=Mode.BENCHMARK, options=kept).verdict is Verdict.WA


def test_a_late_write_is_seen_before_its_process_is_gone(judged: Judge) -> None:
    text = """
last = None
def solve(x, y, eps):
    global last
    if last is not None:
        last.view(np.int32)[0, 0] ^= 1  # the first byte, which is among those remembered
    np.multiply(x, np.float32(1 + eps), out=y)
    last = y
"""
    effort = Effort(checks=1, min_rounds=2, max_rounds=2, half_width=0.0, life=(1, 1))
    options = JudgingOptions(effort=dict.fromkeys(Mode, effort))
    result = judged(text, mode=Mode.BENCHMARK, options=options)
    assert result.verdict is Verdict.WA
    assert (failed(result).error or ErrorReport(gate="")).gate == "late-write"


def test_a_program_that_takes_long_to_prepare_is_not_started_again_and_again(judged: Judge) -> None:
    text = """
import time
print("loaded")
def prepare(rows, cols, eps):
    time.sleep(2)
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
"""
    result = judged(text, mode=Mode.BENCHMARK, options=RESTARTED)
    assert result.verdict is Verdict.AC
    assert result.stdout.count("loaded") == 1


WRITERS = {
    "numpy": ("s.py", "def solve(x, y, eps): x[0, 0] = 0", "read-only"),
    "torch": (
        "s.py",
        "#!OPJUDGE arrays=torch\ndef solve(x, y, eps): x.mul_(2)",
        "an input, for one, can only be read",
    ),
    "C++": (
        "s.cpp",
        CPP.replace("const float* x", "float* x").replace("y[i] =", "x[i] ="),
        "an input, for one, can only be read",
    ),
    "protection taken off": (
        "s.py",
        """
import ctypes
def solve(x, y, eps):
    page = x.ctypes.data & ~4095
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(page), 4096, 3) == 0, "refused"
""",
        "refused",
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_inputs_cannot_be_written(judged: Judge, name: str) -> None:
    filename, text, words = WRITERS[name]
    result = judged(text, filename, mode=Mode.TEST)
    assert result.verdict is Verdict.RTE
    assert words in result.message


@pytest.mark.parametrize("when", ["at once", "in the middle"])
def test_broken_off_while_its_sandboxes_are_made_it_leaves_nothing(
    package: Package, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Whatever the other thread was doing: it is not disturbed, and not left alone."""
    begun = threading.Event()
    start = Party.start

    def noticed(party: Party) -> None:
        begun.set()
        start(party)

    def broken(*_: object) -> NoReturn:
        if when == "in the middle":
            begun.wait()
        raise Abort(Reason.CANCELLED)

    monkeypatch.setattr(Party, "start", noticed)
    monkeypatch.setattr(judging, "build", broken)
    source = parse_upload("s.py", HONEST.encode(), limit_bytes=1 << 20)
    threads, children = set(threading.enumerate()), set(psutil.Process().children(recursive=True))
    descriptors = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(Abort):
        judge(package, source, Mode.TEST, Bubblewrap())
    # Whoever kept a sandbox notices that it has ended.
    assert eventually(lambda: sorted(os.listdir("/proc/self/fd")) == descriptors)
    assert set(psutil.Process().children(recursive=True)) == children
    assert eventually(lambda: set(threading.enumerate()) <= threads)
    assert begun.is_set() or when == "at once"
