"""How much does the score of one and the same submission vary from judging to judging?

Both sides of the comparison in one run: our score, and beside each judging the ratios that the
field's judges use, of the means, medians and minima of 100 in-process `perf_counter` readings of
each side, on the same workloads. Quiet, then with two busy neighbours. And the farm: what the best
of all quiet judgings gains over their mean, beside the width of an interval. First for an operator
whose pace memory sets, then for one that computes.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from judge.backend import warmed
from judge.building import build
from judge.cores import environment
from judge.judging import judge
from judge.package import Package, bundled_problems, load_package
from judge.signature import arity
from judge.source import Source, read_source
from judge.verdict import Language, Mode, Verdict
from judge.wire import Interval, JudgementResult
from sandbox.base import Sandbox
from sandbox.bubblewrap import Bubblewrap
from tests.bench.figures import say, variation
from tests.bench.inprocess import SUMMARIES
from tests.bench.neighbours import neighbours


def bench(quick: bool) -> dict[str, Any]:
    """100 judgings quiet and 20 busy, 20 of each that compute (5 each with `quick`)."""
    memory = of_one("row_softmax", "fused.cpp", *((5, 5) if quick else (100, 20)))
    compute = of_one("matmul", "blocked.cpp", *((5, 5) if quick else (20, 20)))
    return {**memory, "compute": compute}


def of_one(slug: str, file: str, quiet: int, busy: int) -> dict[str, Any]:
    """The figures of one submission."""
    package = load_package(bundled_problems() / slug)
    source = read_source(package.root / "submissions" / "accepted" / file, limit_bytes=1 << 20)
    scores, alone = side_by_side(package, source, quiet, "quiet")
    _, beside = side_by_side(package, source, busy, "busy")
    return {"submission": f"{slug}/{file}", "quiet": alone, "busy": beside, "farm": farm(scores)}


def farm(scores: list[Interval]) -> dict[str, float]:
    """What somebody gains who submits the same again and again, and the best counts."""
    values = [score.value for score in scores]
    return {
        "gain": round(max(values) / statistics.mean(values) - 1, 5),
        "interval": round(statistics.median(s.high / s.low for s in scores) - 1, 5),
        "n": len(scores),
    }


def side_by_side(
    package: Package, source: Source, rounds: int, kind: str
) -> tuple[list[Interval], dict[str, Any]]:
    """Scores of the judgings, and how they and the others' ratios vary.

    Args:
        kind: of the neighbours.
    """
    scores: list[Interval] = []
    seconds: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in SUMMARIES}
    with (
        tempfile.NamedTemporaryFile(suffix=".so") as library,
        warmed(Bubblewrap()) as sandbox,
        neighbours(kind),
    ):
        library.write(compiled(sandbox, package, source))
        library.flush()
        for i in range(rounds):
            score, elapsed_s = ranked(package, source, sandbox)
            scores.append(score)
            seconds.append(elapsed_s)
            for name, ratio in in_process(package, library.name).items():
                ratios[name].append(ratio)
            others = ", ".join(f"{name} {found[-1]:.4f}" for name, found in ratios.items())
            say(f"{package.slug} {kind} {i + 1}/{rounds}: score {score.value:.4f}, {others}")
    found = {"score_cv": variation([score.value for score in scores])}
    found |= {f"{name}_cv": variation(values) for name, values in ratios.items()}
    return scores, found | {
        "score_mean": round(statistics.mean(score.value for score in scores), 4),
        "mean100_mean": round(statistics.mean(ratios["mean100"]), 4),
        "judging_s_median": round(statistics.median(seconds), 2),
        "n": rounds,
    }


def ranked(package: Package, source: Source, sandbox: Sandbox) -> tuple[Interval, float]:
    """A judging's score and how long it took."""
    result = judged(package, source, sandbox)
    if result.score is None:
        raise RuntimeError(f"{package.slug} has no score")
    return result.score, result.elapsed_s


def judged(package: Package, source: Source, sandbox: Sandbox) -> JudgementResult:
    """A ranked judging with warm sandboxes."""
    sandbox.refill(environment())
    result = judge(package, source, Mode.RANKED, sandbox)
    if result.verdict is not Verdict.AC:
        raise RuntimeError(f"the bench's submission got {result.verdict}: {result.message}")
    return result


def compiled(sandbox: Sandbox, package: Package, source: Source) -> bytes:
    """The submission's shared library, as an in-process judge would load it."""
    files = {f.path: f.content for f in source.files}
    built = build(sandbox, source.language, files, arity(package.problem.operator, Language.CPP))
    if not built.ok:
        raise RuntimeError(built.log)
    return built.artifact


def in_process(package: Package, library: str) -> dict[str, float]:
    """The other side's scores, from a process of its own, as every judging there has one."""
    problem = package.problem
    dims = json.dumps(
        [
            {name: w.dims[name] for name in problem.operator.dims}
            for w in problem.workloads
            if w.timed
        ]
    )
    command = [sys.executable, "-m", "tests.bench.inprocess", package.slug, library, dims]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: float(ratio) for name, ratio in json.loads(done.stdout).items()}
