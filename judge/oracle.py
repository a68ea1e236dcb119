"""The truth about an output, told by the problem's reference in a sandbox of its own.

The reference is somebody else's code: it gets buffers and a seed, like a submission, and sees
neither the judge's memory nor its environment. What it tells is taken as the truth.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from judge.arena import Array, element_type
from judge.building import PYTHON_ENTRY, canonical_zip
from judge.errors import BaselineFailed, ProblemError
from judge.findings import Findings
from judge.package import Package
from judge.party import Party, Reply
from judge.problem import DType, Operator, Problem, TensorSpec, Workload
from judge.tolerance import Check
from judge.tolerance import Oracle as OracleRule
from judge.verdict import Language
from sandbox.harness import protocol
from sandbox.harness.protocol import Op

PATIENCE = 100
"""How much longer than a contestant's a reference's call may take: it is several evaluations, in
double precision, of code that is plain rather than fast."""

THREADS = 16
"""The most that a reference gets, where there are so many cores."""

WORDS = 240
"""Characters that a problem's own check may say; as many as `oracle_program` writes."""

_SOLUTION = """\
import os
import torch
import reference
from oracle_program import Program

torch.set_num_threads(min({threads}, len(os.sched_getaffinity(0))))
program = Program(reference, {dims!r}, {attributes!r}, {inputs!r}, {outputs!r}, {gauge!r})
solve = program.{solve}
if program.makes_inputs:
    prepare = program.prepare
"""


@dataclass(frozen=True)
class Truth:
    """What one output has to be.

    Attributes:
        value: y*, the reference at float64 (integers: int64).
        scale: u * |y*| + condition, the unit in which errors are counted; the condition is the RMS
            deviation of y* when every input moves by one rounding error of its type.
        condition: the largest condition, over the RMS of y*.
        honest: errors of the reference at the declared precision: (max, mean, RMS) in that unit.
    """

    value: Array
    scale: Array
    condition: float
    honest: tuple[float, float, float]


class Reference:
    """A problem's reference in its sandbox.

    Args:
        party: a harness that is ready and imports torch.

    Attributes:
        party: the same.
    """

    def __init__(self, party: Party, package: Package) -> None:
        self.party, self._package = party, package
        self._free = 0

    def load(self) -> None:
        """Have the reference imported. Raises ProblemError if it cannot be."""
        limits = self._package.problem.limits
        artifact = canonical_zip(program(self._package))
        reply = self.party.load(artifact, Language.PYTHON, {}, 10 * limits.prepare_limit_s)
        if reply.failure is not None:
            raise ProblemError(self._complaint("import failed", reply))
        self._free = self.party.arena.used

    def on(self, workload: Workload, rng: np.random.Generator) -> "Oracle":
        """The reference on one workload.

        Raises:
            MemoryError: the arena is too small for the workload.
        """
        # Workloads take turns, so they may all lie in the same pages.
        self.party.arena.rewind(self._free)
        return Oracle(self, self.party, self._package.problem, workload, rng)

    def answer(self, what: str, reply: Reply) -> None:
        """Raises BaselineFailed if a request failed."""
        if reply.failure is not None:
            raise BaselineFailed(self._complaint(f"{what} failed", reply))

    def _complaint(self, what: str, reply: Reply) -> str:
        text = reply.message.strip()
        first = f"{self._package.slug}/reference.py: {what}: {text.rpartition(chr(10))[2]}"
        return f"{first}\n{text}" if "\n" in text else first


