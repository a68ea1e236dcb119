"""How much does the score of one and the same submission vary from judging to judging?

Both sides of the comparison in one run: our score, and beside each judging the ratios that the
field's judges use, of the means, medians and minima of 100 in-process `perf_counter` readings of
each side, on the same workloads. Quiet, then with two busy neighbours. And the farm: what the best
of all quiet judgings gains over their mean, beside the width of an interval.
"""

import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from judge.backend import warmed
from judge.building import build
from judge.cores import environment
from judge.judging import judge
from judge.package import Package, bundled_problems, load_package
from judge.source import Source, read_source
from judge.verdict import Mode, Verdict
from judge.wire import Interval
from sandbox.base import Sandbox
from sandbox.bubblewrap import Bubblewrap
from tests.bench.figures import say, variation
from tests.bench.inprocess import SUMMARIES

SUBMISSION = "accepted/fused.cpp"


def bench(quick: bool) -> dict[str, Any]:
    """100 judgings quiet and 20 busy (5 each with `quick`)."""
    package = load_package(bundled_problems() / "row_softmax")
    path = package.root / "submissions" / SUBMISSION
    source = read_source(path, limit_bytes=1 << 20)
    scores, quiet = side_by_side(package, source, 5 if quick else 100, "quiet")
    with neighbours(2):
        _, busy = side_by_side(package, source, 5 if quick else 20, "busy")
    return {
        "submission": f"row_softmax/{SUBMISSION}",
        "quiet": quiet,
        "busy": busy,
        "farm": farm(scores),
    }


def farm(scores: list[Interval]) -> dict[str, float]:
    """What somebody gains who submits the same again and again, and the best counts."""
    values = [score.value for score in scores]
    return {
        "gain": round(max(values) / statistics.mean(values) - 1, 5),
        "interval": round(statistics.median(s.high / s.low for s in scores) - 1, 5),
        "n": len(scores),
    }


def side_by_side(
    package: Package, source: Source, rounds: int, label: str
) -> tuple[list[Interval], dict[str, Any]]:
    """Scores of the judgings, and how they and the others' ratios vary."""
    scores: list[Interval] = []
    seconds: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in SUMMARIES}
    with tempfile.NamedTemporaryFile(suffix=".so") as library, warmed(Bubblewrap()) as sandbox:
        library.write(compiled(sandbox, source))
        library.flush()
        for i in range(rounds):
            sandbox.refill(environment())
            result = judge(package, source, Mode.RANKED, sandbox)
            if result.verdict is not Verdict.AC or result.score is None:
                raise RuntimeError(f"the bench's submission got {result.verdict}: {result.message}")
            scores.append(result.score)
            seconds.append(result.elapsed_s)
            for name, ratio in in_process(package, library.name).items():
                ratios[name].append(ratio)
            others = ", ".join(f"{name} {found[-1]:.4f}" for name, found in ratios.items())
            say(f"{label} {i + 1}/{rounds}: score {scores[-1].value:.4f}, {others}")
    found = {"score_cv": variation([score.value for score in scores])}
    found |= {f"{name}_cv": variation(values) for name, values in ratios.items()}
    return scores, found | {
        "score_mean": round(statistics.mean(score.value for score in scores), 4),
        "mean100_mean": round(statistics.mean(ratios["mean100"]), 4),
        "judging_s_median": round(statistics.median(seconds), 2),
        "n": rounds,
    }


def compiled(sandbox: Sandbox, source: Source) -> bytes:
    """The submission's shared library, as an in-process judge would load it."""
    built = build(sandbox, source.language, {f.path: f.content for f in source.files}, 4)
    if not built.ok:
        raise RuntimeError(built.log)
    return built.artifact


def in_process(package: Package, library: str) -> dict[str, float]:
    """The other side's scores, from a process of its own, as every judging there has one."""
    dims = [w.dims for w in package.problem.workloads if w.timed]
    shapes = json.dumps([(d["rows"], d["cols"]) for d in dims])
    command = [sys.executable, "-m", "tests.bench.inprocess", library, shapes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: float(ratio) for name, ratio in json.loads(done.stdout).items()}


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Other programs that keep cores and memory busy, in bursts, free to run on any core."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=burn, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def burn() -> None:
    """Compute and stream memory until killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    block = bytearray(os.urandom(1 << 22))
    while True:
        sum(range(200_000))
        block[:] = block[::-1]
