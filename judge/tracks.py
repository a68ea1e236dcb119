"""One workload's side of a judging: its inputs, buffers, samples, and what is known about it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from judge import timing
from judge.arena import Arena, Array, Buffer, Glimpse, Placement
from judge.checker import QuickCheck
from judge.findings import Findings
from judge.inputs import InputSource
from judge.jury import Jury
from judge.oracle import Truth
from judge.party import Party
from judge.problem import Problem, Workload
from judge.tolerance import Backward, Check, Oracle, Statistical
from judge.verdict import Language, Verdict
from judge.wire import ErrorReport, Floor, Run
from sandbox.harness import protocol

PLACES = 4
"""Placements of each workload: one keeps the last outputs while another works.

Which pages of memory a buffer got moves a program's time by a per cent or so; four of them average
that out within a process.
"""

FEW_ROUNDS = 10
"""Fewer than these say too little of a process: they count with those of the one before."""

Arrays = dict[str, Array]


@dataclass
class Place:
    """A placement, its call descriptor, and the outputs last taken from it.

    Attributes:
        seen: parts of the outputs as they were when the program was stopped; a later difference
            is proof of a late write.
    """

    placement: Placement
    descriptor: bytes
    seen: dict[str, Glimpse] = field(default_factory=dict)


@dataclass
class Side:
    """One workload at one party.

    Attributes:
        previous: outputs of the last call that the oracle was asked about, of random operators.
        margins: output and gate to the largest error seen over what is allowed there.
    """

    party: Party
    places: list[Place]
    prepared: bool = False
    samples_ns: list[int] = field(default_factory=list)
    previous: Arrays | None = None
    margins: dict[str, float] = field(default_factory=dict)

    def note(self, found: Iterable[Findings]) -> None:
        """Remember how near the tolerance an output came."""
        for one in found:
            for gate, margin in one.margins.items():
                name = f"{one.output}:{gate}"
                self.margins[name] = max(margin, self.margins.get(name, 0.0))


@dataclass
class Track:
    """Everything about one workload during a judging.

    Attributes:
        spot: which of the places the present call uses, on either side.
        starts: the number of the first round of each process.
        verify_ns: what it took to verify its calls.
        look_ns: what it last took to ask for the reference's values and compare.
    """

    workload: Workload
    inputs: InputSource
    jury: Jury
    candidate: Side
    baseline: Side | None
    spot: int = 0
    calls: int = 0
    quick: dict[str, QuickCheck] = field(default_factory=dict)
    verdict: Verdict | None = None
    message: str = ""
    error: ErrorReport | None = None
    done: bool = False
    spent_s: float = 0.0
    starts: list[int] = field(default_factory=lambda: [0])
    verify_ns: int = 0
    look_ns: int = 0

    @property
    def round_ns(self) -> float:
        """What the calls of one round take, on average; 0 if none was timed."""
        taken = [sum(side.samples_ns) for side in self.sides]
        return sum(taken) / max(len(self.candidate.samples_ns), 1)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The candidate's, and the baseline's if it has one here."""
        return (self.candidate,) if self.baseline is None else (self.candidate, self.baseline)

    def renew(self) -> None:
        """Either party has a new process, and nothing of what lay in its buffers."""
        if self.starts[-1] < len(self.candidate.samples_ns):
            self.starts.append(len(self.candidate.samples_ns))
        for side in self.sides:
            side.prepared = False
            for place in side.places:
                place.seen = {}

    def agree(self, mine: Arrays, theirs: Arrays) -> bool:
        """Whether the outputs are as near the baseline's as two right ones are."""
        quick = self.quick
        return all(n in quick and quick[n].agrees(mine[n], theirs[n]) for n in mine)

    def is_right(self, outputs: Arrays, values: Arrays) -> bool:
        """Whether outputs are surely as near the reference's as they have to be."""
        quick = self.quick
        return all(n in quick and quick[n].is_right(outputs[n], values[n]) for n in outputs)

    def rely_on(self, floors: Mapping[str, Floor], problem: Problem) -> None:
        """Take from a certificate what a quick comparison of any call needs."""
        for name, floor in floors.items():
            rule = problem.tolerance_of(name)
            if isinstance(rule, Oracle):
                self.quick[name] = QuickCheck.promised(floor, _roundoff(problem, name), rule)

    def learn(self, output: str, truth: Truth, problem: Problem) -> None:
        """Take from a truth what a quick comparison of later calls needs."""
        rule = problem.tolerance_of(output)
        if isinstance(rule, Statistical | Backward | Check):
            return
        learnt = QuickCheck.learn(truth, _roundoff(problem, output), rule)
        if learnt is not None:
            known = self.quick.get(output, learnt)
            self.quick[output] = known.widened(learnt)

    def half_width(self, rng: np.random.Generator) -> float:
        """Half the confidence interval of the log speed-up so far."""
        if self.baseline is None:
            raise ValueError(f"workload {self.workload.name} is not timed")
        draws = timing.log_ratios(
            np.asarray(self.candidate.samples_ns, np.float64),
            np.asarray(self.baseline.samples_ns, np.float64),
            0.0,
            rng,
            self.processes,
        )
        return timing.half_width(draws)

    @property
    def processes(self) -> tuple[int, ...]:
        """Where the samples of each process begin; of a last one that served few, not."""
        rounds = len(self.candidate.samples_ns)
        starts = [start for start in self.starts if start < rounds]
        if len(starts) > 1 and rounds - starts[-1] < FEW_ROUNDS:
            starts.pop()
        return tuple(starts)

    def run(self, problem: Problem) -> Run:
        """The run as recorded so far, without the figures that need the overhead."""
        workload = self.workload
        return Run(
            workload=workload.name,
            dims=workload.dims,
            attributes=problem.attributes_of(workload),
            sample=workload.sample,
            hidden=workload.hidden,
            timed=workload.timed,
            weight=workload.weight,
            cache=workload.cache,
            verdict=self.verdict,
            message=self.message,
            error=self.error,
            calls=self.calls,
            margins=dict(self.candidate.margins),
            starts=self.processes if self.baseline else (),
            candidate_samples_ns=tuple(self.candidate.samples_ns),
            baseline_samples_ns=tuple(self.baseline.samples_ns) if self.baseline else (),
        )


