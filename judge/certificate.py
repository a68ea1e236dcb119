"""The mutation certificate: every wrong output fails, and by how much more than honest ones err."""

import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from judge.arena import Array, element_type
from judge.certified import GAP, rules_hash
from judge.checker import SMALL, floor_of, oracle_margins, root_mean_square
from judge.cores import scheduling_restored, share_out
from judge.errors import BaselineFailed, InfrastructureError
from judge.inputs import InputSource, generator
from judge.judging import BASELINE_LIMITS
from judge.jury import Evidence, Jury
from judge.mutants import FOR_DRAWS, MUTANTS, OF_INPUTS, Original, Unfit, mutate
from judge.oracle import Oracle, Reference, Truth
from judge.package import Package
from judge.party import Party
from judge.problem import Problem, Workload
from judge.tolerance import Oracle as OracleRule
from judge.tolerance import Statistical
from judge.wire import Certificate, Floor, JudgementResult, Trial
from sandbox.base import Sandbox, SandboxError

DRAWS = 8
"""Inputs on which a floor is looked for."""

_LEAST = 1e-3
"""An honest margin below this counts as this: a gap of thousands is a gap."""

Arrays = Mapping[str, Array]


def honest_margins(results: Iterable[JudgementResult]) -> dict[str, dict[str, float]]:
    """The worst margins of accepted submissions, by workload."""
    worst: dict[str, dict[str, float]] = {}
    for result in results:
        for run in result.runs:
            _widen(worst.setdefault(run.workload, {}), run.margins)
    return worst


def certify(
    package: Package,
    sandbox: Sandbox,
    honest: Mapping[str, Mapping[str, float]],
    *,
    report: Callable[[str], None] = lambda _workload: None,
) -> Certificate:
    """Try every mutant on every timed workload.

    Args:
        honest: workload to margins of accepted submissions; see `honest_margins`.
        report: told the name of each workload before it is tried.

    Raises:
        ProblemError: the reference cannot be imported.
        InfrastructureError: the reference or the sandbox failed.
    """
    try:
        with (
            scheduling_restored(),
            Party(sandbox, BASELINE_LIMITS, "torch", threads=len(share_out().party)) as party,
        ):
            if (reply := party.ready()).failure is not None:
                raise InfrastructureError(f"a sandbox did not start: {reply.message}")
            reference = Reference(party, package)
            reference.load()
            return _certify(package, reference, honest, report)
    except SandboxError as error:
        raise InfrastructureError(f"the sandbox failed: {error}") from error


def _certify(
    package: Package,
    reference: Reference,
    honest: Mapping[str, Mapping[str, float]],
    report: Callable[[str], None],
) -> Certificate:
    margins: dict[str, dict[str, float]] = {}
    trials: list[Trial] = []
    floors: dict[str, dict[str, Floor]] = {}
    for workload in package.problem.workloads:
        if not workload.timed:
            continue
        report(workload.name)
        bench = _Bench.make(package.problem, workload, reference)
        worst = margins[workload.name] = dict(honest.get(workload.name, {}))
        _widen(worst, bench.margins(bench.right))
        _widen(worst, bench.reference_margins())
        trials += bench.trials(worst)
        floors[workload.name] = bench.floors()
    complaints = [
        f"workload {workload!r}: the reference's own output fails the gate {gate!r}; loosen it"
        for workload, worst in margins.items()
        for gate, margin in worst.items()
        if not margin <= 1
    ]
    complaints += [_complaint(trial, margins) for trial in trials if trial.size < GAP]
    gap = min((t.size for t in trials if not t.skipped), default=math.inf)
    return Certificate(
        package_hash=package.hash,
        rules_hash=rules_hash(package),
        gap=gap if math.isfinite(gap) else None,
        honest=margins,
        trials=tuple(trials),
        complaints=tuple(complaints),
        floors=floors,
    )


def below(floors: Sequence[Floor]) -> Floor:
    """As far below the least of these, in ratio, as the most of them is above it."""
    seen = np.array([(floor.condition, floor.scale, *floor.errors) for floor in floors])
    least, most = seen.min(axis=0), seen.max(axis=0)
    sure = np.divide(least * least, most, out=np.zeros_like(least), where=most > 0)
    condition, scale, worst, mean, rms = map(float, sure)
    return Floor(condition=condition, scale=scale, errors=(worst, mean, rms))


def _complaint(trial: Trial, honest: Mapping[str, Mapping[str, float]]) -> str:
    what = f"mutant {trial.mutant!r} of {trial.output or 'all outputs'!r} on {trial.workload!r}"
    margin, own = trial.margin or 0.0, honest[trial.workload].get(str(trial.gate), 0.0)
    times = margin / max(own, _LEAST)
    figures = f"gate {trial.gate}: {margin:.3g} of the allowed, worst honest {own:.3g}"
    if times >= GAP:
        return f"{what} passes ({figures}); tighten the tolerance there"
    return (
        f"{what} is only {times:.2g} times as far off as what is honest, {GAP:g} are needed "
        f"({figures}); give the inputs a distribution on which it shows, choose another kind of "
        "tolerance or a `limit`, or do not make the workload `timed`"
    )


