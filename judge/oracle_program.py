"""What a judging runs beside a problem's `reference.py`: the truth about outputs, and inputs.

Like a submission it only ever runs in a sandbox, where it lies next to the package's reference
and a `solution.py` that joins the two (see `judge.oracle`). The judge itself never imports it:
torch takes more than a second to import, and the reference is somebody else's code.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

PERTURBATIONS = 3


@dataclass(frozen=True)
class Call:
    """The arguments of a call, taken apart."""

    inputs: Sequence[Tensor]
    values: Sequence[Tensor]
    scales: Sequence[Tensor]
    sizes: Tensor
    dims: Sequence[int]
    attributes: Sequence[int | float]


class Program:
    """Serves the judge's calls with a problem's reference.

    `solve` and `prepare` take the same arguments: the seed (one int64, below zero if scale and
    sizes are not asked for); the inputs; for every output its value (float64, integers: int64),
    then for every output its scale (float64); the sizes (float64, a row of four for every output);
    dims and attributes.

    Args:
        reference: a module with `reference`, and perhaps `make_inputs`.
        dims: names, in declared order; likewise `attributes`.
        inputs: name -> unit roundoff of the declared type, 0 for integers; likewise `outputs`.
        gauge: whether scale and sizes are ever asked for; they cost several evaluations.
    """

    def __init__(
        self,
        reference: ModuleType,
        dims: Sequence[str],
        attributes: Sequence[str],
        inputs: Mapping[str, float],
        outputs: Mapping[str, float],
        gauge: bool = True,
    ) -> None:
        self._reference = reference.reference
        self._make_inputs = getattr(reference, "make_inputs", None)
        self._own_check: Any = getattr(reference, "check", None)
        self._dims, self._attributes = dims, attributes
        self._inputs, self._outputs, self._gauge = inputs, outputs, gauge
        self._stores: dict[str, Tensor] = {}

    @property
    def makes_inputs(self) -> bool:
        return self._make_inputs is not None

    def prepare(self, seed: Tensor, *args: Any) -> None:
        """Fill the inputs with what `make_inputs` gives for the seed."""
        scalars = args[len(args) - len(self._dims) - len(self._attributes) :]
        dims = dict(zip(self._dims, scalars, strict=False))
        attributes = dict(zip(self._attributes, scalars[len(self._dims) :], strict=True))
        made = self._make_inputs(dims, attributes, generator(seed))  # type: ignore[misc]
        for name, buffer in zip(self._inputs, args, strict=False):
            tensor = made.get(name) if isinstance(made, Mapping) else None
            if not isinstance(tensor, Tensor) or tensor.shape != buffer.shape:
                raise ValueError(f"make_inputs gave no {name!r} of shape {tuple(buffer.shape)}")
            buffer.copy_(tensor)

    def solve(self, seed: Tensor, *args: Any) -> None:
        """Write value, scale and sizes of every output.

        The sizes are the errors of the reference at the declared precision (max, mean, RMS, in
        units of the scale), and the largest condition over the RMS of the value.
        """
        call = self._call(args)
        wide = [widen(t) for t in call.inputs]
        values = self._evaluate(wide, call)
        self._check_precision(values, call.inputs)
        for buffer, value in zip(call.values, values, strict=True):
            buffer.copy_(value)
        if not self._gauge or int(seed) < 0:
            return
        exact = [widen(value) for value in values]
        self._perturb(wide, exact, call, generator(seed))
        plain = self._evaluate(call.inputs, call)
        for i, u in enumerate(self._outputs.values()):
            if u:
                sizes = measure(u, exact[i], plain[i], call.scales[i])
                call.sizes[i] = torch.tensor(sizes)

    def _perturb(
        self, wide: Sequence[Tensor], exact: Sequence[Tensor], call: "Call", rng: torch.Generator
    ) -> None:
        """Write into the scale of every floating output how far it moves with its inputs.

        That is its condition, estimated as the RMS deviation over a few evaluations with inputs
        multiplied by (1 + u) or (1 - u) at random. Tensors are used again wherever possible:
        fresh pages cost more than all the arithmetic.
        """
        wanted = [i for i, u in enumerate(self._outputs.values()) if u]
        differences = {i: torch.empty_like(exact[i]) for i in wanted}
        room = [torch.empty_like(t) for t in wide]
        for i in wanted:
            call.scales[i].zero_()
        for _ in range(PERTURBATIONS):
            moved = self._evaluate(self._perturbed(wide, room, rng), call)
            for i in wanted:
                torch.sub(moved[i], exact[i], out=differences[i])
                call.scales[i].addcmul_(differences[i], differences[i])
        for i in wanted:
            call.scales[i].div_(PERTURBATIONS).sqrt_()

    def check(self, _seed: Tensor, *args: Any) -> None:
        """Write what the problem's own check says of outputs.

        It takes, after the inputs: the outputs to judge, the verdict (float64: the error over what
        is allowed, then characters of a sentence), the value of every output, dims, attributes.
        """
        rest = iter(args)
        ins, outs = list(islice(rest, len(self._inputs))), list(islice(rest, len(self._outputs)))
        verdict, values = next(rest), list(islice(rest, len(self._outputs)))
        dims, attributes = list(islice(rest, len(self._dims))), list(rest)
        exact = self._evaluate(
            [widen(t) for t in ins], Call(ins, values, (), verdict, dims, attributes)
        )
        for buffer, value in zip(values, exact, strict=True):
            buffer.copy_(value)
        said = self._own_check(
            dict(zip(self._inputs, ins, strict=True)),
            dict(zip(self._outputs, outs, strict=True)),
            dict(zip(self._outputs, exact, strict=True)),
            dict(zip(self._attributes, attributes, strict=True)),
        )
        size, words = said if isinstance(said, tuple) and len(said) == 2 else (said, "")
        if (
            isinstance(size, bool)
            or not isinstance(size, int | float)
            or not isinstance(words, str)
        ):
            raise TypeError(
                f"check returned {said!r:.100}; it must return a number, the error over what is "
                "allowed (at most 1 is right), or such a number and a sentence"
            )
        verdict.zero_()
        verdict[0] = float(size)
        for i, character in enumerate(words[: len(verdict) - 1]):
            verdict[1 + i] = ord(character)

    def _call(self, args: Sequence[Any]) -> "Call":
        rest = iter(args)
        ins, outs, dims = len(self._inputs), len(self._outputs), len(self._dims)
        return Call(
            inputs=list(islice(rest, ins)),
            values=list(islice(rest, outs)),
            scales=list(islice(rest, outs)),
            sizes=next(rest),
            dims=list(islice(rest, dims)),
            attributes=list(rest),
        )

    def _evaluate(self, inputs: Sequence[Tensor], call: "Call") -> tuple[Tensor, ...]:
        with torch.no_grad():
            result = self._reference(*inputs, *call.attributes)
        outputs = result if isinstance(result, tuple) else (result,)
        declared = len(self._outputs)
        if len(outputs) != declared:
            raise ValueError(f"reference returned {len(outputs)} outputs, declared: {declared}")
        for name, got, buffer in zip(self._outputs, outputs, call.values, strict=True):
            check_output(name, got, buffer)
        return outputs

    def _check_precision(self, exact: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        """A reference that rounds on its own would make its own rounding the truth."""
        if not any(t.is_floating_point() for t in inputs):
            return
        for name, got in zip(self._outputs, exact, strict=True):
            if got.is_floating_point() and got.dtype != torch.float64:
                raise TypeError(
                    f"reference returned {name!r} as {got.dtype} for inputs of torch.float64; "
                    "it must keep the precision of its inputs"
                )

    def _perturbed(
        self, wide: Sequence[Tensor], room: Sequence[Tensor], rng: torch.Generator
    ) -> list[Tensor]:
        """The inputs, each element a rounding error away, in the room given."""
        return [
            torch.mul(tensor, self._factors(name, u, tensor, rng), out=free) if u else tensor
            for (name, u), tensor, free in zip(self._inputs.items(), wide, room, strict=True)
        ]

    def _factors(self, name: str, u: float, tensor: Tensor, rng: torch.Generator) -> Tensor:
        """1 + u or 1 - u at random: a window into a store, since drawing costs more than using."""
        count = tensor.numel()
        store = self._stores.get(name)
        if store is None or len(store) < count + 4096:
            signs = torch.randint(0, 2, (count + 4096,), generator=rng, dtype=torch.int8)
            store = self._stores[name] = signs.double().mul_(2).sub_(1).mul_(u).add_(1)
        start = int(torch.randint(0, 4097, (), generator=rng))
        return store[start : start + count].view(tensor.shape)


def check_output(name: str, got: object, declared: Tensor) -> None:
    """Whether the reference returned what the operator declares; raises if not."""
    if not isinstance(got, Tensor):
        raise TypeError(f"reference returned {name!r} as {type(got).__name__}, not as a tensor")
    if got.shape != declared.shape:
        raise ValueError(
            f"reference returned {name!r} with shape {tuple(got.shape)}, "
            f"declared: {tuple(declared.shape)}"
        )
    if got.is_floating_point() != declared.is_floating_point():
        kind = "a floating" if declared.is_floating_point() else "an integer"
        raise TypeError(f"reference returned {name!r} as {got.dtype}, declared: {kind} type")


def generator(seed: Tensor) -> torch.Generator:
    """Random numbers from the judge's seed."""
    return torch.Generator().manual_seed(int(seed))


