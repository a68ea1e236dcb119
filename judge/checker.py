"""Is an output right? Three gates, all of which must hold on every call.

pattern: no poison left, NaN and infinities exactly where the oracle has them;
element: every |y - y*| within c * (u |y*| + condition);
ratio:   max, mean and RMS error not more than so many times the honest reference's own.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from judge import gates
from judge.arena import Array, raw, same_bytes
from judge.findings import Findings
from judge.oracle import Truth
from judge.tolerance import Exact, Lsb, Oracle, PerOutput
from judge.wire import ErrorReport, Floor

SMALL = 1000
"""Below so many elements mean and RMS are as chancy as a maximum, and get its ratio."""

HONEST = (2.0, 1.0, 1.0)
"""Errors (max, mean, RMS), in the oracle's scale, that any honest reference may be taken to have.
Correct rounding of the result alone gives up to 1, 0.5 and 0.58; a vendor library that sums
in double is not the yardstick for everyone else."""

QUICK_SLACK = 2.0
"""The quick comparison is with the baseline, which may itself be wrong by its own tolerance."""

QUICK_RMS = 0.5
"""Share of the RMS gate within which an output may be from the baseline's."""

Sizes = tuple[float, float, float]

_BLOCK = 512
"""Elements summed up at a time: with some ten thousand the BLAS behind numpy starts threads of its
own, and what `_compared` makes of a block is the nearer to its maximum the smaller it is."""

_PIECE = 256 * _BLOCK
"""Elements compared at a time: the difference stays in a cache, and makes no new pages."""

_EVERY = 8
"""Of so many blocks one tells how large an output is."""

_SMALLEST = 1e-10
"""RMS of outputs below which squares of errors that count may be nothing at single precision."""

