"""Memory the judge shares with one party, and what it writes around the buffers in it.

Every buffer lies between two guard bands of secret bytes. Outputs are poisoned before each call
with non-finite values of a random payload, so a value that was not written cannot pass.
"""

import ctypes
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, fcntl
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from judge.problem import DType, TensorSpec
from sandbox.harness.protocol import TensorArg

PAGE_BYTES = 4096
GUARD_BYTES = PAGE_BYTES
ALIGNMENT = 64

Bytes = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

_BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}
# Exponent all ones and the top mantissa bit: a quiet NaN, whatever the payload below.
_NAN = {
    DType.FLOAT16: (0x7E00, 9),
    DType.BFLOAT16: (0x7FC0, 6),
    DType.FLOAT32: (0x7FC0_0000, 22),
    DType.FLOAT64: (0x7FF8_0000_0000_0000, 51),
}


_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def element_type(dtype: DType) -> np.dtype[Any]:
    """The numpy element type of the same name."""
    return np.dtype(ml_dtypes.bfloat16 if dtype is DType.BFLOAT16 else dtype.value)


def same_bytes(a: Bytes, b: Bytes) -> bool:
    """Whether two contiguous arrays hold the same bytes; numpy would write a third array."""
    return a.nbytes == b.nbytes and _memcmp(a.ctypes.data, b.ctypes.data, a.nbytes) == 0


def raw(array: Array) -> Bytes:
    """A contiguous array's bytes, without a copy."""
    return array.reshape(-1).view(np.uint8)


