"""Fresh secret inputs for every call, cheaply.

Filling 64 MB with normal numbers takes 69 ms on the development machine; an affine map of a secret
pool takes 13 ms. So large inputs are cut from a secret pool at a random offset and each block of
random length is mapped by its own secret factor. Small ones are drawn anew.
"""

import hashlib
from collections.abc import Mapping
from types import ModuleType
from typing import cast

import numpy as np
import torch

from judge.errors import BaselineFailed
from judge.problem import DType, Problem, TensorSpec, Workload

POOL_FROM = 1 << 16
"""Elements from which on an input is cut from a pool."""

BLOCKS = (61, 127, 251, 509)


def torch_dtype(dtype: DType) -> torch.dtype:
    """The torch element type of the same name."""
    return cast(torch.dtype, getattr(torch, dtype.value))


def generator(seed: bytes, *labels: object) -> np.random.Generator:
    """A stream of random numbers that only the holder of `seed` can repeat."""
    digest = hashlib.sha256(seed + b"\0" + repr(labels).encode()).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest, "big")))


def draw(spec: TensorSpec, count: int, rng: np.random.Generator) -> torch.Tensor:
    """`count` fresh elements of the input's distribution, flat."""
    how = spec.distribution
    if not spec.dtype.floating or how.kind == "integers":
        values = rng.integers(int(how.low), int(how.high), count, np.int64)
        return torch.from_numpy(values).to(torch_dtype(spec.dtype))
    if how.kind == "uniform":
        uniform = rng.random(count, np.float32) * np.float32(how.high - how.low) + np.float32(
            how.low
        )
        return torch.from_numpy(uniform).to(torch_dtype(spec.dtype))
    return torch.from_numpy(rng.standard_normal(count, np.float32)).to(torch_dtype(spec.dtype))


class Pool:
    """A secret store of elements from which large inputs are cut and mapped."""

    def __init__(self, spec: TensorSpec, count: int, rng: np.random.Generator) -> None:
        self._spec, self._count = spec, count
        self._values = draw(spec, count + count // 4 + 4096, rng)

    def cut(self, rng: np.random.Generator) -> torch.Tensor:
        """A fresh input, flat; no two are the same, nor proportional to one another."""
        start = int(rng.integers(0, len(self._values) - self._count + 1))
        source = self._values[start : start + self._count]
        block = int(rng.choice(BLOCKS))
        whole = self._count // block * block
        fresh = torch.empty_like(source)
        self._map(source[:whole].view(-1, block), fresh[:whole].view(-1, block), rng)
        self._map(source[whole:].view(1, -1), fresh[whole:].view(1, -1), rng)
        return fresh

    def _map(self, source: torch.Tensor, out: torch.Tensor, rng: np.random.Generator) -> None:
        rows = source.shape[0]
        how = self._spec.distribution
        if how.kind == "normal" and source.dtype.is_floating_point:
            factor = np.exp2(rng.uniform(-1, 1, (rows, 1))) * rng.choice((-1.0, 1.0), (rows, 1))
            torch.mul(source, torch.from_numpy(factor).to(source.dtype), out=out)
            return
        # A rotation inside the interval keeps the distribution and the bounds.
        if how.kind == "integers" or not source.dtype.is_floating_point:
            low, span = int(how.low), int(how.high) - int(how.low)
            shifts = torch.from_numpy(rng.integers(0, span, (rows, 1))).to(source.dtype)
            torch.add(source - low, shifts, out=out)
            out.remainder_(span).add_(low)
            return
        # By fraction, because torch's remainder takes five times as long.
        turn = torch.from_numpy(rng.uniform(0, how.high - how.low, (rows, 1)) - how.low)
        torch.add(source, turn.to(source.dtype), out=out)
        out.mul_(1 / (how.high - how.low)).frac_().mul_(how.high - how.low).add_(how.low)


class InputSource:
    """Inputs of one workload, call after call.

    Args:
        reference: the problem's reference module; its `make_inputs(dims, attributes, generator)`
            is used where it exists and must return a mapping of input name to tensor.
        seed: the judging's secret.
    """

    def __init__(
        self, problem: Problem, workload: Workload, reference: ModuleType, seed: bytes
    ) -> None:
        self._problem, self._workload, self._seed = problem, workload, seed
        self._make = getattr(reference, "make_inputs", None)
        self._pools: dict[str, Pool] = {}

    def fresh(self, call: int) -> dict[str, torch.Tensor]:
        """The inputs of call number `call`, contiguous, in declared dtype and shape."""
        rng = generator(self._seed, self._workload.name, call)
        if self._make is not None:
            return self._made(rng)
        return {spec.name: self._filled(spec, rng) for spec in self._problem.operator.inputs}

    def _filled(self, spec: TensorSpec, rng: np.random.Generator) -> torch.Tensor:
        shape = spec.sizes(self._workload.dims)
        count = int(np.prod(shape))
        if count < POOL_FROM:
            return draw(spec, count, rng).view(shape)
        if spec.name not in self._pools:
            secret = generator(self._seed, self._workload.name, spec.name, "pool")
            self._pools[spec.name] = Pool(spec, count, secret)
        return self._pools[spec.name].cut(rng).view(shape)

    def _made(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        torch_rng = torch.Generator().manual_seed(int(rng.integers(0, 1 << 62)))
        attributes = self._problem.attributes_of(self._workload)
        made: Mapping[str, torch.Tensor] = self._make(  # type: ignore[misc]
            dict(self._workload.dims), attributes, torch_rng
        )
        for spec in self._problem.operator.inputs:
            tensor = made.get(spec.name)
            shape = spec.sizes(self._workload.dims)
            if tensor is None or tuple(tensor.shape) != shape:
                raise BaselineFailed(f"make_inputs gave no {spec.name!r} of shape {shape}")
        return {
            s.name: made[s.name].to(torch_dtype(s.dtype)).contiguous()
            for s in self._problem.operator.inputs
        }