_LEAST = 1e-140
"""The same at double precision: the whole truth is asked for."""


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
    for (name, ratio), size, own, floor in zip(allowed.items(), sizes, honest, HONEST, strict=True):
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
    sums = np.empty(-(-flat.size // _BLOCK), flat.dtype)
    return float(_block_squares(flat, sums).sum(dtype=np.float64))


def _block_squares(flat: Array, sums: Array) -> Array:
    """Write the sum of squares of every block, the last one perhaps shorter."""
    whole = flat.size // _BLOCK
    blocks, rest = flat[: whole * _BLOCK].reshape(-1, _BLOCK), flat[whole * _BLOCK :]
    np.vecdot(blocks, blocks, out=sums[:whole])
    if rest.size:
        sums[whole] = np.vecdot(rest, rest)
    return sums


def _compared(
    got: Array, baseline: Array, wide: type[np.floating[Any]]
) -> tuple[float, float, Array]:
    """RMS of the baseline's output and of the difference, and the norm of each block of the latter.

    A block's norm is at least its maximum, and a pass less. None of it can be believed unless both
    RMS are finite.

    In pieces: that is twice as fast as whole arrays that do not fit into a cache.

    Args:
        wide: the type to compare in.
    """
    mine, theirs = got.reshape(-1), baseline.reshape(-1)
    scratch = np.empty(min(_PIECE, mine.size), wide)
    errors = np.empty(-(-mine.size // _BLOCK), wide)
    for start in range(0, mine.size, _PIECE):
        whole = theirs[start : start + _PIECE].astype(wide, copy=False)
        difference = scratch[: whole.size]
        np.subtract(mine[start : start + _PIECE].astype(wide, copy=False), whole, out=difference)
        first = start // _BLOCK
        _block_squares(difference, errors[first : first - (-whole.size // _BLOCK)])
    error = math.sqrt(errors.sum(dtype=np.float64) / mine.size)
    return _size_of(theirs, wide), error, np.sqrt(errors, out=errors)


def _size_of(flat: Array, wide: type[np.floating[Any]]) -> float:
    """The RMS of an output; of a large one that of some blocks, spread over all of it."""
    if flat.size <= _PIECE:
        return root_mean_square(flat.astype(wide, copy=False))
    blocks = flat[: flat.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    blocks = blocks[_sample(len(blocks))].astype(wide, copy=False)
    return math.sqrt(float(np.vecdot(blocks, blocks).sum(dtype=np.float64)) / blocks.size)


@functools.cache
def _sample(count: int) -> Array:
    """One of every eight blocks, but not the same one, which rows of some lengths would be too."""
    first = np.arange(0, count - _EVERY + 1, _EVERY)
    return first + np.random.default_rng(count).integers(0, _EVERY, first.size)


def _gathered(array: Array, chosen: Array) -> Array:
    """The elements of the chosen blocks, in double precision."""
    flat, whole = array.reshape(-1), array.size // _BLOCK
    blocks = flat[: whole * _BLOCK].reshape(-1, _BLOCK)[chosen[:whole]]
    rest = flat[whole * _BLOCK :] if chosen[whole:].any() else flat[:0]
    return np.concatenate((blocks.reshape(-1), rest)).astype(np.float64)


@dataclass(frozen=True)
class QuickCheck:
    """Cheap comparisons: with the baseline's output on the same inputs, and with the value alone.

    Built from the oracle's truth on one call of a workload, or from its certificate, and good for
    other calls, whose inputs follow the same distribution. They only ever say that the oracle need
    not be asked for more.

    Attributes:
        u: unit roundoff of the output's type; 0 where outputs have to be the same.
        condition: largest condition seen, over the RMS of the output it was seen with.
        rms: how far from the baseline's on the whole, over the RMS of the output.
        rule: the tolerance; None where outputs have to be the same.
        floor: of the certificate, until the oracle was asked.
    """

    u: float
    condition: float
    rms: float
    rule: Oracle | None
    floor: Floor | None = None

    @classmethod
    def learn(cls, truth: Truth, u: float, tolerance: PerOutput) -> "QuickCheck | None":
        """From a call on which the oracle was asked.

        None where agreeing with the baseline says nothing: a rule that spares a share of the
        elements would let the baseline's misses be added to the submission's own.
        """
        if isinstance(tolerance, Exact) or (u == 0.0 and not isinstance(tolerance, Lsb)):
            return cls(0.0, 0.0, 0.0, None)
        if isinstance(tolerance, Oracle) and math.isfinite(truth.condition):
            return cls(u, truth.condition, _allowed_rms(truth, tolerance), tolerance)
        return None

    @classmethod
    def promised(cls, floor: Floor, u: float, tolerance: Oracle) -> "QuickCheck":
        """From a certificate: nothing in it is looser than what `learn` takes from any truth."""
        ratio = tolerance.rms_ratio * max(floor.errors[2], HONEST[2])
        return cls(u, floor.condition, QUICK_RMS * ratio * floor.scale, tolerance, floor)

    def widened(self, other: "QuickCheck") -> "QuickCheck":
        """The looser of two."""
        condition, rms = max(self.condition, other.condition), max(self.rms, other.rms)
        return QuickCheck(self.u, condition, rms, self.rule)

    def agrees(self, got: Array, baseline: Array) -> bool:
        """Whether an output is as near the baseline's as two right ones are."""
        if got.dtype == baseline.dtype and same_bytes(raw(got), raw(baseline)):
            # As right as the other, whatever is in it; and it ends at the first difference.
            return True
        if self.rule is None:
            return bool(np.array_equal(got, baseline))
        with np.errstate(all="ignore"):
            return self._near(got, baseline, QUICK_SLACK * self.rule.element)

    def is_right(self, got: Array, value: Array) -> bool:
        """Whether an output is as near the reference's value as a right one is.

        By a certificate alone that is: it passes all gates, with every unit of error the least that
        it can be, so that what passes here passes there (see `Jury.hear`).
        """
        if self.rule is None:
            return bool(np.array_equal(got, value))
        with np.errstate(all="ignore"):
            if self.floor is None:
                return self._near(got, value, self.rule.element)
            size = root_mean_square(value)
            sizes = _sizes(got, value, self.u, self.floor.condition * size)
            margins = oracle_margins(sizes, self.floor.errors, got.size, self.rule)
        return math.isfinite(size) and all(margin <= 1 for margin in margins.values())

    def _near(self, got: Array, other: Array, slack: float) -> bool:
        # Half precision goes to double because numpy takes twice as long to make it single.
        double = np.float64 in (got.dtype, other.dtype) or got.dtype == np.float16
        wide: type[np.floating[Any]] = np.float64 if double else np.float32
        rms, error_rms, errors = _compared(got, other, wide)
        if not double and not (math.isfinite(rms + error_rms) and rms > _SMALLEST):
            rms, error_rms, errors = _compared(got, other, np.float64)
        # Where an output is not finite the oracle is asked.
        if not math.isfinite(rms + error_rms) or not error_rms <= self.rms * rms or rms < _LEAST:
            return False
        # Nearly everywhere the part of the tolerance that is the same everywhere is wide enough.
        everywhere = slack * self.condition * rms
        far = ~(errors <= everywhere)
        if not far.any():
            return True
        theirs = _gathered(other, far)
        error = np.abs(_gathered(got, far) - theirs)
        error -= np.abs(theirs) * (slack * self.u)
        return bool(error.max() <= everywhere)


CAUTION = 0.8
"""Of what was seen, what a floor promises: over many elements hardly anything varies so much."""


def floor_of(truth: Truth, u: float) -> Floor:
    """What this truth lets expect of others of its workload; all 0 where it is not finite."""
    value, scale = truth.value, truth.scale
    with np.errstate(all="ignore"):
        seen = float((scale - u * np.abs(value)).min()), root_mean_square(scale)
        condition, unit = (CAUTION * size / root_mean_square(value) for size in seen)
    worst, mean, rms = (CAUTION * size for size in truth.honest)
    if not math.isfinite(condition + unit + worst + mean + rms):
        condition = unit = worst = mean = rms = 0.0
    return Floor(condition=max(condition, 0.0), scale=unit, errors=(worst, mean, rms))


def _sizes(got: Array, value: Array, u: float, floor: float) -> Sizes:
    """(max, mean, RMS) of errors in the unit u * |y*| + floor; not numbers where any is none.

    Piece by piece, so that all but the outputs themselves stays in a cache.
    """
    mine, want = got.reshape(-1), value.reshape(-1)
    piece = _PIECE // 8
    errors, units = np.empty((2, min(piece, got.size)))
    most = total = squares = 0.0
    for start in range(0, got.size, piece):
        part = slice(start, start + piece)
        error, unit = errors[: want[part].size], units[: want[part].size]
        np.subtract(mine[part].astype(np.float64, copy=False), want[part], out=error)
        np.abs(error, out=error)
        np.multiply(np.abs(want[part], out=unit), u, out=unit)
        unit += floor
        error /= unit
        total += float(error.sum())
        squares += _squares(error)
        most = max(most, float(error.max()))
    return most, total / got.size, math.sqrt(squares / got.size)


def _allowed_rms(truth: Truth, tolerance: Oracle) -> float:
    """Part of what the ratio gate allows in RMS, over the RMS of the output.

    A part, because the baseline errs as well. Without this gate an operand cut to 14 bits on all
    calls but the first went through; honest programs used up to 0.38 of what is allowed, and what
    the oracle turned down 0.63 or more.
    """
    if truth.value.size < SMALL:
        return math.inf
    size = root_mean_square(np.nan_to_num(truth.value, posinf=0.0, neginf=0.0))
    ratio = tolerance.rms_ratio * max(truth.honest[2], HONEST[2])
    return QUICK_RMS * ratio * root_mean_square(truth.scale) / size if size > 0 else math.inf