def _roundoff(problem: Problem, output: str) -> float:
    return next(t for t in problem.operator.outputs if t.name == output).dtype.unit_roundoff


def call_args(
    problem: Problem, workload: Workload, placement: Placement, language: Language
) -> list[protocol.Arg]:
    """Arguments of `solve`: tensors, then (C ABI only) dims, then attributes."""
    tensors: list[protocol.Arg] = [b.argument() for b in placement.buffers]
    return tensors + problem.scalars(workload, with_dims=language is Language.CPP)


def make_side(
    party: Party,
    problem: Problem,
    workload: Workload,
    language: Language,
    rng: np.random.Generator,
    given: Sequence[tuple[Buffer, ...]],
) -> Side:
    """Lay a workload's buffers out in a party's arena.

    Args:
        given: where the inputs lie, place for place.
    """
    operator = problem.operator
    places = []
    for inputs in given:
        placement = party.arena.place(operator.inputs, operator.outputs, workload.dims, rng, inputs)
        args = call_args(problem, workload, placement, language)
        places.append(Place(placement, protocol.encode(args)))
    return Side(party, places)


def write_inputs(arena: Arena, placement: Placement, inputs: Arrays) -> None:
    """Copy the judge's inputs into the shared pages."""
    for buffer in placement.inputs:
        arena.put(buffer, inputs[buffer.spec.name])


def outputs_of(arena: Arena, placement: Placement) -> Arrays:
    """The outputs where they lie: good until the program runs again."""
    return {b.spec.name: arena.array(b) for b in placement.outputs}


def remember(arena: Arena, place: Place, rng: np.random.Generator) -> None:
    """Take down what `unchanged` is to compare with."""
    place.seen = {b.spec.name: arena.glimpse(b, rng) for b in place.placement.outputs}


def unchanged(arena: Arena, place: Place) -> bool:
    """Whether the outputs are still what they were when they were remembered."""
    seen = place.seen
    return all(arena.shows(b, seen[b.spec.name]) for b in place.placement.outputs if seen)