class SharedMemory:
    """Anonymous pages that can be given to a sandbox by descriptor and can never change size.

    Without the seals a contestant could shrink the file under the judge's mapping and kill the
    judge with SIGBUS.
    """

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        fcntl(self.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
        self.map = mmap.mmap(self.fd, size)

    def close(self) -> None:
        """Give the pages back; they go when the sandbox is gone as well."""
        os.close(self.fd)
        # The mapping itself goes with the last numpy view of it: closing it here would raise.
        del self.map


@dataclass(frozen=True)
class Buffer:
    """One tensor's place in an arena, guards at both ends."""

    spec: TensorSpec
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.spec.dtype.itemsize

    def argument(self) -> TensorArg:
        return TensorArg(self.spec.dtype.value, self.offset, self.shape)


@dataclass(frozen=True)
class Placement:
    """Where one workload's buffers lie, and the secret around them.

    An output that is written over an input is the same place as that input.
    """

    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    guard: Bytes

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """Every buffer once, in the order of the arguments."""
        return self.inputs + self.written

    @property
    def written(self) -> tuple[Buffer, ...]:
        """The outputs with a buffer of their own."""
        return tuple(b for b in self.outputs if b.spec.inplace is None)

    @property
    def kept(self) -> tuple[Buffer, ...]:
        """The inputs that no output is written over."""
        over = {b.spec.inplace for b in self.outputs}
        return tuple(b for b in self.inputs if b.spec.name not in over)


class Arena:
    """The data pages shared with one party."""

    def __init__(self, size: int) -> None:
        self.memory = SharedMemory("arena", size)
        self._bytes: Bytes = np.frombuffer(self.memory.map, np.uint8)
        self._used = self._most = 0

    @property
    def size(self) -> int:
        return self.memory.size

    @property
    def used(self) -> int:
        """Bytes given out so far."""
        return self._used

    @property
    def filled_bytes(self) -> int:
        """The most that was ever given out, and so may be in memory."""
        return self._most

    def rewind(self, used: int) -> None:
        """Give out again what was given out since; the buffers there share their pages."""
        self._used = used

    def write(self, data: bytes) -> TensorArg:
        """Put raw bytes into the arena (an artifact) and say where they lie."""
        offset = self._take(len(data))
        self._bytes[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        return TensorArg("int32", offset, (len(data),))

    def place(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        dims: Mapping[str, int],
        rng: np.random.Generator,
    ) -> Placement:
        """Lay out a workload's buffers, spread evenly over the offsets within a page.

        A load waits for an earlier store at the same offset within a page. With offsets at random
        the speed-up of a program that streams from input to output varied by several per cent
        from judging to judging.

        Raises:
            MemoryError: the arena is too small for the workload.
        """
        placed: list[Buffer] = []
        specs = inputs + tuple(spec for spec in outputs if spec.inplace is None)
        for i, spec in enumerate(specs):
            shape = spec.sizes(dims)
            nbytes = int(np.prod(shape)) * spec.dtype.itemsize
            slide = PAGE_BYTES * i // len(specs) // ALIGNMENT * ALIGNMENT
            start = self._take(slide + GUARD_BYTES + nbytes + GUARD_BYTES)
            placed.append(Buffer(spec, shape, start + slide + GUARD_BYTES))
        guard = rng.integers(0, 256, GUARD_BYTES, np.uint8)
        given, own = tuple(placed[: len(inputs)]), iter(placed[len(inputs) :])
        over = {b.spec.name: b for b in given}
        made = tuple(replace(over[s.inplace], spec=s) if s.inplace else next(own) for s in outputs)
        placement = Placement(given, made, guard)
        for buffer in placement.buffers:
            for band in self._guards(buffer):
                band[:] = guard[: len(band)]
        return placement

    def view(self, buffer: Buffer) -> Bytes:
        """The buffer's bytes, live: both sides see writes."""
        return self._bytes[buffer.offset : buffer.offset + buffer.nbytes]

    def put(self, buffer: Buffer, array: Array) -> None:
        """Fill the buffer with a contiguous array of its type and shape."""
        self.view(buffer)[:] = raw(array)

    def take(self, buffer: Buffer) -> Array:
        """A private copy of what the buffer holds."""
        copy = self.view(buffer).copy()
        return copy.view(element_type(buffer.spec.dtype)).reshape(buffer.shape)

    def holds(self, buffer: Buffer, array: Array) -> bool:
        """Whether the buffer holds exactly this contiguous array, bit for bit."""
        return same_bytes(self.view(buffer), raw(array))

    def poison(self, buffer: Buffer, rng: np.random.Generator) -> None:
        """Fill with non-finite values of a fresh payload (floats) or a fresh pattern (integers)."""
        dtype = buffer.spec.dtype
        nan, payload_bits = _NAN.get(dtype, (0, dtype.itemsize * 8 - 1))
        pattern = nan | int(rng.integers(1, 1 << min(payload_bits, 62)))
        self.view(buffer).view(_BITS[dtype.itemsize]).fill(pattern)

    def warm(self, placement: Placement) -> None:
        """Read a byte of every cache line, inputs last: the next call finds them in the cache.

        What was written a millisecond ago may have been driven out by the neighbours of a shared
        cache; without this a memory-bound program's time varied twice as much.
        """
        for buffer in (*placement.outputs, *placement.inputs):
            self.view(buffer)[::ALIGNMENT].sum()

    def guards_intact(self, placement: Placement) -> bool:
        """Whether nothing was written around the buffers."""
        return all(
            same_bytes(band, placement.guard[: len(band)])
            for buffer in placement.buffers
            for band in self._guards(buffer)
        )

    def close(self) -> None:
        self._bytes = np.empty(0, np.uint8)
        self.memory.close()

    def _guards(self, buffer: Buffer) -> tuple[Bytes, Bytes]:
        start, end = buffer.offset, buffer.offset + buffer.nbytes
        return self._bytes[start - GUARD_BYTES : start], self._bytes[end : end + GUARD_BYTES]

    def _take(self, nbytes: int) -> int:
        offset = self._used
        self._used += -(-nbytes // PAGE_BYTES) * PAGE_BYTES
        if self._used > self.size:
            raise MemoryError(f"the workloads need more than the {self.size >> 20} MiB of an arena")
        self._most = max(self._most, self._used)
        return offset
