"""What a check of an output found: how far off it is at every gate, and where it is worst."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np

from judge.arena import Array
from judge.wire import ErrorReport


@dataclass(frozen=True)
class Findings:
    """How far an output is from what it may be.

    Attributes:
        output: its name; empty for all outputs together.
        margins: gate to error over what is allowed there: at most 1 is right, infinity is wrong
            beyond numbers. What follows a point in a gate's name is a part of that gate.
        error: of every element; None where elements cannot be looked at one by one.
        allowed: what `error` may be.
        words: what the problem's own check says.
    """

    output: str
    margins: Mapping[str, float]
    error: Array | None = None
    allowed: float | Array = 1.0
    words: str = ""

    @property
    def wrong(self) -> bool:
        return any(not margin <= 1.0 for margin in self.margins.values())

    def report(self, got: Array | None, want: Array | None) -> ErrorReport | None:
        """For the contestant: the first gate that is not kept; None if all are.

        Args:
            got, want: the output and the truth, to quote the worst element from.
        """
        failed = [name for name, margin in self.margins.items() if not margin <= 1.0]
        if not failed:
            return None
        gate = failed[0].partition(".")[0]
        parts = [m for name, m in self.margins.items() if name.partition(".")[0] == gate]
        report = ErrorReport(gate=gate, output=self.output or None, max_error=_plain(max(parts)))
        if self.error is None or got is None or want is None:
            return report
        index = tuple(int(i) for i in np.unravel_index(self.error.argmax(), got.shape))
        each = gate in ("pattern", "element", "share", "limit")
        return report.model_copy(
            update={
                "index": index,
                "expected": _plain(want[index]),
                "got": _plain(got[index]),
                "share_wrong": float((self.error > self.allowed).mean()) if each else None,
            }
        )


def _plain(value: SupportsFloat) -> float | None:
    """A JSON number; JSON has no NaN and no infinity."""
    number = float(value)
    return number if math.isfinite(number) else None
