"""The error picture: a PNG, small whatever the output, with the wrong tiles where they are."""

import math
import struct
import zlib

import numpy as np
import numpy.typing as npt
import pytest

from judge.findings import Findings
from judge.jury import illustrated
from judge.picture import MOST_TILES, picture
from judge.verdict import Mode, Verdict
from judge.wire import PICTURE_BYTES, ErrorReport
from tests.judge.conftest import Judge

Pixels = npt.NDArray[np.uint8]


def pixels(png: bytes) -> Pixels:
    """The colour numbers of an indexed PNG, every checksum looked at."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", png[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + data)
        chunks[kind], at = data, at + 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 3)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    assert lines.max() < len(chunks[b"PLTE"]) // 3
    return lines[:, 1:]


def drawn(error: npt.NDArray[np.float64], allowed: float = 1.0) -> tuple[Pixels, tuple[int, int]]:
    """One pixel a tile, and the size of a tile."""
    made = picture(Findings("y", {"element": 2.0}, error, allowed))
    assert made is not None
    assert len(made.png) <= PICTURE_BYTES
    image = pixels(made.png)
    shape = error.shape if error.ndim > 1 else (1, error.size)
    zoom = max(1, 256 // max(-(-s // t) for s, t in zip(_matrix(shape), made.tile, strict=True)))
    return image[::zoom, ::zoom], made.tile


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) == 2 and shape[0] == 1:
        columns = math.isqrt(shape[1] - 1) + 1
        return -(-shape[1] // columns), columns
    return math.prod(shape[:-1]), shape[-1]


def test_a_wrong_element_is_seen_in_its_tile_alone() -> None:
    error = np.full((640, 1000), 0.5)
    error[333, 777] = 100.0
    image, tile = drawn(error)
    assert tile == (10, 16)
    wrong = np.argwhere(image >= 64)
    assert wrong.tolist() == [[333 // 10, 777 // 16]]


def test_the_further_off_the_higher_the_colour() -> None:
    row, _ = drawn(np.array([[0.0, 1.0], [1.01, 1e3], [1e9, np.inf]]))
    flat = row.ravel().tolist()
    assert flat == sorted(flat)
    assert flat[1] < 64 <= flat[2] < flat[3] < flat[4] == flat[5] == 255


def test_what_is_not_a_number_is_as_wrong_as_can_be() -> None:
    image, _ = drawn(np.array([[0.0, np.nan]]).repeat(2, axis=0))
    assert image[0].tolist() == [0, 255]


def test_where_nothing_is_allowed_any_error_counts() -> None:
    image, _ = drawn(np.array([[0.0, 1e-30], [0.0, 0.0]]), allowed=0.0)
    assert image.tolist() == [[0, 255], [0, 0]]


@pytest.mark.parametrize(
    ("shape", "tile"),
    [((7,), (1, 1)), ((100_000,), (5, 5)), ((3, 5, 7, 11), (2, 1)), ((1, 1), (1, 1))],
)
def test_any_shape_is_seen_as_a_matrix(shape: tuple[int, ...], tile: tuple[int, int]) -> None:
    error = np.zeros(shape)
    error.reshape(-1)[-1] = 5.0
    made = picture(Findings("y", {}, error))
    assert made is not None
    assert made.tile == tile
    assert (pixels(made.png) >= 64).any()


def test_noise_stays_under_the_cap() -> None:
    rng = np.random.default_rng(1)
    made = picture(Findings("y", {}, 10 ** rng.uniform(-8, 8, (4096, 512))))
    assert made is not None
    assert len(made.png) < PICTURE_BYTES / 3
    assert max(pixels(made.png).shape) <= 4 * MOST_TILES


def test_errors_of_no_single_element_have_no_picture() -> None:
    assert picture(Findings("y", {"residual": 3.0})) is None
    report = ErrorReport(gate="residual", output="y")
    assert illustrated(report, (Findings("y", {"residual": 3.0}),)) == report
    other = Findings("z", {"element": 3.0}, np.ones((2, 2)))
    assert illustrated(report, (other,)) == report


WRONG_COLUMN = """
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
    y[:, 0] += 1
"""


def test_a_judging_draws_the_sample_workload(judged: Judge) -> None:
    result = judged(WRONG_COLUMN, mode=Mode.TEST)
    assert result.verdict is Verdict.WA
    (error,) = (run.error for run in result.runs if run.error is not None)
    assert error.picture is not None
    image = pixels(error.picture) >= 64
    assert image[:, 0].all()
    assert not image[:, -1].any()


LARGE_WRONG = """
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
    if x.size > 1000: y[:, 0] += 1
"""


def test_no_other_workload_is_drawn(judged: Judge) -> None:
    result = judged(LARGE_WRONG)
    assert result.verdict is Verdict.WA
    assert all(run.error.picture is None for run in result.runs if run.error is not None)
