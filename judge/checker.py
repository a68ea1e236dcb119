"""Is an output right? Three gates, all of which must hold on every call.

pattern: no poison left, NaN and infinities exactly where the oracle has them;
element: every |y - y*| within c * (u |y*| + condition);
ratio:   max, mean and RMS error not more than so many times the honest reference's own.
"""

import math
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np

from judge.arena import Array
from judge.oracle import Truth
from judge.problem import Tolerance
from judge.wire import ErrorReport

SMALL = 1000
"""Below so many elements mean and RMS are as chancy as a maximum, and get its ratio."""

FLOOR = (2.0, 1.0, 1.0)
"""Errors (max, mean, RMS), in the oracle's scale, that any honest reference may be taken to have.
Correct rounding of the result alone gives up to 1, 0.5 and 0.58; a vendor library that sums
in double is not the yardstick for everyone else."""

QUICK_SLACK = 2.0
"""The quick comparison is with the baseline, which may itself be wrong by its own tolerance."""


Sizes = tuple[float, float, float]

_BLOCK = 8192
"""Elements summed up at a time: more, and the BLAS behind numpy starts threads of its own."""


def check(output: str, got: Array, truth: Truth, tolerance: Tolerance) -> ErrorReport | None:
    """Compare an output with the truth; None if it is right.

    Args:
        got: private copy of the output, declared dtype and shape.
    """
    if np.issubdtype(got.dtype, np.integer):
        return _exact(output, got, truth.value)
    with np.errstate(all="ignore"):
        return _floating(output, got, truth, tolerance)


def _floating(output: str, got: Array, truth: Truth, tolerance: Tolerance) -> ErrorReport | None:
    error = relative_error(got, truth)
    sizes = error_sizes(error)
    # A mean that is a number is of errors that all are, and so of outputs that all are.
    if not math.isfinite(sizes[1]):
        wrong = _pattern(output, got.astype(np.float64), truth.value)
        if wrong is not None:
            return wrong
        sizes = error_sizes(np.nan_to_num(error, copy=False, nan=0.0, posinf=0.0))
    return _elements(output, got, truth, error, sizes, tolerance) or _ratios(
        output, got, truth, error, sizes, tolerance
    )


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
    flat = values.reshape(-1)
    whole = flat.size // _BLOCK * _BLOCK
    blocks, rest = flat[:whole].reshape(-1, _BLOCK), flat[whole:]
    squares = float(np.vecdot(blocks, blocks).sum(dtype=np.float64) + np.vecdot(rest, rest))
    if values.dtype == np.float32 and not math.isfinite(squares):
        return root_mean_square(values.astype(np.float64))
    return math.sqrt(squares / flat.size)


def _exact(output: str, got: Array, want: Array) -> ErrorReport | None:
    wrong = got != want
    if not wrong.any():
        return None
    return _report("element", output, wrong, got, want, max_error=math.inf)


def _pattern(output: str, got: Array, want: Array) -> ErrorReport | None:
    wrong = (np.isnan(got) != np.isnan(want)) | ((got != want) & (np.isinf(got) | np.isinf(want)))
    if not wrong.any():
        return None
    return _report("pattern", output, wrong, got, want, max_error=math.inf)


def _elements(
    output: str, got: Array, truth: Truth, error: Array, sizes: Sizes, tolerance: Tolerance
) -> ErrorReport | None:
    worst = sizes[0] / tolerance.element
    if worst <= 1.0:
        return None
    wrong = error > tolerance.element
    return _report("element", output, wrong, got, truth.value, max_error=worst, severity=error)


def _ratios(
    output: str, got: Array, truth: Truth, error: Array, sizes: Sizes, tolerance: Tolerance
) -> ErrorReport | None:
    averaged = tolerance.max_ratio if got.size < SMALL else None
    allowed = (
        tolerance.max_ratio,
        averaged or tolerance.mean_ratio,
        averaged or tolerance.rms_ratio,
    )
    shares = [
        size / (ratio * max(honest, floor))
        for size, ratio, honest, floor in zip(sizes, allowed, truth.honest, FLOOR, strict=True)
    ]
    worst = max(shares)
    if worst <= 1.0:
        return None
    wrong = error == error.max()
    report = _report("ratio", output, wrong, got, truth.value, max_error=worst, severity=error)
    return report.model_copy(update={"share_wrong": None})


def _report(
    gate: str,
    output: str,
    wrong: Array,
    got: Array,
    want: Array,
    *,
    max_error: float,
    severity: Array | None = None,
) -> ErrorReport:
    flat = (wrong if severity is None else severity).argmax()
    index = tuple(int(i) for i in np.unravel_index(flat, got.shape))
    return ErrorReport(
        gate=gate,
        output=output,
        index=index,
        expected=_plain(want[index]),
        got=_plain(got[index]),
        max_error=_plain(max_error),
        share_wrong=float(wrong.mean()),
    )


def _plain(value: SupportsFloat) -> float | None:
    """A JSON number; JSON has no NaN and no infinity."""
    number = float(value)
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class QuickCheck:
    """A cheap comparison with the baseline's output on the same inputs.

    Built from the oracle's truth on one call of a workload, good for its other calls, whose
    inputs follow the same distribution.

    Attributes:
        u: unit roundoff of the output's type.
        condition: largest condition seen, over the RMS of the output it was seen with.
        element: c of the element gate.
    """

    u: float
    condition: float
    element: float

    @classmethod
    def learn(cls, truth: Truth, u: float, tolerance: Tolerance) -> "QuickCheck":
        """From a call on which the oracle was asked."""
        return cls(u, truth.condition, tolerance.element)

    def widened(self, other: "QuickCheck") -> "QuickCheck":
        """The looser of two."""
        return QuickCheck(self.u, max(self.condition, other.condition), self.element)

    def check(self, output: str, got: Array, baseline: Array) -> ErrorReport | None:
        """Compare with the baseline; None if they agree."""
        if self.u == 0.0:
            return _exact(output, got, baseline)
        with np.errstate(all="ignore"):
            return self._floating(output, got, baseline)

    def _floating(self, output: str, got: Array, baseline: Array) -> ErrorReport | None:
        # Half precision goes to double because numpy takes twice as long to make it single.
        wide = np.float64 if got.dtype in (np.float64, np.float16) else np.float32
        mine: Array = got.astype(wide, copy=False)
        theirs: Array = baseline.astype(wide, copy=False)
        rms = root_mean_square(theirs)
        slack = QUICK_SLACK * self.element
        error = mine - theirs
        np.abs(error, out=error)
        # Nearly always the part of the tolerance that is the same everywhere is wide enough.
        if float(error.max()) <= slack * self.condition * rms:
            return None
        error -= np.abs(theirs) * wide(slack * self.u)
        error -= wide(slack * self.condition * rms)
        # `not <=` so that a NaN left in the output counts as wrong.
        if float(error.max()) <= 0.0:
            return None
        wrong = ~(error <= 0.0)
        severity = np.nan_to_num(error, copy=False, nan=math.inf)
        return _report(
            "element", output, wrong, got, baseline, max_error=math.inf, severity=severity
        )
