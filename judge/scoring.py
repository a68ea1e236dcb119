"""From runs to one score: the weighted geometric mean of clamped speed-ups.

The set of workloads is fixed: one that failed makes the submission unranked, it never leaves the
mean. Everything here can be recomputed from a stored result.
"""

from collections.abc import Sequence

import numpy as np

from judge import timing
from judge.problem import Scoring
from judge.wire import Formula, Interval, Run

VERSION = 2
"""Of the formula; raise it whenever the same samples would give another score."""


def formula(scoring: Scoring) -> Formula:
    """The formula in force, for the record."""
    return Formula(
        version=VERSION,
        kept=timing.KEPT,
        resamples=timing.RESAMPLES,
        confidence=timing.CONFIDENCE,
        least_share=timing.LEAST_SHARE,
        min_speedup=scoring.min_speedup,
        max_speedup=scoring.max_speedup,
    )


def run_draws(run: Run, overhead_ns: float) -> timing.Samples:
    """The bootstrap distribution of a run's log speed-up, always the same for the same samples."""
    rng = np.random.default_rng(len(run.candidate_samples_ns))
    return timing.log_ratios(
        np.asarray(run.candidate_samples_ns, np.float64),
        np.asarray(run.baseline_samples_ns, np.float64),
        overhead_ns,
        rng,
        run.starts or (0,),
    )


def score(runs: Sequence[Run], overhead_ns: float, scoring: Scoring) -> Interval | None:
    """S = exp(sum w_k g_k / sum w_k), g_k = ln speed-up of workload k, clamped.

    None if nothing was timed.
    """
    timed = [r for r in runs if r.timed and r.candidate_samples_ns]
    if not timed:
        return None
    total = sum(r.weight for r in timed)
    lowest, highest = np.log(scoring.min_speedup), np.log(scoring.max_speedup)
    draws = sum(
        r.weight / total * np.clip(run_draws(r, overhead_ns), lowest, highest) for r in timed
    )
    return timing.interval(np.asarray(draws))
