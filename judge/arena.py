"""Memory the judge shares with one party, and what it writes around the buffers in it.

Every buffer lies between two guard bands of secret bytes. Outputs are poisoned before each call
with non-finite values of a random payload, so a value that was not written cannot pass.
"""

import ctypes
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
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
GLIMPSE_PAGES = 16

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


_libc = ctypes.CDLL(None, use_errno=True)
_memcmp = _libc.memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 1, 2


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

    def wipe(self) -> None:
        """Give all pages back: what is read from here on is 0, until it is written."""
        punch = _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE
        if _fallocate(self.fd, punch, 0, self.size):
            code = ctypes.get_errno()
            raise OSError(code, f"fallocate: {os.strerror(code)}")

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
    """Where one workload's buffers lie, and the secret around them."""

    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    guard: Bytes

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        return self.inputs + self.outputs


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Parts of what a buffer held: offset and bytes. All of it, if it is small."""

    parts: tuple[tuple[int, bytes], ...]


class Arena:
    """The data pages shared with one party."""

    def __init__(self, size: int) -> None:
        self.memory = SharedMemory("arena", size)
        self._bytes: Bytes = np.frombuffer(self.memory.map, np.uint8)
        self._used = self._most = 0
        self._placements: list[Placement] = []

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
        self._placements = [p for p in self._placements if p.buffers[0].offset < used]

    def wipe(self) -> None:
        """Other pages, empty but for the guards, under the same buffers."""
        self.memory.wipe()
        for placement in self._placements:
            self._write_guards(placement)

    def write(self, data: bytes) -> TensorArg:
        """Put raw bytes into the arena (an artifact) and say where they lie."""
        where = TensorArg("int32", self._take(len(data)), (len(data),))
        self.rewrite(where, data)
        return where

    def rewrite(self, where: TensorArg, data: bytes) -> None:
        """Put raw bytes where `write` has put them before."""
        self._bytes[where.offset : where.offset + len(data)] = np.frombuffer(data, np.uint8)

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
        placed = []
        specs = inputs + outputs
        for i, spec in enumerate(specs):
            shape = spec.sizes(dims)
            nbytes = int(np.prod(shape)) * spec.dtype.itemsize
            slide = PAGE_BYTES * i // len(specs) // ALIGNMENT * ALIGNMENT
            start = self._take(slide + GUARD_BYTES + nbytes + GUARD_BYTES)
            placed.append(Buffer(spec, shape, start + slide + GUARD_BYTES))
        guard = rng.integers(0, 256, GUARD_BYTES, np.uint8)
        placement = Placement(tuple(placed[: len(inputs)]), tuple(placed[len(inputs) :]), guard)
        self._write_guards(placement)
        self._placements.append(placement)
        return placement

    def view(self, buffer: Buffer) -> Bytes:
        """The buffer's bytes, live: both sides see writes."""
        return self._bytes[buffer.offset : buffer.offset + buffer.nbytes]

    def put(self, buffer: Buffer, array: Array) -> None:
        """Fill the buffer with a contiguous array of its type and shape."""
        self.view(buffer)[:] = raw(array)

    def array(self, buffer: Buffer) -> Array:
        """What the buffer holds, live, in its type and shape."""
        return self.view(buffer).view(element_type(buffer.spec.dtype)).reshape(buffer.shape)

    def take(self, buffer: Buffer) -> Array:
        """A private copy of what the buffer holds."""
        return self.array(buffer).copy()

    def glimpse(self, buffer: Buffer, rng: np.random.Generator) -> "Glimpse":
        """Enough of what the buffer holds to notice later that somebody wrote there."""
        pages = -(-buffer.nbytes // PAGE_BYTES)
        if pages <= GLIMPSE_PAGES:
            return Glimpse(((0, self.view(buffer).tobytes()),))
        inner = rng.integers(1, pages - 1, GLIMPSE_PAGES - 2) * PAGE_BYTES
        starts = (0, *map(int, inner), buffer.nbytes - PAGE_BYTES)
        view = self.view(buffer)
        return Glimpse(tuple((at, view[at : at + PAGE_BYTES].tobytes()) for at in starts))

    def shows(self, buffer: Buffer, glimpse: "Glimpse") -> bool:
        """Whether the buffer still holds what was seen there."""
        view = self.view(buffer)
        return all(view[at : at + len(seen)].tobytes() == seen for at, seen in glimpse.parts)

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

    def _write_guards(self, placement: Placement) -> None:
        for buffer in placement.buffers:
            for band in self._guards(buffer):
                band[:] = placement.guard[: len(band)]

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
