"""From paired samples to a speed-up with an interval.

Interference only ever adds time, so each side is summarised by its low mean: the mean of its lowest
quarter. The rounds are interleaved and the bootstrap resamples whole rounds, so what slows the
machine down for a while slows both sides alike. Over sets of 12 to 16 judgings of one submission on
the development machine the score's coefficient of variation was, quiet: 0.8-0.9 % with the mean of
the lowest quarter or half, 0.9-1.0 % of the lowest three quarters, 1.2-1.3 % of all; with two busy
neighbours 1.0, 1.1, 2.0 and 9.9 %; 10th percentile, median and minimum were never better than the
lowest quarter by more than 0.05 %. (All that before `Arena.warm`.) What a machine does for minutes
on end no summary of a judging takes out: `python -m tests.bench estimators`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from judge.wire import Interval

KEPT = 0.25
RESAMPLES = 2000
CONFIDENCE = 0.95

LEAST_SHARE = 0.1
"""Of a measured time, at least so much counts as the operator's own, whatever the overhead."""

Samples = npt.NDArray[np.float64]


def low_mean(samples: Samples) -> Samples:
    """Mean of the lowest quarter along the last axis: what each side is summarised by."""
    kept = max(1, int(samples.shape[-1] * KEPT))
    lowest = np.partition(samples, kept - 1, axis=-1)[..., :kept]
    return np.asarray(lowest.mean(axis=-1))


def latency(samples: Samples, overhead_ns: float) -> Samples:
    """The low mean without the overhead, in nanoseconds, along the last axis."""
    measured = low_mean(samples)
    return np.maximum(measured - overhead_ns, measured * LEAST_SHARE)


def log_ratios(
    candidate_ns: Samples,
    baseline_ns: Samples,
    overhead_ns: float,
    rng: np.random.Generator,
    starts: Sequence[int] = (0,),
) -> Samples:
    """Bootstrap distribution of ln(baseline / candidate); the first element is the estimate.

    The mean over the processes that served the rounds, each weighted by its rounds. What a process
    happened to get moves all its times alike, so whole processes are resampled, and within each of
    them rounds.

    Args:
        candidate_ns, baseline_ns: raw samples, paired by position, shape (rounds,).
        overhead_ns: cost of a null call through the same path, subtracted from both.
        starts: positions at which the processes changed, 0 first.
    """
    ends = (*starts[1:], len(candidate_ns))
    parts = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    each = np.stack(
        [_of_one_process(candidate_ns[p], baseline_ns[p], overhead_ns, rng) for p in parts]
    )
    count = len(parts)
    if count == 1:
        return np.asarray(each[0])
    weights = np.asarray([p.stop - p.start for p in parts], np.float64)
    chosen = rng.integers(0, count, (RESAMPLES, count))
    draws = each[chosen, rng.integers(0, RESAMPLES, (RESAMPLES, count))]
    means = np.average(draws, axis=1, weights=weights[chosen])
    estimate = np.average(each[:, 0], weights=weights)
    # A resample of few is closer to their mean than another few would be: n - 1 for n.
    means = estimate + (means - means.mean()) * np.sqrt(count / (count - 1))
    means[0] = estimate
    return np.asarray(means)


def _of_one_process(
    candidate_ns: Samples, baseline_ns: Samples, overhead_ns: float, rng: np.random.Generator
) -> Samples:
    rounds = len(candidate_ns)
    picks = rng.integers(0, rounds, (RESAMPLES, rounds))
    picks[0] = np.arange(rounds)
    candidate = latency(candidate_ns[picks], overhead_ns)
    baseline = latency(baseline_ns[picks], overhead_ns)
    return np.asarray(np.log(baseline / candidate))


def control(baseline_ns: Samples, overhead_ns: float) -> Interval | None:
    """The baseline against itself: of every two rounds one is on either side, by lot.

    None below four pairs.
    """
    pairs = baseline_ns[: len(baseline_ns) // 2 * 2].reshape(-1, 2)
    if len(pairs) < 4:
        return None
    rng = np.random.default_rng(len(pairs))
    one, other = rng.permuted(pairs, axis=1).T
    return interval(log_ratios(one, other, overhead_ns, rng))


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
