"""The truth as a reference's sandbox tells it, worked out in this process."""

from collections.abc import Mapping
from types import ModuleType

import ml_dtypes
import numpy as np
import torch

from judge.arena import Array, element_type
from judge.oracle import Truth, layout, read
from judge.oracle_program import Program
from judge.problem import Problem, Workload


def tensor(array: Array) -> torch.Tensor:
    """The same memory as a torch tensor."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def array(tensor: torch.Tensor) -> Array:
    """The same memory as a numpy array."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def make_program(problem: Problem, reference: ModuleType) -> Program:
    """The program that a reference's sandbox runs."""
    operator = problem.operator
    return Program(
        reference,
        operator.dims,
        [a.name for a in operator.attributes],
        {t.name: t.dtype.unit_roundoff for t in operator.inputs},
        {t.name: t.dtype.unit_roundoff for t in operator.outputs},
    )


def truths(
    problem: Problem, workload: Workload, reference: ModuleType, inputs: Mapping[str, Array]
) -> dict[str, Truth]:
    """The truth of every output for these inputs."""
    _, told = layout(problem)
    results = [np.full(s.sizes(workload.dims), 0, element_type(s.dtype)) for s in told]
    buffers = [np.array([7]), *(inputs[t.name] for t in problem.operator.inputs), *results]
    scalars = problem.scalars(workload, with_dims=True)
    make_program(problem, reference).solve(*map(tensor, buffers), *scalars)
    return read(problem.operator, results)


def made_inputs(
    problem: Problem, workload: Workload, reference: ModuleType, seed: int
) -> dict[str, Array] | None:
    """What the reference's `make_inputs` gives for a seed; None if it has none."""
    program = make_program(problem, reference)
    if not program.makes_inputs:
        return None
    given, told = layout(problem)
    buffers = [np.zeros(s.sizes(workload.dims), element_type(s.dtype)) for s in (*given, *told)]
    buffers[0][0] = seed
    scalars = problem.scalars(workload, with_dims=True)
    program.prepare(*map(tensor, buffers), *scalars)
    names = [t.name for t in problem.operator.inputs]
    return dict(zip(names, buffers[1 : 1 + len(names)], strict=True))
