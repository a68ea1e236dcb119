"""How much does the score of one and the same submission vary from judging to judging?

Both sides of the comparison in one run: our score, and beside each judging the ratio that the
field's judges use, a mean of 100 in-process `perf_counter` readings of each side, on the same
workloads. Quiet, then with two busy neighbours.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from judge.building import build
from judge.judging import judge
from judge.package import Package, bundled_problems, load_package
from judge.source import Source, read_source
from judge.verdict import Mode, Verdict
from sandbox.bubblewrap import Bubblewrap
from tests.bench.figures import say, variation

SUBMISSION = "accepted/fused.cpp"


def bench(quick: bool) -> dict[str, Any]:
    """20 judgings (5 with `quick`), quiet and busy."""
    package = load_package(bundled_problems() / "row_softmax")
    path = package.root / "submissions" / SUBMISSION
    source = read_source(path, limit_bytes=1 << 20)
    rounds = 5 if quick else 20
    quiet = side_by_side(package, source, rounds, "quiet")
    with neighbours(2):
        busy = side_by_side(package, source, rounds, "busy")
    return {"submission": f"row_softmax/{SUBMISSION}", "quiet": quiet, "busy": busy}


def side_by_side(package: Package, source: Source, rounds: int, label: str) -> dict[str, Any]:
    sandbox = Bubblewrap()
    scores, means, seconds = [], [], []
    with tempfile.NamedTemporaryFile(suffix=".so") as library:
        library.write(compiled(sandbox, source))
        library.flush()
        for i in range(rounds):
            result = judge(package, source, Mode.RANKED, sandbox)
            if result.verdict is not Verdict.AC or result.score is None:
                raise RuntimeError(f"the bench's submission got {result.verdict}: {result.message}")
            scores.append(result.score.value)
            seconds.append(result.elapsed_s)
            means.append(mean_ratio(package, library.name))
            say(f"{label} {i + 1}/{rounds}: score {scores[-1]:.4f}, mean of 100 {means[-1]:.4f}")
    return {
        "score_cv": variation(scores),
        "mean100_cv": variation(means),
        "score_mean": round(sum(scores) / rounds, 4),
        "mean100_mean": round(sum(means) / rounds, 4),
        "judging_s_median": round(sorted(seconds)[rounds // 2], 2),
        "n": rounds,
    }


def compiled(sandbox: Bubblewrap, source: Source) -> bytes:
    """The submission's shared library, as an in-process judge would load it."""
    built = build(sandbox, source.language, {f.path: f.content for f in source.files}, 4)
    if not built.ok:
        raise RuntimeError(built.log)
    return built.artifact


def mean_ratio(package: Package, library: str) -> float:
    """The other side's score, from a process of its own, as every judging there has one."""
    dims = [w.dims for w in package.problem.workloads if w.timed]
    shapes = json.dumps([(d["rows"], d["cols"]) for d in dims])
    command = [sys.executable, "-m", "tests.bench.inprocess", library, shapes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


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
