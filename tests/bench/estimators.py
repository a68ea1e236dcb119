"""Which summary of the samples makes a score that repeats? The experiment behind `judge.timing`.

One and the same submission is judged again and again beside neighbours of every kind, and every
estimator makes scores of the very same samples: what is printed is how these vary from judging to
judging, in per cent. `kinds` in the result are the neighbours, `estimators` those of
`ESTIMATORS`. Duet measurements, with both sides at work at once, are not among them: where memory
sets the pace the sides would measure each other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from judge import timing
from judge.backend import warmed
from judge.package import bundled_problems, load_package
from judge.source import read_source
from judge.timing import Samples
from judge.wire import JudgementResult
from sandbox.bubblewrap import Bubblewrap
from tests.bench.figures import say
from tests.bench.neighbours import KINDS, neighbours
from tests.bench.repeatability import judged

SUBMISSIONS = (("row_softmax", "fused.cpp"), ("matmul", "blocked.cpp"))

Estimator = Callable[[Samples, Samples], float]
"""ln(baseline / candidate) from samples in pairs, the overhead taken off."""


def by_side(summary: Callable[[Samples], float]) -> Estimator:
    """Each side summarised by itself."""
    return lambda candidate, baseline: float(np.log(summary(baseline) / summary(candidate)))


def low_mean(share: float) -> Callable[[Samples], float]:
    """Mean of the lowest share of the samples."""

    def summary(samples: Samples) -> float:
        return float(np.sort(samples)[: max(1, int(len(samples) * share))].mean())

    return summary


def hodges_lehmann(candidate: Samples, baseline: Samples) -> float:
    """Median of the pairwise means of the rounds' log ratios."""
    ratios = np.log(baseline / candidate)
    return float(np.median((ratios[:, None] + ratios) / 2))


def median_of_pairs(candidate: Samples, baseline: Samples) -> float:
    return float(np.median(np.log(baseline / candidate)))


ESTIMATORS: dict[str, Estimator] = {
    "mean": by_side(lambda samples: float(samples.mean())),
    "median": by_side(lambda samples: float(np.median(samples))),
    "p25": by_side(lambda samples: float(np.quantile(samples, 0.25))),
    "p10": by_side(lambda samples: float(np.quantile(samples, 0.1))),
    "minimum": by_side(lambda samples: float(samples.min())),
    "lowest_10": by_side(low_mean(0.1)),
    "lowest_25": by_side(low_mean(0.25)),
    "lowest_50": by_side(low_mean(0.5)),
    "lowest_75": by_side(low_mean(0.75)),
    "pairs_median": median_of_pairs,
    "hodges_lehmann": hodges_lehmann,
}


def bench(quick: bool) -> dict[str, Any]:
    """12 judgings of either submission with each kind of neighbours (3 with `quick`)."""
    count = 3 if quick else 12
    found: dict[str, Any] = {"n": count}
    for slug, file in SUBMISSIONS:
        found[slug] = {k: variations(slug, file, k, count) for k in ("quiet", *KINDS)}
    return found


def variations(slug: str, file: str, kind: str, count: int) -> dict[str, float]:
    """Per cent by which the scores of each estimator vary."""
    package = load_package(bundled_problems() / slug)
    source = read_source(package.root / "submissions" / "accepted" / file, limit_bytes=1 << 20)
    results = []
    with warmed(Bubblewrap()) as sandbox, neighbours(kind):
        for i in range(count):
            results.append(judged(package, source, sandbox))
            say(f"{slug} {kind} {i + 1}/{count}: {results[-1].score}")
    found = {name: _variation(results, estimate) for name, estimate in ESTIMATORS.items()}
    say(f"{slug} {kind}: {found}")
    return found


def _variation(results: list[JudgementResult], estimate: Estimator) -> float:
    scores = [np.mean([_of_run(r, i, estimate) for i in _timed(r)]) for r in results]
    return round(100 * float(np.std(scores, ddof=1)), 2)


def _timed(result: JudgementResult) -> list[int]:
    return [i for i, run in enumerate(result.runs) if run.candidate_samples_ns]


def _of_run(result: JudgementResult, index: int, estimate: Estimator) -> float:
    assert result.overhead is not None
    run, overhead_ns = result.runs[index], result.overhead.low_ns
    candidate, baseline = (
        _without(np.asarray(samples, np.float64), overhead_ns)
        for samples in (run.candidate_samples_ns, run.baseline_samples_ns)
    )
    return estimate(candidate, baseline)


def _without(samples: Samples, overhead_ns: float) -> Samples:
    return np.maximum(samples - overhead_ns, samples * timing.LEAST_SHARE)
