"""What a tolerance stops, and by how much; part of `judge.wire`, which all others import."""

import math
from collections.abc import Mapping

from pydantic import Field

from judge.measured import FromNewer, Wire


class Trial(Wire):
    """One mutant of one output on one workload.

    Attributes:
        gate: the one that decides; None if it was skipped.
        margin: the mutant's error there over what is allowed; None if beyond numbers.
        gap: that over the worst honest margin there; None if beyond numbers, 0 if it passes.
        skipped: why it was not tried; empty if it was.
    """

    workload: str
    output: str
    mutant: str
    gate: str | None = None
    margin: float | None = None
    gap: float | None = None
    skipped: str = ""

    @property
    def size(self) -> float:
        return math.inf if self.gap is None else self.gap


class Floor(FromNewer):
    """What an output's errors are at least measured by, on any inputs of a workload.

    Attributes:
        condition: the least of any element, over the RMS of the output.
        scale: its RMS over that of the output.
        errors: of the reference at the declared precision (max, mean, RMS), in the oracle's unit.
            Another machine sums in another order: it allows these as well as its own.
    """

    condition: float
    scale: float
    errors: tuple[float, float, float] = (0.0, 0.0, 0.0)


Floors = Mapping[str, Mapping[str, Floor]]
"""Workload to output to floor."""


class Certificate(Wire):
    """What the tolerance of a package stops.

    Attributes:
        rules_hash: of what it depends on (`judge.certified`).
        gap: the smallest of all mutants; None if all are beyond numbers.
        honest: workload to output and gate to the worst margin of what is honest: the accepted
            submissions, the reference at the declared precision, and the truth, rounded.
        floors: by workload and output, where they are steady from inputs to inputs.
        complaints: what must be changed, and where; the package is ready if there is none.
    """

    package_hash: str
    rules_hash: str = ""
    gap: float | None
    honest: dict[str, dict[str, float]]
    trials: tuple[Trial, ...]
    complaints: tuple[str, ...]
    floors: dict[str, dict[str, Floor]] = Field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.complaints


class CertificateView(Wire):
    """What everybody may know of a certificate.

    Attributes:
        gap: how many times further off than honest work the nearest of all mutants is; None if all
            are beyond numbers.
        tried: mutants, hidden workloads included.
        workloads: the same gap on each visible timed workload.
    """

    gap: float | None
    tried: int
    workloads: dict[str, float | None]
