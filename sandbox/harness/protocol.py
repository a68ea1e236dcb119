"""The control page: how the judge and a harness talk, through one shared page and nothing else.

The judge writes a request (operation and descriptor), then raises GO to a new sequence number.
The harness serves it, then raises DONE to the same number. All fields are little-endian 64-bit
words. Whatever the harness writes is a claim: the judge keeps its own record of every request and
never reads back what it wrote.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

CONTROL_BYTES = 64 * 1024
DESCRIPTOR_AT = 4096
TEXT_AT = 32 * 1024
TEXT_BYTES = CONTROL_BYTES - TEXT_AT

# GO and DONE lie on cache lines of their own, so that one side's spinning does not slow the other.
# SLOT is a small number the judge gives each distinct descriptor: it saves the harness the reading.
GO, OP, SIZE, SLOT = 0, 1, 2, 3
DONE, REPLY, TEXT_SIZE = 16, 17, 18

BOOT = 1
"""The sequence number a harness raises by itself once its imports are done."""


class Op(IntEnum):
    """What the judge asks for."""

    LOAD = 1
    PREPARE = 2
    CALL = 3
    NULL = 4


class Reply(IntEnum):
    """What the harness says became of a request."""

    OK = 0
    EXCEPTION = 1
    NO_MEMORY = 2
    ABSENT = 3
    """The optional function asked for does not exist."""


class Kind(IntEnum):
    """Kinds of call argument."""

    INT = 0
    FLOAT = 1
    TENSOR = 2
    GIVEN = 3
    """A tensor in the pages that cannot be written."""


DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64")


@dataclass(frozen=True, slots=True)
class TensorArg:
    """A C-contiguous buffer in the arena: offset in bytes, shape in elements.

    Attributes:
        given: it lies in the pages for inputs instead, which cannot be written.
    """

    dtype: str
    offset: int
    shape: tuple[int, ...]
    given: bool = False


Arg = int | float | TensorArg


def encode(args: Sequence[Arg]) -> bytes:
    """The descriptor of a call's arguments."""
    words: list[int] = [len(args)]
    for arg in args:
        if isinstance(arg, TensorArg):
            kind = Kind.GIVEN if arg.given else Kind.TENSOR
            words += [kind, DTYPES.index(arg.dtype), arg.offset, len(arg.shape), *arg.shape]
        elif isinstance(arg, float):
            words += [Kind.FLOAT, int.from_bytes(struct.pack("<d", arg), "little")]
        else:
            words += [Kind.INT, arg & 0xFFFF_FFFF_FFFF_FFFF]
    return struct.pack(f"<{len(words)}Q", *words)


def decode(descriptor: bytes) -> list[Arg]:
    """The arguments of a descriptor."""
    words = iter(struct.unpack(f"<{len(descriptor) // 8}Q", descriptor))
    args: list[Arg] = []
    for _ in range(next(words)):
        kind = next(words)
        if kind in (Kind.TENSOR, Kind.GIVEN):
            dtype, offset, rank = DTYPES[next(words)], next(words), next(words)
            shape = tuple(next(words) for _ in range(rank))
            args.append(TensorArg(dtype, offset, shape, kind == Kind.GIVEN))
        elif kind == Kind.FLOAT:
            args.append(float(struct.unpack("<d", next(words).to_bytes(8, "little"))[0]))
        else:
            value = next(words)
            args.append(value - (1 << 64) if value >> 63 else value)
    return args
