"""How much does the score of one and the same submission vary from judging to judging?

Both sides of the comparison in one run: our score, and beside each judging the ratio that the
field's judges use, a mean of 100 in-process `perf_counter` readings of each side, on the same
workloads. Quiet, then with two busy neighbours.
"""

import ctypes
import functools
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from judge.building import build
from judge.judging import judge
from judge.package import Package, bundled_problems, load_package
from judge.source import Source, read_source
from judge.verdict import Mode, Verdict
from sandbox.bubblewrap import Bubblewrap
from tests.bench.figures import say, variation

SUBMISSION = "accepted/fused.cpp"
CALLS = 100

Solve = Callable[[torch.Tensor, torch.Tensor], object]


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
    solve, keep = native(sandbox, source)
    for i in range(rounds):
        result = judge(package, source, Mode.RANKED, sandbox)
        if result.verdict is not Verdict.AC or result.score is None:
            raise RuntimeError(f"the bench's submission got {result.verdict}: {result.message}")
        scores.append(result.score.value)
        seconds.append(result.elapsed_s)
        means.append(mean_ratio(package, solve))
        say(f"{label} {i + 1}/{rounds}: score {scores[-1]:.4f}, mean of {CALLS} {means[-1]:.4f}")
    del keep
    return {
        "score_cv": variation(scores),
        "mean100_cv": variation(means),
        "score_mean": round(sum(scores) / rounds, 4),
        "mean100_mean": round(sum(means) / rounds, 4),
        "judging_s_median": round(sorted(seconds)[rounds // 2], 2),
        "n": rounds,
    }


def native(sandbox: Bubblewrap, source: Source) -> tuple[Solve, object]:
    """The submission as an in-process judge would load it."""
    files = {f.path: f.content for f in source.files}
    built = build(sandbox, source.language, files, 4)
    if not built.ok:
        raise RuntimeError(built.log)
    fd = os.memfd_create("solution.so")
    os.write(fd, built.artifact)
    library = ctypes.CDLL(f"/proc/self/fd/{fd}")
    os.close(fd)

    def solve(x: torch.Tensor, y: torch.Tensor) -> None:
        library.solve(
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(y.data_ptr()),
            ctypes.c_int64(x.shape[0]),
            ctypes.c_int64(x.shape[1]),
        )

    return solve, library


def mean_ratio(package: Package, solve: Solve) -> float:
    """Geometric mean over the timed workloads of mean(baseline) / mean(candidate)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logs = []
    for workload in package.problem.workloads:
        if not workload.timed:
            continue
        x = torch.rand(workload.dims["rows"], workload.dims["cols"]) * 40 + 60
        y = torch.empty_like(x)
        baseline = mean_s(functools.partial(torch.softmax, x, dim=1, out=y))
        candidate = mean_s(functools.partial(solve, x, y))
        logs.append(math.log(baseline / candidate))
    torch.set_num_threads(threads)
    return math.exp(sum(logs) / len(logs))


def mean_s(call: Callable[[], object]) -> float:
    """Three calls to warm up, then the mean of `CALLS`."""
    for _ in range(3):
        call()
    total = 0.0
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        total += time.perf_counter() - start
    return total / CALLS


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
