"""Is an output right? Three gates, all of which must hold on every call.

pattern: no poison left, NaN and infinities exactly where the oracle has them;
element: every |y - y*| within c * (u |y*| + condition);
ratio:   max, mean and RMS error not more than so many times the honest reference's own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from judge import gates
from judge.arena import Array, raw, same_bytes
from judge.findings import Findings
from judge.oracle import Truth
from judge.tolerance import Exact, Lsb, Oracle, PerOutput
from judge.wire import ErrorReport

SMALL = 1000
"""Below so many elements mean and RMS are as chancy as a maximum, and get its ratio."""

FLOOR = (2.0, 1.0, 1.0)
"""Errors (max, mean, RMS), in the oracle's scale, that any honest reference may be taken to have.
Correct rounding of the result alone gives up to 1, 0.5 and 0.58; a vendor library that sums
in double is not the yardstick for everyone else."""

QUICK_SLACK = 2.0
"""The quick comparison is with the baseline, which may itself be wrong by its own tolerance."""

QUICK_RMS = 0.5
"""Share of the RMS gate within which an output may be from the baseline's."""

Sizes = tuple[float, float, float]

_BLOCK = 256
"""Elements summed up at a time: with some ten thousand the BLAS behind numpy starts threads of its
own, and what `_compared` makes of a block is the nearer to its maximum the smaller it is."""

_PIECE = 1024 * _BLOCK
"""Elements compared at a time: the difference stays in a cache, and makes no new pages."""


def check(output: str, got: Array, truth: Truth, tolerance: PerOutput) -> ErrorReport | None:
    """Compare an output with the truth; None if it is right.

    Args:
        got: private copy of the output, declared dtype and shape.
    """
    return findings(output, got, truth, tolerance).report(got, truth.value)


def findings(output: str, got: Array, truth: Truth, tolerance: PerOutput) -> Findings:
    """How far an output is from the truth, at every gate."""
    if got.dtype.kind in "biu":
        return gates.integers(output, got, truth.value, _lsb(tolerance))
    if isinstance(tolerance, Lsb):
        raise TypeError(f"{output!r} is {got.dtype}; steps are for integers")
    if not isinstance(tolerance, Oracle):
        return gates.floating(output, got, truth.value, tolerance)
    with np.errstate(all="ignore"):
        return _floating(output, got, truth, tolerance)


def _lsb(tolerance: PerOutput) -> Lsb | None:
    return tolerance if isinstance(tolerance, Lsb) else None


def _floating(output: str, got: Array, truth: Truth, tolerance: Oracle) -> Findings:
    error = relative_error(got, truth)
    sizes = error_sizes(error)
    # A mean that is a number is of errors that all are, and so of outputs that all are.
    if not math.isfinite(sizes[1]):
        wrong = gates.misplaced(got, truth.value, tolerance.element * truth.scale)
        if wrong.any():
            return gates.pattern(output, wrong)
        sizes = error_sizes(np.nan_to_num(error, copy=False, nan=0.0, posinf=0.0))
    margins = oracle_margins(sizes, truth.honest, got.size, tolerance)
    return Findings(output, margins, error, tolerance.element)


def oracle_margins(sizes: Sizes, honest: Sizes, count: int, tolerance: Oracle) -> dict[str, float]:
    """What errors of so many elements are over what is allowed, gate by gate.

    Args:
        honest: errors of the reference at the declared precision.
    """
    averaged = tolerance.max_ratio if count < SMALL else None
    allowed = {
        "max": tolerance.max_ratio,
        "mean": averaged or tolerance.mean_ratio,
        "rms": averaged or tolerance.rms_ratio,
    }
    margins = {"element": sizes[0] / tolerance.element}
    for (name, ratio), size, own, floor in zip(allowed.items(), sizes, honest, FLOOR, strict=True):
        margins[f"ratio.{name}"] = size / (ratio * max(own, floor))
    return margins


def relative_error(got: Array, truth: Truth) -> Array:
    """|got - y*| / scale, in double precision; not a number where neither is one."""
    error = got.astype(np.float64)
    error -= truth.value
    np.abs(error, out=error)
    error /= truth.scale
    return error


def error_sizes(error: Array) -> Sizes:
    """(max, mean, RMS) of relative errors."""
    return float(error.max()), float(error.mean()), root_mean_square(error)


def root_mean_square(values: Array) -> float:
    """Of floats of 32 or 64 bits, in one pass and without a temporary array."""
    squares = _squares(values.reshape(-1))
    if values.dtype == np.float32 and not math.isfinite(squares):
        return root_mean_square(values.astype(np.float64))
    return math.sqrt(squares / values.size)


def _squares(flat: Array) -> float:
    return float(_block_squares(flat).sum(dtype=np.float64))


def _block_squares(flat: Array) -> Array:
    """The sum of squares of every block, the last one perhaps shorter."""
    whole = flat.size // _BLOCK * _BLOCK
    blocks, rest = flat[:whole].reshape(-1, _BLOCK), flat[whole:]
    return np.append(np.vecdot(blocks, blocks), np.vecdot(rest, rest))


