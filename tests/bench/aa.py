"""The baseline against itself, as a submission: how often is it called faster?

Whole judgings, each with new sandboxes, whose rounds are cut into measurements of 30 pairs. A
measurement says "faster" where the board would not tie it with the baseline.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from judge import timing
from judge.effort import Effort
from judge.judging import JudgingOptions, judge
from judge.package import Package, load_package
from judge.ranking import tied
from judge.source import parse_upload
from judge.verdict import Mode, Verdict
from judge.wire import Interval, JudgementResult
from sandbox.bubblewrap import Bubblewrap
from tests.bench.figures import say
from tests.fixtures import write_package

PAIRS = 30
ONE = Interval(value=1.0, low=1.0, high=1.0)


def bench(quick: bool) -> dict[str, Any]:
    """1,000 measurements from 20 judgings (100 from 4 with `quick`)."""
    judgings, each = (4, 25) if quick else (20, 50)
    found: list[Interval] = []
    with tempfile.TemporaryDirectory(prefix="opjudge-bench-") as folder:
        package = small_package(Path(folder))
        for i in range(judgings):
            found += measurements(judged(package, PAIRS * each))
            say(f"{i + 1}/{judgings}: {sum(map(faster, found))} of {len(found)} say faster")
    return {
        "level": round(1 - timing.CONFIDENCE, 4),
        "faster_share": share([faster(f) for f in found]),
        "interval_above_one_share": share([f.low > 1 for f in found]),
        "value_p95": round(float(np.quantile([f.value for f in found], 0.95)), 4),
        "n": len(found),
        "judgings": judgings,
    }


def small_package(folder: Path) -> Package:
    """One timed workload of 1 MB: a call takes a tenth of a millisecond."""
    small = ("rows: 512, cols: 1024}, timed", "rows: 128, cols: 1024}, timed")
    return load_package(write_package(folder / "row_scale", small))


def judged(package: Package, rounds: int) -> JudgementResult:
    effort = Effort(min_rounds=rounds, max_rounds=rounds, budget_s=600.0)
    options = JudgingOptions(effort=dict.fromkeys(Mode, effort))
    text = package.baseline_source().encode()
    source = parse_upload("baseline.py", text, limit_bytes=1 << 20)
    result = judge(package, source, Mode.BENCHMARK, Bubblewrap(), options=options)
    if result.verdict is not Verdict.AC:
        raise RuntimeError(f"the baseline got {result.verdict}: {result.message}")
    return result


def measurements(result: JudgementResult) -> list[Interval]:
    """The speed-up of every 30 pairs in a row, as a judging of 30 pairs gives it."""
    assert result.overhead is not None
    run = next(run for run in result.runs if run.timed)
    candidate, baseline = (
        np.asarray(samples, np.float64).reshape(-1, PAIRS)
        for samples in (run.candidate_samples_ns, run.baseline_samples_ns)
    )
    low_ns = result.overhead.low_ns
    found = []
    for i, (c, b) in enumerate(zip(candidate, baseline, strict=True)):
        within = (start - i * PAIRS for start in run.starts)
        starts = (0, *(start for start in within if 0 < start < PAIRS))
        draws = timing.log_ratios(c, b, low_ns, np.random.default_rng(PAIRS), starts)
        found.append(timing.interval(draws))
    return found


def faster(speedup: Interval) -> bool:
    """Whether the board would place it above the baseline."""
    return speedup.value >= 1 and not tied(speedup, ONE)


def share(which: list[bool]) -> float:
    return round(sum(which) / len(which), 4)
