"""Memory the judge shares with the parties, and what it writes around the buffers in it.

Inputs lie in pages that only the judge can write, and that candidate and baseline both see: nothing
has to be compared after a call, and nothing written twice. Outputs lie in pages of one party's own,
each between two guard bands of secret bytes, and are poisoned before each call with non-finite
values of a random payload, so a value that was not written cannot pass.
"""

import ctypes
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, fcntl
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from judge.problem import DType, Operator, TensorSpec
from sandbox.harness.protocol import TensorArg

PAGE_BYTES = 4096
GUARD_BYTES = PAGE_BYTES
ALIGNMENT = 64
GLIMPSE_BYTES = 64 << 10
"""Of a larger buffer some places are remembered, of others all."""
GLIMPSE_PLACES = 32
"""Each costs a microsecond, being far from all others. Of 150 late writes of a thousandth of the
output at least one is seen in 99 of 100 judgings."""

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
_F_SEAL_FUTURE_WRITE = 0x10  # not among Python's constants


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

    Args:
        writable: whether who gets the descriptor may write; this process always may. Raises OSError
            before Linux 5.1 if not.
    """

    def __init__(self, name: str, size: int, *, writable: bool = True) -> None:
        self.size = size
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        # Mappings that are there already stay as they are.
        alone = 0 if writable else _F_SEAL_FUTURE_WRITE
        fcntl(self.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | alone)

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
    """One tensor's place in shared pages.

    Attributes:
        given: in the pages for inputs (`Given`), not in a party's own.
    """

    spec: TensorSpec
    shape: tuple[int, ...]
    offset: int
    given: bool = False

    @cached_property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.spec.dtype.itemsize

    def argument(self) -> TensorArg:
        return TensorArg(self.spec.dtype.value, self.offset, self.shape, self.given)


@dataclass(frozen=True)
class Placement:
    """Where one workload's buffers lie, and the secret around them.

    An output that is written over an input is the same place as that input.
    """

    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    guard: bytes

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """Every buffer once, in the order of the arguments."""
        return self.inputs + self.written

    @property
    def written(self) -> tuple[Buffer, ...]:
        """The outputs with a buffer of their own."""
        return tuple(b for b in self.outputs if b.spec.inplace is None)

    @property
    def guarded(self) -> tuple[Buffer, ...]:
        """Those in pages that the party can write."""
        return tuple(buffer for buffer in self.buffers if not buffer.given)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Parts of what a buffer held. All of it, if it is small.

    Attributes:
        places: offsets of bytes; None for all there are.
    """

    places: npt.NDArray[np.int64] | None
    seen: Bytes


class Given:
    """Pages for inputs, which the judge alone can write and every party can read."""

    def __init__(self, size: int) -> None:
        self.memory = SharedMemory("given", size, writable=False)
        self.bytes: Bytes = np.frombuffer(self.memory.map, np.uint8)
        self.used = 0
        self._there: dict[int, Array] = {}

    def place(self, operator: Operator, dims: Mapping[str, int]) -> tuple[Buffer, ...]:
        """Lay out the inputs of a workload that no output is written over.

        Raises MemoryError if there is too little room.
        """
        placed = []
        over = {spec.inplace for spec in operator.outputs}
        count = len(operator.inputs) + sum(spec.inplace is None for spec in operator.outputs)
        for i, spec in enumerate(operator.inputs):
            if spec.name in over:
                continue
            shape = spec.sizes(dims)
            size = int(np.prod(shape)) * spec.dtype.itemsize
            slide = _slide(i, count)
            placed.append(Buffer(spec, shape, self.used + slide, given=True))
            self.used += _whole_pages(slide + size)
        _check_room(self.used, self.memory.size)
        return tuple(placed)

    def put(self, buffer: Buffer, array: Array) -> None:
        """Fill a buffer, unless this very array is there already: nobody else can change it."""
        if self._there.get(buffer.offset) is not array:
            self.bytes[buffer.offset : buffer.offset + buffer.nbytes] = raw(array)
            self._there[buffer.offset] = array

    def close(self) -> None:
        """Give the pages back."""
        self._there.clear()
        self.bytes = np.empty(0, np.uint8)
        self.memory.close()


