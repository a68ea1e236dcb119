"""Are the outputs of one call right? By the problem's tolerance, whichever kind it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from judge.arena import Array
from judge.backward import backward
from judge.checker import findings
from judge.findings import Findings
from judge.oracle import Oracle, Truth
from judge.picture import picture
from judge.problem import Problem
from judge.statistical import statistical
from judge.tolerance import Backward, Check, Statistical
from judge.wire import ErrorReport, Floor

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Evidence:
    """What a call's outputs are judged by.

    Attributes:
        truths: empty where the problem's own check looks at the outputs.
    """

    inputs: Arrays
    truths: Mapping[str, Truth] = field(default_factory=dict)


class Jury:
    """Judges outputs of one workload.

    Args:
        floors: of the outputs, from the problem's certificate.
    """

    def __init__(
        self, problem: Problem, oracle: Oracle, floors: Mapping[str, Floor] | None = None
    ) -> None:
        self._problem, self._oracle, self._floors = problem, oracle, floors or {}

    def hear(self, inputs: Arrays, rng: np.random.Generator) -> Evidence:
        """Ask the reference about these inputs. Raises BaselineFailed if it fails.

        Errors that it was certified to make are allowed even where it makes smaller ones.
        """
        if isinstance(self._problem.tolerance, Check):
            return Evidence(inputs)
        truths = self._oracle.truth(inputs, rng)
        return Evidence(inputs, {name: self._allowing(name, t) for name, t in truths.items()})

    def _allowing(self, name: str, truth: Truth) -> Truth:
        if (floor := self._floors.get(name)) is None:
            return truth
        worst, mean, rms = map(max, truth.honest, floor.errors)
        return replace(truth, honest=(worst, mean, rms))

    def values(self, inputs: Arrays) -> dict[str, Array]:
        """The reference's outputs alone: much less work for it. Raises BaselineFailed."""
        return self._oracle.values(inputs)

    def findings(
        self, evidence: Evidence, outputs: Arrays, previous: Arrays | None
    ) -> tuple[Findings, ...]:
        """How far the outputs are from what they may be.

        Args:
            previous: the same program's outputs of the last call.

        Raises:
            BaselineFailed: the problem's own check failed.
        """
        tolerance, specs = self._problem.tolerance, self._problem.operator.outputs
        if isinstance(tolerance, Check):
            return (self._oracle.judge(evidence.inputs, outputs),)
        if isinstance(tolerance, Backward):
            u = max(spec.dtype.unit_roundoff for spec in specs)
            return (backward(tolerance, evidence.inputs, outputs, u),)
        found = []
        for spec in specs:
            name, truth = spec.name, evidence.truths[spec.name]
            rule = self._problem.tolerance_of(name)
            if isinstance(rule, Statistical):
                before = previous[name] if previous is not None else None
                found.append(statistical(name, outputs[name], truth.value, before, rule.alpha))
            elif not isinstance(rule, Backward | Check):
                found.append(findings(name, outputs[name], truth, rule))
        return tuple(found)

    def report(
        self, evidence: Evidence, outputs: Arrays, found: tuple[Findings, ...]
    ) -> ErrorReport | None:
        """The first fault, for the contestant; None if all is right."""
        for one in found:
            truth = evidence.truths.get(one.output)
            want = truth.value if truth is not None else None
            report = one.report(outputs.get(one.output), want)
            if report is not None:
                return report
        return None


def illustrated(report: ErrorReport, found: tuple[Findings, ...]) -> ErrorReport:
    """The report of these findings with a picture of the output it is about, if there is one."""
    shown = next((f for f in found if f.output == report.output), None)
    drawn = picture(shown) if shown is not None else None
    if drawn is None:
        return report
    return report.model_copy(update={"picture": drawn.png, "tile": drawn.tile})