def _compared(got: Array, baseline: Array, wide: type[np.floating[Any]]) -> Sizes:
    """RMS of the baseline's output; bound of the maximum, and RMS, of the difference.

    The bound is the largest norm of a block: at most 16 times the maximum, and two passes less.

    In pieces: that is twice as fast as whole arrays that do not fit into a cache. None of it can be
    believed unless both RMS are finite.

    Args:
        wide: the type to compare in.
    """
    size = error = most = 0.0
    for whole, difference in _differences(got, baseline, wide):
        squares = _block_squares(difference)
        size += _squares(whole)
        error += float(squares.sum(dtype=np.float64))
        most = max(most, float(squares.max()))
    return math.sqrt(size / got.size), math.sqrt(most), math.sqrt(error / got.size)


def _largest_difference(got: Array, baseline: Array, wide: type[np.floating[Any]]) -> float:
    """The exact maximum of the absolute difference."""
    return max(
        max(float(difference.max()), -float(difference.min()))
        for _, difference in _differences(got, baseline, wide)
    )


def _differences(
    got: Array, baseline: Array, wide: type[np.floating[Any]]
) -> Iterator[tuple[Array, Array]]:
    """Pieces of the baseline's output, and the difference, good until the next."""
    scratch = np.empty(min(_PIECE, got.size), wide)
    mine, theirs = got.reshape(-1), baseline.reshape(-1)
    for start in range(0, got.size, _PIECE):
        part = slice(start, start + _PIECE)
        whole: Array = theirs[part].astype(wide, copy=False)
        difference = scratch[: whole.size]
        np.subtract(mine[part].astype(wide, copy=False), whole, out=difference)
        yield whole, difference


@dataclass(frozen=True)
class QuickCheck:
    """A cheap comparison with the baseline's output on the same inputs.

    Built from the oracle's truth on one call of a workload, good for its other calls, whose
    inputs follow the same distribution. It only ever says that the oracle need not be asked.

    Attributes:
        u: unit roundoff of the output's type; 0 where outputs have to be the same.
        condition: largest condition seen, over the RMS of the output it was seen with.
        element: c of the element gate.
        rms: how far from the baseline's on the whole, over the RMS of the output.
    """

    u: float
    condition: float
    element: float
    rms: float

    @classmethod
    def learn(cls, truth: Truth, u: float, tolerance: PerOutput) -> "QuickCheck | None":
        """From a call on which the oracle was asked.

        None where agreeing with the baseline says nothing: a rule that spares a share of the
        elements would let the baseline's misses be added to the submission's own.
        """
        if isinstance(tolerance, Exact) or (u == 0.0 and not isinstance(tolerance, Lsb)):
            return cls(0.0, 0.0, 0.0, 0.0)
        if isinstance(tolerance, Oracle):
            return cls(u, truth.condition, tolerance.element, _allowed_rms(truth, tolerance))
        return None

    def widened(self, other: "QuickCheck") -> "QuickCheck":
        """The looser of two."""
        condition, rms = max(self.condition, other.condition), max(self.rms, other.rms)
        return QuickCheck(self.u, condition, self.element, rms)

    def agrees(self, got: Array, baseline: Array) -> bool:
        """Whether an output is as near the baseline's as two right ones are."""
        return self._near(got, baseline, QUICK_SLACK)

    def is_right(self, got: Array, value: Array) -> bool:
        """Whether an output is as near the reference's value as a right one is."""
        return self._near(got, value, 1.0)

    def _near(self, got: Array, other: Array, slack: float) -> bool:
        if got.dtype == other.dtype and same_bytes(raw(got), raw(other)):
            # As right as the other, whatever is in it; and it ends at the first difference.
            return True
        if self.u == 0.0:
            return bool(np.array_equal(got, other))
        with np.errstate(all="ignore"):
            return self._floating(got, other, slack * self.element)

    def _floating(self, got: Array, other: Array, slack: float) -> bool:
        # Half precision goes to double because numpy takes twice as long to make it single.
        double = np.float64 in (got.dtype, other.dtype) or got.dtype == np.float16
        wide: type[np.floating[Any]] = np.float64 if double else np.float32
        rms, most, error_rms = _compared(got, other, wide)
        if not double and not math.isfinite(rms + error_rms):
            wide = np.float64
            rms, most, error_rms = _compared(got, other, wide)
        # Where an output is not finite the oracle is asked.
        if not math.isfinite(rms + error_rms) or error_rms > self.rms * rms:
            return False
        # Nearly always the part of the tolerance that is the same everywhere is wide enough.
        everywhere = slack * self.condition * rms
        if most <= everywhere or _largest_difference(got, other, wide) <= everywhere:
            return True
        theirs = other.astype(np.float64)
        error = np.abs(got.astype(np.float64) - theirs)
        error -= np.abs(theirs) * (slack * self.u)
        return bool(error.max() <= everywhere)


def _allowed_rms(truth: Truth, tolerance: Oracle) -> float:
    """Part of what the ratio gate allows in RMS, over the RMS of the output.

    A part, because the baseline errs as well. Without this gate an operand cut to 14 bits on all
    calls but the first went through; honest programs used up to 0.38 of what is allowed, and what
    the oracle turned down 0.63 or more.
    """
    if truth.value.size < SMALL:
        return math.inf
    size = root_mean_square(np.nan_to_num(truth.value, posinf=0.0, neginf=0.0))
    ratio = tolerance.rms_ratio * max(truth.honest[2], FLOOR[2])
    return QUICK_RMS * ratio * root_mean_square(truth.scale) / size if size > 0 else math.inf