class Arena:
    """The data pages shared with one party.

    Args:
        given: where its inputs lie that do not lie here.
    """

    def __init__(self, size: int, given: Given | None = None) -> None:
        self.memory = SharedMemory("arena", size)
        self.given = given
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
        return self._most + (self.given.used if self.given else 0)

    def rewind(self, used: int) -> None:
        """Give out again what was given out since; the buffers there share their pages."""
        self._used = used
        self._placements = [p for p in self._placements if p.guarded[0].offset < used]

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
        given: tuple[Buffer, ...] = (),
    ) -> Placement:
        """Lay out a workload's buffers, spread evenly over the offsets within a page.

        A load waits for an earlier store at the same offset within a page. With offsets at random
        the speed-up of a program that streams from input to output varied by several per cent
        from judging to judging.

        Args:
            given: buffers of inputs that have their place already.

        Raises:
            MemoryError: the arena is too small for the workload.
        """
        placed: list[Buffer] = []
        specs = inputs + tuple(spec for spec in outputs if spec.inplace is None)
        there = {buffer.spec.name: buffer for buffer in given}
        for i, spec in enumerate(specs):
            if spec.name in there:
                placed.append(there[spec.name])
                continue
            shape = spec.sizes(dims)
            nbytes = int(np.prod(shape)) * spec.dtype.itemsize
            slide = _slide(i, len(specs))
            start = self._take(slide + GUARD_BYTES + nbytes + GUARD_BYTES)
            placed.append(Buffer(spec, shape, start + slide + GUARD_BYTES))
        guard = rng.bytes(GUARD_BYTES)
        read, own = tuple(placed[: len(inputs)]), iter(placed[len(inputs) :])
        over = {b.spec.name: b for b in read}
        made = tuple(replace(over[s.inplace], spec=s) if s.inplace else next(own) for s in outputs)
        placement = Placement(read, made, guard)
        self._write_guards(placement)
        self._placements.append(placement)
        return placement

    def view(self, buffer: Buffer) -> Bytes:
        """The buffer's bytes, live: both sides see writes."""
        pages = self.given.bytes if buffer.given and self.given is not None else self._bytes
        return pages[buffer.offset : buffer.offset + buffer.nbytes]

    def put(self, buffer: Buffer, array: Array) -> None:
        """Fill the buffer with a contiguous array of its type and shape."""
        if buffer.given and self.given is not None:
            self.given.put(buffer, array)
        else:
            self.view(buffer)[:] = raw(array)

    def array(self, buffer: Buffer) -> Array:
        """What the buffer holds, live, in its type and shape."""
        return self.view(buffer).view(element_type(buffer.spec.dtype)).reshape(buffer.shape)

    def take(self, buffer: Buffer) -> Array:
        """A private copy of what the buffer holds."""
        return self.array(buffer).copy()

    def glimpse(self, buffer: Buffer, rng: np.random.Generator) -> "Glimpse":
        """Enough of what the buffer holds to notice later that somebody wrote there."""
        view = self.view(buffer)
        if buffer.nbytes <= GLIMPSE_BYTES:
            return Glimpse(None, view.copy())
        places = rng.integers(0, buffer.nbytes, GLIMPSE_PLACES)
        places[:2] = 0, buffer.nbytes - 1
        return Glimpse(places, view[places])

    def shows(self, buffer: Buffer, glimpse: "Glimpse") -> bool:
        """Whether the buffer still holds what was seen there."""
        view = self.view(buffer)
        now = view if glimpse.places is None else view[glimpse.places]
        return bool(np.array_equal(now, glimpse.seen))

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
        # Not through numpy: it takes longer to describe an array than to compare a page.
        pages = self.memory.map
        return all(
            pages[band] == placement.guard
            for buffer in placement.guarded
            for band in self._guards(buffer)
        )

    def close(self) -> None:
        self._bytes = np.empty(0, np.uint8)
        self.memory.close()

    def _write_guards(self, placement: Placement) -> None:
        for buffer in placement.guarded:
            for band in self._guards(buffer):
                self.memory.map[band] = placement.guard

    def _guards(self, buffer: Buffer) -> tuple[slice, slice]:
        start, end = buffer.offset, buffer.offset + buffer.nbytes
        return slice(start - GUARD_BYTES, start), slice(end, end + GUARD_BYTES)

    def _take(self, nbytes: int) -> int:
        offset = self._used
        self._used += _whole_pages(nbytes)
        _check_room(self._used, self.size)
        self._most = max(self._most, self._used)
        return offset


def _slide(i: int, count: int) -> int:
    return PAGE_BYTES * i // count // ALIGNMENT * ALIGNMENT


def _whole_pages(nbytes: int) -> int:
    return -(-nbytes // PAGE_BYTES) * PAGE_BYTES


def _check_room(used: int, size: int) -> None:
    if used > size:
        raise MemoryError(f"the workloads need more than the {size >> 20} MiB of an arena")
