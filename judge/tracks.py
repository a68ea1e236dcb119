"""One workload's side of a judging: its inputs, buffers, samples, and what is known about it."""

from dataclasses import dataclass, field

import numpy as np
import torch

from judge import timing
from judge.arena import Arena, Buffer, Placement, same_bytes
from judge.checker import QuickCheck
from judge.inputs import InputSource
from judge.oracle import Oracle
from judge.party import Party
from judge.problem import Operator, Problem, Workload
from judge.verdict import Language, Verdict
from judge.wire import ErrorReport, Run
from sandbox.harness import protocol

PLACES = 4
"""Placements of each workload in each arena: one keeps the last outputs while another works.

Which pages of memory a buffer got moves a program's time by a per cent or so; four of them average
that out within a judging.
"""

Outputs = dict[str, torch.Tensor]


@dataclass
class Place:
    """A placement, its call descriptor, and the outputs last taken from it.

    Attributes:
        taken: private copies made when the program was stopped; a later difference in the arena
            is proof of a late write.
    """

    placement: Placement
    descriptor: bytes
    taken: Outputs | None = None


@dataclass
class Side:
    """One workload at one party."""

    party: Party
    places: list[Place]
    prepared: bool = False
    samples_ns: list[int] = field(default_factory=list)


@dataclass
class Track:
    """Everything about one workload during a judging."""

    workload: Workload
    inputs: InputSource
    oracle: Oracle
    candidate: Side
    baseline: Side | None
    calls: int = 0
    quick: dict[str, QuickCheck] = field(default_factory=dict)
    verdict: Verdict | None = None
    message: str = ""
    error: ErrorReport | None = None
    done: bool = False
    spent_s: float = 0.0

    def half_width(self, rng: np.random.Generator) -> float:
        """Half the confidence interval of the log speed-up so far."""
        if self.baseline is None:
            raise ValueError(f"workload {self.workload.name} is not timed")
        draws = timing.log_ratios(
            np.asarray(self.candidate.samples_ns, np.float64),
            np.asarray(self.baseline.samples_ns, np.float64),
            0.0,
            rng,
        )
        return timing.half_width(draws)

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
            verdict=self.verdict,
            message=self.message,
            error=self.error,
            calls=self.calls,
            candidate_samples_ns=tuple(self.candidate.samples_ns),
            baseline_samples_ns=tuple(self.baseline.samples_ns) if self.baseline else (),
        )


def call_args(
    operator: Operator,
    workload: Workload,
    attributes: dict[str, int | float],
    placement: Placement,
    language: Language,
) -> list[protocol.Arg]:
    """Arguments of `solve`: tensors, then (C ABI only) dims, then attributes."""
    tensors: list[protocol.Arg] = [b.argument() for b in placement.buffers]
    return tensors + scalars(operator, workload, attributes, language is Language.CPP)


def scalars(
    operator: Operator, workload: Workload, attributes: dict[str, int | float], with_dims: bool
) -> list[protocol.Arg]:
    """Dims in declared order if asked for, then attributes at their declared type."""
    dims: list[protocol.Arg] = [workload.dims[d] for d in operator.dims] if with_dims else []
    return dims + [
        float(attributes[a.name]) if a.type == "float" else int(attributes[a.name])
        for a in operator.attributes
    ]


def make_side(
    party: Party, problem: Problem, workload: Workload, language: Language, rng: np.random.Generator
) -> Side:
    """Lay a workload's buffers out in a party's arena."""
    operator, attributes = problem.operator, problem.attributes_of(workload)
    places = []
    for _ in range(PLACES):
        placement = party.arena.place(operator.inputs, operator.outputs, workload.dims, rng)
        args = call_args(operator, workload, attributes, placement, language)
        places.append(Place(placement, protocol.encode(args)))
    return Side(party, places)


def write_inputs(arena: Arena, placement: Placement, inputs: Outputs) -> None:
    """Copy the judge's inputs into the shared pages."""
    for buffer in placement.inputs:
        arena.view(buffer)[:] = raw(inputs[buffer.spec.name])


def inputs_intact(arena: Arena, placement: Placement, inputs: Outputs) -> bool:
    """Whether the shared inputs still equal the judge's private ones, bit for bit."""
    return all(same_bytes(arena.view(b), raw(inputs[b.spec.name])) for b in placement.inputs)


def take_outputs(arena: Arena, placement: Placement) -> Outputs:
    """Private copies of the outputs."""
    return {b.spec.name: _private(arena, b) for b in placement.outputs}


def unchanged(arena: Arena, place: Place) -> bool:
    """Whether the outputs taken from a place are still what lies there."""
    return place.taken is None or all(
        same_bytes(arena.view(b), raw(place.taken[b.spec.name])) for b in place.placement.outputs
    )


def raw(tensor: torch.Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """A contiguous tensor's bytes, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy()


def _private(arena: Arena, buffer: Buffer) -> torch.Tensor:
    copy = torch.from_numpy(arena.view(buffer).copy())
    return copy.view(getattr(torch, buffer.spec.dtype.value)).view(buffer.shape)