def measure(
    u: float, exact: Tensor, plain: Tensor, scale: Tensor
) -> tuple[float, float, float, float]:
    """Make an output's scale of its condition, and return its sizes (see `Program.solve`).

    Args:
        scale: holds the condition; afterwards u |y*| + condition.
    """
    # An element whose few perturbations happened to cancel is no better conditioned than the
    # rest: half the tensor's typical condition is its floor.
    typical = root_mean_square(scale)
    if math.isfinite(typical):
        scale.clamp_(min=typical / 2)
    worst = float(scale.max())
    scale.add_(exact.abs(), alpha=u).clamp_(min=torch.finfo(torch.float32).tiny)
    rms = root_mean_square(exact)
    if math.isnan(rms):
        rms = float(exact.square().nanmean().sqrt())
    share = worst / rms if rms > 0 else 0.0
    return *error_sizes(relative_error(plain, exact, scale)), share


def root_mean_square(values: Tensor) -> float:
    """In one pass and without a temporary tensor."""
    return float(torch.linalg.vector_norm(values)) / math.sqrt(values.numel())


def widen(tensor: Tensor) -> Tensor:
    """Floating tensors at double precision, others as they are."""
    return tensor.double() if tensor.is_floating_point() else tensor


def relative_error(got: Tensor, value: Tensor, scale: Tensor) -> Tensor:
    """|got - y*| / scale in double precision, and 0 where either is not finite."""
    error = torch.sub(got, value).abs_().div_(scale)
    return error.nan_to_num_(nan=0.0, posinf=0.0)


def error_sizes(error: Tensor) -> tuple[float, float, float]:
    """(max, mean, RMS) of relative errors."""
    return float(error.max()), float(error.mean()), root_mean_square(error)
