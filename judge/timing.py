"""From paired samples to a speed-up with an interval.

Interference only ever adds time, so each side is summarised by a low quantile; the rounds are
interleaved and the bootstrap resamples whole rounds, so slow drift hits both sides alike.
"""

import numpy as np
import numpy.typing as npt

from judge.wire import Interval

QUANTILE = 0.10
RESAMPLES = 2000
CONFIDENCE = 0.95

Samples = npt.NDArray[np.float64]


def low_quantile(samples: Samples) -> Samples:
    """The quantile each side is summarised by, along the last axis."""
    return np.asarray(np.quantile(samples, QUANTILE, axis=-1))


def log_ratios(
    candidate_ns: Samples, baseline_ns: Samples, overhead_ns: float, rng: np.random.Generator
) -> Samples:
    """Bootstrap distribution of ln(baseline / candidate); the first element is the estimate.

    Args:
        candidate_ns, baseline_ns: raw samples, paired by position, shape (rounds,).
        overhead_ns: cost of a null call through the same path, subtracted from both.
    """
    rounds = len(candidate_ns)
    picks = rng.integers(0, rounds, (RESAMPLES, rounds))
    picks[0] = np.arange(rounds)
    candidate = np.maximum(low_quantile(candidate_ns[picks]) - overhead_ns, 1.0)
    baseline = np.maximum(low_quantile(baseline_ns[picks]) - overhead_ns, 1.0)
    return np.asarray(np.log(baseline / candidate))


def interval(draws: Samples) -> Interval:
    """exp of the estimate (first draw) with the percentile interval of the others."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    value = float(draws[0])
    return Interval(
        value=float(np.exp(value)),
        low=float(np.exp(min(low, value))),
        high=float(np.exp(max(high, value))),
    )


def half_width(draws: Samples) -> float:
    """Half the interval's width, in log units (0.01 is one per cent)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return float(high - low) / 2
