"""The error picture: where an output is wrong, tile by tile, as a small PNG.

One pass over the errors that the checker has worked out already, at most 64 x 64 tiles, and some
kilobytes in the end, however large the output is.
"""

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from judge.arena import Array
from judge.findings import Findings

MOST_TILES = 64
"""Of a row, and of a column."""

_SIDE_PIXELS = 256
"""At least so wide and high, by enlarging tiles."""

_DECADES = 6.0
"""Orders of magnitude beyond what is allowed until the colour does not change any more."""

_RIGHT = 64
"""Colours of the palette for what is within the tolerance; the rest is for what is not."""

Levels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A rendered picture.

    Attributes:
        png: the file.
        tile: rows and columns of the output that one tile stands for.
    """

    png: bytes
    tile: tuple[int, int]


def picture(found: Findings) -> Picture | None:
    """The worst error of each tile over what is allowed there; None without single elements.

    The output is seen as a matrix of its last axis; a vector is folded into a square.
    """
    if found.error is None or found.error.size == 0:
        return None
    rows, columns = _folded(found.error.shape)
    tile = -(-rows // MOST_TILES), -(-columns // MOST_TILES)
    worst = _worst(_excess(found), rows, columns, tile)
    return Picture(_png(_levels(worst)), tile)


def _folded(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) > 1:
        return math.prod(shape[:-1]), shape[-1]
    columns = math.isqrt(shape[0] - 1) + 1
    return -(-shape[0] // columns), columns


def _excess(found: Findings) -> Array:
    """Error over what is allowed; where nothing is, any error is beyond all measure."""
    assert found.error is not None  # noqa: S101 - `picture` has looked
    error = found.error.reshape(-1).astype(np.float64)
    allowed = np.broadcast_to(found.allowed, found.error.shape).reshape(-1)
    with np.errstate(all="ignore"):
        share: Array = np.where(allowed > 0, error / allowed, np.where(error > 0, np.inf, 0.0))
    return np.nan_to_num(share, copy=False, nan=np.inf, posinf=np.inf)


def _worst(share: Array, rows: int, columns: int, tile: tuple[int, int]) -> Array:
    """The largest of each tile."""
    if missing := rows * columns - share.size:
        share = np.concatenate([share, np.zeros(missing)])
    of_rows = np.maximum.reduceat(share.reshape(rows, columns), range(0, rows, tile[0]), axis=0)
    worst: Array = np.maximum.reduceat(of_rows, range(0, columns, tile[1]), axis=1)
    return worst


def _levels(worst: Array) -> Levels:
    """Numbers of colours: dark for right, from yellow to red by orders of magnitude for wrong."""
    with np.errstate(all="ignore"):
        decades = np.minimum(np.log10(worst) / _DECADES, 1.0)
    wrong = _RIGHT + np.nan_to_num(decades, neginf=0.0) * (255 - _RIGHT)
    level = np.where(worst <= 1, np.minimum(worst, 1.0) * (_RIGHT - 1), wrong)
    return level.astype(np.uint8)


def _palette() -> bytes:
    right = [(20, 30 + i, 40 + i) for i in range(_RIGHT)]
    steps = 255 - _RIGHT
    wrong = [(255, 230 - 230 * i // steps, 60 - 60 * i // steps) for i in range(steps + 1)]
    return bytes(channel for colour in (*right, *wrong) for channel in colour)


def _png(levels: Levels) -> bytes:
    """An indexed image, every tile enlarged to the same square of pixels."""
    zoom = max(1, _SIDE_PIXELS // max(levels.shape))
    image = levels.repeat(zoom, axis=0).repeat(zoom, axis=1)
    height, width = image.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each begins with the number of its filter
    lines[:, 1:] = image
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", _palette()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
