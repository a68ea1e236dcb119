"""From paired samples to a speed-up with an interval.

Interference only ever adds time, so each side is summarised by its low mean: the mean of its lowest
tenth, of all its processes together. The rounds are interleaved and the bootstrap resamples whole
processes and rounds, so what slows the machine down for a while slows both sides alike.

Of 80 judgings of one submission whose pace memory sets, 63 were in a quiet while and the rest
beside somebody else's work on the same memory. The score's coefficient of variation was (all, and
quiet) 0.5 and 0.3 % with the lowest tenth, 0.6 and 0.3 with the lowest quarter, 0.8 and 0.3 with
the half, 1.3 and 0.4 with medians; with the mean of every process's own low mean 0.6, 0.7 and 0.9
in all for a tenth, a quarter and the half. What a machine does for minutes on end no summary of a
judging takes out: `python -m tests.bench estimators`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from judge.wire import Interval

KEPT = 0.1
"""Share of the samples that the low mean is of, but at least `FEW` of them."""

FEW = 10
FEW_KEPT = 0.25
"""Unless that is more than this share: the lowest of a handful are too much left to luck."""

RESAMPLES = 2000
CONFIDENCE = 0.95

LEAST_SHARE = 0.1
"""Of a measured time, at least so much counts as the operator's own, whatever the overhead."""

Samples = npt.NDArray[np.float64]


def low_mean(samples: Samples) -> Samples:
    """Mean of the lowest along the last axis: what each side is summarised by."""
    count = samples.shape[-1]
    kept = max(1, int(max(count * KEPT, min(count * FEW_KEPT, FEW))))
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

    What a process happened to get moves all its times alike, so whole processes are resampled, and
    rounds within each of them.

    Args:
        candidate_ns, baseline_ns: raw samples, paired by position, shape (rounds,).
        overhead_ns: cost of a null call through the same path, subtracted from both.
        starts: positions at which the processes changed, 0 first.
    """
    picks = _resampled(len(candidate_ns), starts, rng)
    candidate = latency(candidate_ns[picks], overhead_ns)
    baseline = latency(baseline_ns[picks], overhead_ns)
    draws = np.log(baseline / candidate)
    if (count := len(starts)) > 1:
        # A resample of few is closer to their mean than another few would be: n - 1 for n.
        estimate = draws[0]
        draws = estimate + (draws - draws.mean()) * np.sqrt(count / (count - 1))
        draws[0] = estimate
    return np.asarray(draws)


def _resampled(
    rounds: int, starts: Sequence[int], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Positions of samples, shape (RESAMPLES, rounds); in the first row each once."""
    first = np.asarray(starts)
    lengths = np.diff(first, append=rounds)
    chosen = rng.integers(0, len(first), (RESAMPLES, len(first)))
    # In the place of each process as many rounds as it had, of the one that was drawn for it.
    drawn = np.repeat(chosen, lengths, axis=1)
    picks = first[drawn] + (rng.random((RESAMPLES, rounds)) * lengths[drawn]).astype(np.intp)
    picks[0] = np.arange(rounds)
    return picks


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
