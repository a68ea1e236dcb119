"""Is an output a fair draw? Random operators are compared with the reference's own draw."""

import math

import numpy as np

from judge.arena import Array
from judge.findings import Findings
from judge.gates import pattern

FEWEST = 32
"""Elements below which a correlation says nothing."""


def statistical(
    output: str, got: Array, want: Array, previous: Array | None, alpha: float
) -> Findings:
    """Compare two draws.

    Args:
        want: the reference's draw, in double precision.
        previous: the submission's output of the last call, None on the first.
        alpha: how likely each test refuses an honest draw.
    """
    mine = got.astype(np.float64)
    if not np.isfinite(mine).all():
        return pattern(output, ~np.isfinite(mine))
    allowed = 2 * math.sqrt(math.log(4 / alpha) / (2 * mine.size))
    margins = {"distribution": _distance(mine, want) / allowed}
    # Ranks do not care how the numbers are distributed.
    ranks = _ranks(mine)
    for lag in {1, mine.shape[-1]}:
        margins[f"independence.lag-{lag}"] = _correlation(ranks[lag:], ranks[:-lag], alpha)
    if previous is not None:
        before = _ranks(previous.astype(np.float64))
        margins["independence.last-call"] = _correlation(ranks, before, alpha)
    return Findings(output, margins)


def _distance(a: Array, b: Array) -> float:
    """Kolmogorov's: the largest difference of the two empirical distributions."""
    a, b = np.sort(a.reshape(-1)), np.sort(b.reshape(-1))
    points = np.concatenate((a, b))
    below = [np.searchsorted(x, points, side="right") / x.size for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _ranks(values: Array) -> Array:
    """Which smallest each element is, equal ones alike, from -1 to 1."""
    flat = values.reshape(-1)
    _, which, counts = np.unique(flat, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    ranks: Array = middle[which] * (2 / flat.size) - 1
    return ranks


def _correlation(a: Array, b: Array, alpha: float) -> float:
    """Of two rows of ranks, over what chance gives."""
    if len(a) < FEWEST:
        return 0.0
    spread = float(a.std() * b.std())
    # All equal: the test of the distribution has its say on that.
    r = float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread else 0.0
    return abs(r) / math.sqrt(2 * math.log(2 / alpha) / len(a))
