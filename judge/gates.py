"""The gates of the kinds of tolerance that look at an output element by element."""

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from judge.arena import Array
from judge.findings import Findings
from judge.tolerance import AllClose, Closeness, Double, Exact, Lsb, MereMare, Mixed, Steps, Ulp

MERE_FLOOR = 1e-7
"""Added to |y*| before dividing by it, as MERE and MARE are defined."""

Elementwise = AllClose | Double | Mixed | MereMare | Ulp | Exact


def floating(output: str, got: Array, want: Array, rule: Elementwise) -> Findings:
    """Compare floats with the oracle's under a rule for single elements."""
    dtype = got.dtype.name
    with np.errstate(all="ignore"):
        if isinstance(rule, Exact):
            return _same(output, got, want.astype(got.dtype))
        if isinstance(rule, MereMare):
            limit = rule.on(dtype)
            return _relative(output, got, want, limit)
        if isinstance(rule, Ulp):
            return _steps(output, got, want, rule.on(dtype))
        return _close(output, got, want, rule.on(dtype))


def integers(output: str, got: Array, want: Array, rule: Lsb | None) -> Findings:
    """Compare integers: exactly, or within steps."""
    if rule is None:
        return _same(output, got, want)
    # As Python would: the difference of two int64 need not fit one.
    error = np.abs(got.astype(np.float64) - want.astype(np.float64))
    near = np.abs(got.astype(np.int64) - want.astype(np.int64)).astype(np.float64)
    error = np.where(error < 2.0**52, near, error)
    off = float((error > 0).mean())
    margins = {"limit": float(error.max()) / rule.steps, "share": _over(off, rule.share)}
    return Findings(output, margins, error, 0.0)


def misplaced(got: Array, want: Array, slack: float | Array) -> Array:
    """Where NaN or an infinity is, or is missing.

    An infinity is right as well where what the type can hold ends within what the element may be
    off by: an honest result overflows there.

    Args:
        slack: what each element may be off by.
    """
    wide = got.astype(np.float64)
    wrong: Array = (np.isnan(wide) != np.isnan(want)) | (
        (wide != want) & (np.isinf(wide) | np.isinf(want))
    )
    most = float(_format(got.dtype).max)
    overflows: Array = np.isinf(wide) & np.isfinite(want) & (np.signbit(wide) == np.signbit(want))
    overflows &= np.abs(want) + slack > most
    wrong &= ~overflows
    return wrong


def difference(
    got: Array, want: Array, slack: Callable[[], float | Array]
) -> tuple[Array, Array | None]:
    """|got - y*| in double precision (0 where neither is a number), and what is misplaced."""
    error = got.astype(np.float64)
    error -= want
    np.abs(error, out=error)
    if math.isfinite(float(error.sum())):
        return error, None
    wrong = misplaced(got, want, slack())
    return np.nan_to_num(error, copy=False, nan=0.0, posinf=0.0), wrong if wrong.any() else None


def pattern(output: str, wrong: Array) -> Findings:
    """The findings where something is misplaced."""
    return Findings(output, {"pattern": math.inf}, wrong.astype(np.float64), 0.0)


def ulp_of(want: Array, dtype: np.dtype[Any]) -> Array:
    """The distance of neighbouring numbers of a type at the values."""
    kind = _format(dtype)
    _, exponent = np.frexp(np.where(np.isfinite(want), want, 0.0))
    spacing: Array = np.ldexp(float(kind.eps), exponent - 1)
    spacing = np.maximum(spacing, float(kind.smallest_subnormal))
    return spacing


def _format(dtype: np.dtype[Any]) -> Any:
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _same(output: str, got: Array, want: Array) -> Findings:
    # A NaN is the only value that is not itself.
    wrong = (got != want) & ~((got != got) & (want != want))
    margin = math.inf if wrong.any() else 0.0
    return Findings(output, {"element": margin}, wrong.astype(np.float64), 0.0)


def _close(output: str, got: Array, want: Array, rule: Closeness) -> Findings:
    allowed = np.abs(want) * rule.rtol + rule.atol
    error, wrong = difference(got, want, lambda: allowed)
    if wrong is not None:
        return pattern(output, wrong)
    largest = float(error.max())
    shares = np.nan_to_num(np.divide(error, allowed, out=error), nan=0.0, posinf=math.inf)
    margins = {"element": exceeded(shares, rule.share)}
    if rule.limit is not None:
        margins["limit"] = largest / rule.limit
    return Findings(output, margins, shares)


def _relative(output: str, got: Array, want: Array, threshold: float) -> Findings:
    error, wrong = difference(got, want, lambda: 10 * threshold * np.abs(want))
    if wrong is not None:
        return pattern(output, wrong)
    error /= np.nan_to_num(np.abs(want), nan=0.0) + MERE_FLOOR
    margins = {
        "element": float(error.max()) / (10 * threshold),
        "mean": float(error.mean()) / threshold,
    }
    return Findings(output, margins, error, 10 * threshold)


def _steps(output: str, got: Array, want: Array, rule: Steps) -> Findings:
    spacing = ulp_of(want, got.dtype)
    error, wrong = difference(got, want, lambda: rule.ulps * spacing)
    if wrong is not None:
        return pattern(output, wrong)
    error /= spacing
    margins = {"element": exceeded(error, rule.share) / rule.ulps}
    if rule.mean is not None:
        margins["mean"] = float(error.mean()) / rule.mean
    if rule.limit is not None:
        margins["limit"] = float(error.max()) / rule.limit
    return Findings(output, margins, error, rule.ulps)


def exceeded(values: Array, share: float) -> float:
    """The largest value once the largest `share` of them is left out."""
    flat = values.reshape(-1)
    if not (spared := int(share * flat.size)):
        return float(flat.max())
    return float(np.partition(flat, flat.size - 1 - spared)[flat.size - 1 - spared])


def _over(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return math.inf if part else 0.0