@dataclass(frozen=True)
class _Bench:
    """One workload with the truth about a call, and right outputs of it and of another."""

    problem: Problem
    workload: Workload
    oracle: Oracle
    jury: Jury
    rng: np.random.Generator
    source: InputSource
    evidence: Evidence
    right: Arrays
    previous: Arrays

    @classmethod
    def make(cls, problem: Problem, workload: Workload, reference: Reference) -> "_Bench":
        seed = secrets.token_bytes(32)
        rng = generator(seed, "mutants")
        oracle = reference.on(workload, rng)
        source = InputSource(problem, workload, seed, oracle.inputs)
        before, inputs = source.fresh(0), source.fresh(1)
        jury = Jury(problem, oracle)
        values = (oracle.values(given) for given in (before, inputs))
        previous, right = (_rounded(problem, v) for v in values)
        # The truth comes last: a random operator's is another draw than what is compared with it.
        evidence = jury.hear(inputs, rng)
        return cls(problem, workload, oracle, jury, rng, source, evidence, right, previous)

    def margins(self, outputs: Arrays) -> dict[str, float]:
        """Output and gate to the error over what is allowed."""
        found = self.jury.findings(self.evidence, outputs, self.previous)
        return {f"{f.output}:{gate}": m for f in found for gate, m in f.margins.items()}

    def reference_margins(self) -> dict[str, float]:
        """Those of the reference at the declared precision, where it is measured."""
        margins: dict[str, float] = {}
        for name, truth in self.evidence.truths.items():
            rule = self.problem.tolerance_of(name)
            if isinstance(rule, OracleRule) and self.right[name].dtype.kind not in "biu":
                own = oracle_margins(truth.honest, truth.honest, truth.value.size, rule)
                margins |= {f"{name}:{gate}": margin for gate, margin in own.items()}
        return margins

    def floors(self) -> dict[str, Floor]:
        """Of outputs with enough elements that not all is chance, and where honest work shows."""
        kept = {}
        draws = [self.jury.hear(self.source.fresh(2 + i), self.rng).truths for i in range(DRAWS)]
        for spec in self.problem.operator.outputs:
            rule, u = self.problem.tolerance_of(spec.name), spec.dtype.unit_roundoff
            if isinstance(rule, OracleRule) and u and self.right[spec.name].size >= SMALL:
                truths = [draw[spec.name] for draw in draws]
                floor = below([floor_of(truth, u) for truth in truths])
                if all(_honest_shows(truth, u, floor, rule) for truth in truths):
                    kept[spec.name] = floor
        return kept

    def trials(self, honest: Mapping[str, float]) -> Iterator[Trial]:
        """Every mutant of every output."""
        draws = isinstance(self.problem.tolerance, Statistical)
        for spec in self.problem.operator.outputs:
            name, u = spec.name, spec.dtype.unit_roundoff
            inputs = self.evidence.inputs
            original = Original(self.right[name], self.previous[name], inputs, u)
            for mutant in MUTANTS:
                if draws and mutant not in FOR_DRAWS:
                    continue
                try:
                    wrong = mutate(mutant, original)
                except Unfit as unfit:
                    yield self._skipped(name, mutant, str(unfit))
                    continue
                yield self._trial(name, mutant, {**self.right, name: wrong}, honest)
        if not draws:
            yield from self._of_inputs(honest)

    def _of_inputs(self, honest: Mapping[str, float]) -> Iterator[Trial]:
        for mutant, change in OF_INPUTS.items():
            try:
                values = self.oracle.values(change(self.evidence.inputs))
            except (Unfit, BaselineFailed) as unfit:
                yield self._skipped("", mutant, str(unfit).partition("\n")[0])
                continue
            wrong = _rounded(self.problem, values)
            if all(np.array_equal(wrong[n], self.right[n]) for n in wrong):
                yield self._skipped("", mutant, "it is the right output")
            else:
                yield self._trial("", mutant, wrong, honest)

    def _skipped(self, output: str, mutant: str, why: str) -> Trial:
        return Trial(workload=self.workload.name, output=output, mutant=mutant, skipped=why)

    def _trial(
        self, output: str, mutant: str, outputs: Arrays, honest: Mapping[str, float]
    ) -> Trial:
        margins = self.margins(outputs)
        # A mutant fails at any gate; among those it is furthest off where honest work is least.
        failed = {gate: m for gate, m in margins.items() if not m <= 1}
        sizes = {g: m / max(honest.get(g, 0.0), _LEAST) for g, m in (failed or margins).items()}
        gate = max(sizes, key=lambda g: math.inf if math.isnan(sizes[g]) else sizes[g])
        margin, gap = margins[gate], sizes[gate] if failed else 0.0
        return Trial(
            workload=self.workload.name,
            output=output,
            mutant=mutant,
            gate=gate,
            margin=margin if math.isfinite(margin) else None,
            gap=gap if math.isfinite(gap) else None,
        )


def _honest_shows(truth: Truth, u: float, floor: Floor, rule: OracleRule) -> bool:
    """Whether the reference at the declared precision would still pass by what a floor promises."""
    least = u * np.abs(truth.value) + floor.condition * root_mean_square(truth.value)
    with np.errstate(all="ignore"):
        coarser = float(np.mean(truth.scale / least))
    worst, mean, rms = (coarser * size for size in truth.honest)
    margins = oracle_margins((worst, mean, rms), floor.errors, truth.value.size, rule)
    return all(margin <= 1 for margin in margins.values())


def _rounded(problem: Problem, values: Arrays) -> dict[str, Array]:
    with np.errstate(over="ignore"):
        return {
            spec.name: values[spec.name].astype(element_type(spec.dtype))
            for spec in problem.operator.outputs
        }


def _widen(worst: dict[str, float], margins: Mapping[str, float]) -> None:
    for gate, margin in margins.items():
        worst[gate] = max(margin, worst.get(gate, 0.0))