class Oracle:
    """The reference on one workload: what outputs have to be, and its own inputs if it makes any.

    Its buffers are shared with the oracles of other workloads: what it is told it copies at once.
    """

    def __init__(
        self,
        reference: Reference,
        party: Party,
        problem: Problem,
        workload: Workload,
        rng: np.random.Generator,
    ) -> None:
        self._reference, self._arena, self._operator = reference, party.arena, problem.operator
        self._party = party
        given, told = layout(problem)
        self._checks = isinstance(problem.tolerance, Check)
        self._placement = self._arena.place(given, told, workload.dims, rng)
        arguments: list[protocol.Arg] = [b.argument() for b in self._placement.buffers]
        arguments += problem.scalars(workload, with_dims=True)
        self._descriptor = protocol.encode(arguments)
        self._limit_s = PATIENCE * (problem.limits.time_limit_s + 1)

    def truth(self, inputs: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Truth]:
        """The truth of every output for these inputs.

        Raises:
            BaselineFailed: the reference failed, or does not fit the operator.
        """
        self._evaluate(inputs, int(rng.integers(0, 1 << 62)))
        return read(self._operator, [self._arena.take(b) for b in self._placement.outputs])

    def _evaluate(self, inputs: Mapping[str, Array], seed: int) -> None:
        arena, placement = self._arena, self._placement
        given = (_seed(seed), *(inputs[t.name] for t in self._operator.inputs))
        for buffer, array in zip(placement.inputs, given, strict=True):
            arena.put(buffer, array)
        self._ask(Op.CALL, "reference")
        if not all(map(arena.holds, placement.inputs, given)):
            raise BaselineFailed("the reference changed its inputs")

    def values(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The reference's outputs alone, in double precision (integers: int64).

        One evaluation, where the whole truth takes five. They are good until it is asked again.

        Raises:
            BaselineFailed: the reference failed, or does not fit the operator.
        """
        operator, buffers = self._operator, self._placement.outputs
        if not self._checks:
            self._evaluate(inputs, _VALUES_ALONE)
            return {
                spec.name: self._arena.array(buffer)
                for spec, buffer in zip(operator.outputs, buffers, strict=False)
            }
        given = self._placement.inputs[1 + len(operator.inputs) :]
        nothing = {b.spec.name: np.zeros(b.shape, element_type(b.spec.dtype)) for b in given}
        self.judge(inputs, nothing)
        return {b.spec.name: self._arena.take(b) for b in buffers[1:]}

    def judge(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Findings:
        """What the problem's own `check` says of these outputs.

        Raises:
            BaselineFailed: the reference or its check failed.
        """
        arena, placement = self._arena, self._placement
        tensors = self._operator.inputs
        given = (_seed(0), *(inputs[t.name] for t in tensors))
        given += tuple(outputs[t.name] for t in self._operator.outputs)
        for buffer, array in zip(placement.inputs, given, strict=True):
            arena.put(buffer, array)
        self._ask(Op.CALL, "check")
        if not all(map(arena.holds, placement.inputs, given)):
            raise BaselineFailed("the reference's check changed what it was given")
        verdict = arena.take(placement.outputs[0])
        words = "".join(chr(int(c)) for c in verdict[1:] if 0 < c <= sys.maxunicode)
        return Findings("", {"check": float(verdict[0])}, words=words)

    def inputs(self, seed: int) -> dict[str, Array] | None:
        """What `make_inputs` gives for a seed; None if the reference has none.

        Raises:
            BaselineFailed: it failed, or does not fit the operator.
        """
        buffers = self._placement.inputs
        self._arena.put(buffers[0], _seed(seed))
        if self._ask(Op.PREPARE, "make_inputs").absent:
            return None
        names = [t.name for t in self._operator.inputs]
        return {n: self._arena.take(b) for n, b in zip(names, buffers[1:], strict=False)}

    def _ask(self, op: Op, what: str) -> Reply:
        reply = self._party.request(op, self._descriptor, self._limit_s, patient=True)
        self._reference.answer(what, reply)
        return reply


def program(package: Package) -> dict[str, bytes]:
    """The files of the artifact that the reference's sandbox runs."""
    problem = package.problem
    operator = problem.operator
    solution = _SOLUTION.format(
        dims=operator.dims,
        attributes=tuple(a.name for a in operator.attributes),
        inputs={t.name: t.dtype.unit_roundoff for t in operator.inputs},
        outputs={t.name: t.dtype.unit_roundoff for t in operator.outputs},
        gauge=any(isinstance(problem.tolerance_of(t.name), OracleRule) for t in operator.outputs),
        threads=THREADS,
        solve="check" if isinstance(problem.tolerance, Check) else "solve",
    )
    return {
        PYTHON_ENTRY: solution.encode(),
        "oracle_program.py": Path(__file__).with_name("oracle_program.py").read_bytes(),
        "reference.py": package.reference.encode(),
    }


def layout(problem: Problem) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The buffers of an oracle's call: those the judge writes, and those it reads."""
    operator = problem.operator
    seed = TensorSpec(name="seed", dtype=DType.INT64, shape=(1,))
    values = [t.model_copy(update={"dtype": _wide(t), "inplace": None}) for t in operator.outputs]
    if isinstance(problem.tolerance, Check):
        verdict = TensorSpec(name="verdict", dtype=DType.FLOAT64, shape=(1 + WORDS,))
        return (seed, *operator.inputs, *operator.outputs), (verdict, *values)
    scales = []
    for spec in operator.outputs:
        # Integers are exact: they need no scale.
        shape = spec.shape if spec.dtype.floating else (1,)
        scales.append(TensorSpec(name="scale", dtype=DType.FLOAT64, shape=shape))
    sizes = TensorSpec(name="sizes", dtype=DType.FLOAT64, shape=(len(operator.outputs), 4))
    return (seed, *operator.inputs), (*values, *scales, sizes)


_VALUES_ALONE = -1


def _wide(spec: TensorSpec) -> DType:
    return DType.FLOAT64 if spec.dtype.floating else DType.INT64


def read(operator: Operator, told: Sequence[Array]) -> dict[str, Truth]:
    """The truths in the buffers that `layout` says the judge reads."""
    count = len(operator.outputs)
    truths = {}
    for i, spec in enumerate(operator.outputs):
        worst, mean, rms, condition = (float(size) for size in told[-1][i])
        truths[spec.name] = Truth(told[i], told[count + i], condition, (worst, mean, rms))
    return truths


def _seed(seed: int) -> Array:
    return np.array([seed], np.int64)
