"""The truth about an output: the reference at double precision, and what rounding may do to it."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from judge.errors import ProblemError
from judge.problem import Problem, TensorSpec, Workload

PERTURBATIONS = 3


def load_reference(path: Path) -> ModuleType:
    """Import a package's reference.py. Raises ProblemError if it cannot be imported."""
    spec = importlib.util.spec_from_file_location("problem_reference", path)
    if spec is None or spec.loader is None:
        raise ProblemError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # An organizer's code may raise anything, and its author is told.
        raise ProblemError(f"{path}: import failed: {type(error).__name__}: {error}") from error
    return module


@dataclass(frozen=True)
class Truth:
    """What one output has to be.

    Attributes:
        value: y*, the reference at float64 (integers: at their own type).
        condition: RMS deviation of y* when every input moves by one rounding error of its type.
        scale: u * |y*| + condition, the unit in which errors are counted.
        honest: errors of the reference at the declared precision: (max, mean, RMS) in that unit.
    """

    value: torch.Tensor
    condition: torch.Tensor
    scale: torch.Tensor
    honest: tuple[float, float, float]


class Oracle:
    """Computes the truth for one workload."""

    def __init__(self, problem: Problem, workload: Workload, reference: ModuleType) -> None:
        self._problem = problem
        self._reference = reference.reference
        self._attributes = tuple(problem.attributes_of(workload).values())
        self._stores: dict[str, torch.Tensor] = {}

    def truth(
        self, inputs: Mapping[str, torch.Tensor], rng: np.random.Generator
    ) -> dict[str, Truth]:
        """The truth of every output for these inputs.

        The condition is estimated as the RMS over a few evaluations with inputs multiplied by
        (1 + u) or (1 - u) at random (research/integrity.md 2.4).
        """
        exact = self._evaluate({k: widen(v) for k, v in inputs.items()})
        plain = self._evaluate(inputs)
        moved = [self._evaluate(self._perturbed(inputs, rng)) for _ in range(PERTURBATIONS)]
        return {
            spec.name: self._truth(
                spec.dtype.unit_roundoff, exact[i], plain[i], [m[i] for m in moved]
            )
            for i, spec in enumerate(self._problem.operator.outputs)
        }

    def _truth(
        self, u: float, exact: torch.Tensor, plain: torch.Tensor, moved: Sequence[torch.Tensor]
    ) -> Truth:
        if not exact.is_floating_point():
            nothing = torch.zeros((), dtype=torch.float64)
            return Truth(exact, nothing, nothing, (0.0, 0.0, 0.0))
        squares = torch.zeros_like(exact)
        for other in moved:
            squares += (other - exact).square_()
        condition = squares.div_(len(moved)).sqrt_()
        # An element whose few perturbations happened to cancel is no better conditioned than the
        # rest: half the tensor's typical condition is its floor.
        typical = condition.square().mean().sqrt()
        if bool(torch.isfinite(typical)):
            condition.clamp_(min=float(typical) / 2)
        scale = exact.abs().mul_(u).add_(condition).clamp_(min=torch.finfo(torch.float32).tiny)
        honest = error_sizes(relative_error(plain.double(), exact, scale))
        return Truth(exact, condition, scale, honest)

    def _evaluate(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        names = [spec.name for spec in self._problem.operator.inputs]
        with torch.no_grad():
            result = self._reference(*(inputs[n] for n in names), *self._attributes)
        return result if isinstance(result, tuple) else (result,)

    def _perturbed(
        self, inputs: Mapping[str, torch.Tensor], rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        moved = {}
        for spec in self._problem.operator.inputs:
            tensor = widen(inputs[spec.name])
            if spec.dtype.floating:
                tensor = tensor * self._factors(spec, tensor, rng)
            moved[spec.name] = tensor
        return moved

    def _factors(
        self, spec: TensorSpec, tensor: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """1 + u or 1 - u at random: a window into a store, since drawing costs more than using."""
        count = tensor.numel()
        if spec.name not in self._stores:
            signs = rng.integers(0, 2, count + 4096, np.int8).astype(np.float64) * 2 - 1
            self._stores[spec.name] = torch.from_numpy(1 + spec.dtype.unit_roundoff * signs)
        start = int(rng.integers(0, 4097))
        return self._stores[spec.name][start : start + count].view(tensor.shape)


def widen(tensor: torch.Tensor) -> torch.Tensor:
    """Floating tensors at double precision, others as they are."""
    return tensor.double() if tensor.is_floating_point() else tensor


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether there is no NaN and no infinity, in one pass (doubles cannot overflow in the sum)."""
    return bool(torch.isfinite(tensor.sum()))


def relative_error(
    got: torch.Tensor, truth_value: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """|got - y*| / scale, and 0 where either is not finite (the pattern gate looks at those)."""
    error = (got - truth_value).abs_().div_(scale)
    return error if all_finite(error) else error.nan_to_num_(nan=0.0, posinf=0.0)


def error_sizes(error: torch.Tensor) -> tuple[float, float, float]:
    """(max, mean, RMS) of relative errors."""
    root = float(torch.linalg.vector_norm(error)) / error.numel() ** 0.5
    return float(error.max()), float(error.mean()), root
