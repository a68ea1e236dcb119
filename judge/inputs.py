"""Fresh secret inputs for every call, cheaply.

Filling 64 MB with normal numbers takes a quarter of a second on the development machine; laying a
secret over a cut of a secret pool takes 12 ms. So large inputs are cut from a pool at a random
offset, and every element is changed by its own part of a secret, fresh for the call and of random
length, that is laid over the cut again and again. Small inputs are drawn anew.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from judge.arena import Array, element_type
from judge.problem import Problem, TensorSpec, Workload

POOL_FROM = 1 << 16
"""Elements from which on an input is cut from a pool."""

PERIODS = (7919, 8191, 8527, 9001)
"""Lengths of the secret."""

_CHUNK = 16
"""Periods changed at a time, so that each step finds the result of the last one in the cache."""

Make = Callable[[int], dict[str, Array] | None]


def generator(seed: bytes, *labels: object) -> np.random.Generator:
    """A stream of random numbers that only the holder of `seed` can repeat."""
    digest = hashlib.sha256(seed + b"\0" + repr(labels).encode()).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest, "big")))


def draw(spec: TensorSpec, count: int, rng: np.random.Generator) -> Array:
    """`count` fresh elements of the input's distribution, flat."""
    how, dtype = spec.distribution, element_type(spec.dtype)
    if _whole(spec):
        return rng.integers(int(how.low), int(how.high), count, np.int64).astype(dtype)
    if how.kind == "uniform":
        uniform = rng.random(count, np.float32)
        uniform *= np.float32(how.high - how.low)
        uniform += np.float32(how.low)
        return uniform.astype(dtype)
    return rng.standard_normal(count, np.float32).astype(dtype)


def _whole(spec: TensorSpec) -> bool:
    return spec.distribution.kind == "integers" or not spec.dtype.floating


class Pool:
    """A secret store of elements from which large inputs are cut and changed."""

    def __init__(self, spec: TensorSpec, count: int, rng: np.random.Generator) -> None:
        self._spec, self._count = spec, count
        self._normal = spec.distribution.kind == "normal" and spec.dtype.floating
        self._values = draw(spec, count + count // 4 + 4096, rng)
        if spec.dtype.floating and not self._normal:
            # Numpy takes ten times as long to add numbers of half precision.
            self._values = self._values.astype(np.promote_types(self._values.dtype, np.float32))

    def cut(self, rng: np.random.Generator) -> Array:
        """A fresh input, flat; no two are the same, nor proportional to one another."""
        start = int(rng.integers(0, len(self._values) - self._count + 1))
        source = self._values[start : start + self._count]
        fresh = np.empty(self._count, element_type(self._spec.dtype))
        period = int(rng.choice(PERIODS))
        change = self._scramble if self._normal else self._rotate
        change(source, fresh, period, rng)
        return fresh

    def _scramble(self, source: Array, fresh: Array, period: int, rng: np.random.Generator) -> None:
        """Other signs and other digits, at the same orders of magnitude."""
        bits = _bits(fresh)
        exponent = np.array(np.inf, fresh.dtype).view(bits)
        secret = np.frombuffer(rng.bytes(period * bits.itemsize), bits) & ~exponent
        for old, new, laid in _laid_over(source.view(bits), fresh.view(bits), secret):
            np.bitwise_xor(old, laid, out=new)

    def _rotate(self, source: Array, fresh: Array, period: int, rng: np.random.Generator) -> None:
        """Move inside the interval, round and round: it keeps the distribution and the bounds."""
        how, bits = self._spec.distribution, _bits(source)
        low: float = how.low
        span: float = how.high - how.low
        if _whole(self._spec):
            low, span = int(how.low), int(how.high) - int(how.low)
            turn: Array = rng.integers(0, span, period, np.int64) - low
        else:
            turn = rng.uniform(0, span, period) - low
        if not self._spec.dtype.floating:
            source, fresh = source.view(bits), fresh.view(bits)
            low, span = low % (1 << 8 * source.itemsize), span % (1 << 8 * source.itemsize)
        scratch = np.empty((2, _CHUNK, period), source.dtype)
        for old, new, laid in _laid_over(source, fresh, turn.astype(source.dtype)):
            once, twice = scratch[:, : old.shape[0], : old.shape[1]]
            np.add(old, laid, out=once)
            np.subtract(once, source.dtype.type(span), out=twice)
            # The one that lies inside [0, span): as unsigned numbers, negative ones are largest.
            np.minimum(once.view(bits), twice.view(bits), out=once.view(bits))
            np.add(once, source.dtype.type(low), out=new, casting="unsafe")


def _bits(array: Array) -> np.dtype[Any]:
    """The unsigned integers of the same size."""
    return np.dtype(f"u{array.itemsize}")


def _laid_over(source: Array, fresh: Array, secret: Array) -> Iterator[tuple[Array, Array, Array]]:
    """A few rows at a time: source and result, and the part of the secret on each of the rows."""
    period = len(secret)
    whole = len(source) // period * period
    for start in range(0, whole, _CHUNK * period):
        part = slice(start, min(start + _CHUNK * period, whole))
        yield source[part].reshape(-1, period), fresh[part].reshape(-1, period), secret
    rest = len(source) - whole
    yield source[whole:].reshape(1, rest), fresh[whole:].reshape(1, rest), secret[:rest]


class InputSource:
    """Inputs of one workload, call after call.

    Args:
        seed: the judging's secret.
        make: gives the problem's own inputs for a seed, None if it makes none.
    """

    def __init__(self, problem: Problem, workload: Workload, seed: bytes, make: Make) -> None:
        self._problem, self._workload, self._seed = problem, workload, seed
        self._make: Make | None = make
        self._pools: dict[str, Pool] = {}

    def fresh(self, call: int) -> dict[str, Array]:
        """The inputs of call number `call`, contiguous, in declared dtype and shape."""
        if (made := self._made(call)) is not None:
            return made
        rng = generator(self._seed, self._workload.name, call)
        return {spec.name: self._filled(spec, rng) for spec in self._problem.operator.inputs}

    def _made(self, call: int) -> dict[str, Array] | None:
        if self._make is None:
            return None
        rng = generator(self._seed, self._workload.name, call, "made")
        made = self._make(int(rng.integers(0, 1 << 62)))
        if made is None:
            self._make = None  # it will not make any later
        return made

    def _filled(self, spec: TensorSpec, rng: np.random.Generator) -> Array:
        shape = spec.sizes(self._workload.dims)
        fresh = self._flat(spec, int(np.prod(shape)), rng).reshape(shape)
        if spec.distribution.row_offset:
            move_rows(fresh, spec.distribution.row_offset, rng)
        return fresh

    def _flat(self, spec: TensorSpec, count: int, rng: np.random.Generator) -> Array:
        if count < POOL_FROM:
            return draw(spec, count, rng)
        if spec.name not in self._pools:
            secret = generator(self._seed, self._workload.name, spec.name, "pool")
            self._pools[spec.name] = Pool(spec, count, secret)
        return self._pools[spec.name].cut(rng)


def move_rows(fresh: Array, most: float, rng: np.random.Generator) -> None:
    """Give every row of an input a centre of its own, at most so far from zero."""
    rows = fresh.reshape(-1, fresh.shape[-1])
    rows += rng.uniform(-most, most, (len(rows), 1)).astype(fresh.dtype)
