"""Is an output right? Three gates, all of which must hold on every call.

pattern: no poison left, NaN and infinities exactly where the oracle has them;
element: every |y - y*| within c * (u |y*| + condition);
ratio:   max, mean and RMS error not more than so many times the honest reference's own.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from judge.oracle import Truth, all_finite, error_sizes, relative_error
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


def check(output: str, got: torch.Tensor, truth: Truth, tolerance: Tolerance) -> ErrorReport | None:
    """Compare an output with the truth; None if it is right.

    Args:
        got: private copy of the output, declared dtype and shape.
    """
    if not got.is_floating_point():
        return _exact(output, got, truth.value)
    wide = got.double()
    wrong = _pattern(output, wide, truth.value)
    if wrong is not None:
        return wrong
    error = relative_error(wide, truth.value, truth.scale)
    return _elements(output, wide, truth, error, tolerance) or _ratios(
        output, wide, truth, error, tolerance
    )


def _exact(output: str, got: torch.Tensor, want: torch.Tensor) -> ErrorReport | None:
    wrong = got != want
    if not bool(wrong.any()):
        return None
    return _report("element", output, wrong, got, want, max_error=math.inf)


def _pattern(output: str, got: torch.Tensor, want: torch.Tensor) -> ErrorReport | None:
    if all_finite(got) and all_finite(want):
        return None
    wrong = (got.isnan() != want.isnan()) | ((got != want) & (got.isinf() | want.isinf()))
    if not bool(wrong.any()):
        return None
    return _report("pattern", output, wrong, got, want, max_error=math.inf)


def _elements(
    output: str, got: torch.Tensor, truth: Truth, error: torch.Tensor, tolerance: Tolerance
) -> ErrorReport | None:
    worst = float(error.max()) / tolerance.element
    if worst <= 1.0:
        return None
    wrong = error > tolerance.element
    return _report("element", output, wrong, got, truth.value, max_error=worst, severity=error)


def _ratios(
    output: str, got: torch.Tensor, truth: Truth, error: torch.Tensor, tolerance: Tolerance
) -> ErrorReport | None:
    averaged = tolerance.max_ratio if got.numel() < SMALL else None
    allowed = (
        tolerance.max_ratio,
        averaged or tolerance.mean_ratio,
        averaged or tolerance.rms_ratio,
    )
    shares = [
        size / (ratio * max(honest, floor))
        for size, ratio, honest, floor in zip(
            error_sizes(error), allowed, truth.honest, FLOOR, strict=True
        )
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
    wrong: torch.Tensor,
    got: torch.Tensor,
    want: torch.Tensor,
    *,
    max_error: float,
    severity: torch.Tensor | None = None,
) -> ErrorReport:
    flat = int((severity if severity is not None else wrong.to(torch.int8)).argmax())
    index = tuple(int(i) for i in np.unravel_index(flat, tuple(got.shape)))
    return ErrorReport(
        gate=gate,
        output=output,
        index=index,
        expected=_plain(want[index]),
        got=_plain(got[index]),
        max_error=_plain(max_error),
        share_wrong=float(wrong.double().mean()),
    )


def _plain(value: torch.Tensor | float) -> float | None:
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
        rms = float(truth.value.square().nanmean().sqrt()) if u else 0.0
        condition = float(truth.condition.max()) / rms if rms > 0 else 0.0
        return cls(u, condition, tolerance.element)

    def widened(self, other: "QuickCheck") -> "QuickCheck":
        """The looser of two."""
        return QuickCheck(self.u, max(self.condition, other.condition), self.element)

    def check(self, output: str, got: torch.Tensor, baseline: torch.Tensor) -> ErrorReport | None:
        """Compare with the baseline; None if they agree."""
        if self.u == 0.0:
            return _exact(output, got, baseline)
        mine, theirs = got.float(), baseline.float()
        rms = float(torch.linalg.vector_norm(theirs)) / theirs.numel() ** 0.5
        slack = QUICK_SLACK * self.element
        error = (mine - theirs).abs_()
        # Nearly always the part of the tolerance that is the same everywhere is wide enough.
        if float(error.max()) <= slack * self.condition * rms:
            return None
        error.sub_(theirs.abs().mul_(slack * self.u)).sub_(slack * self.condition * rms)
        # `not <=` so that a NaN left in the output counts as wrong.
        if float(error.max()) <= 0.0:
            return None
        wrong = ~(error <= 0.0)
        severity = error.nan_to_num_(nan=math.inf)
        return _report(
            "element", output, wrong, got, baseline, max_error=math.inf, severity=severity
        )
