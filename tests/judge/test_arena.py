"""Buffers, guards and poison."""

import mmap
import os
from collections.abc import Callable
from fcntl import F_GET_SEALS, F_SEAL_GROW, F_SEAL_SHRINK, fcntl
from functools import partial

import numpy as np
import pytest

from judge.arena import (
    ALIGNMENT,
    GUARD_BYTES,
    PAGE_BYTES,
    Arena,
    Given,
    SharedMemory,
    element_type,
)
from judge.problem import DType, Operator, TensorSpec

RNG = np.random.default_rng(7)
X = TensorSpec(name="x", dtype=DType.FLOAT32, shape=("rows", "cols"))
Y = TensorSpec(name="y", dtype=DType.FLOAT32, shape=("rows",))
DIMS = {"rows": 5, "cols": 3}


@pytest.fixture
def arena() -> Arena:
    return Arena(1 << 22)


def test_pages_cannot_change_size() -> None:
    memory = SharedMemory("test", 8192)
    assert fcntl(memory.fd, F_GET_SEALS) & (F_SEAL_GROW | F_SEAL_SHRINK)
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, size)


def test_an_unsealed_file_could_be_shrunk_under_the_judge() -> None:
    fd = os.memfd_create("plain")
    os.ftruncate(fd, 8192)
    os.ftruncate(fd, 0)
    assert os.fstat(fd).st_size == 0
    os.close(fd)


def test_buffers_are_aligned_apart_and_between_guards(arena: Arena) -> None:
    placement = arena.place((X,), (Y,), DIMS, RNG)
    spans = []
    for buffer in placement.buffers:
        assert buffer.offset % ALIGNMENT == 0
        spans.append((buffer.offset - GUARD_BYTES, buffer.offset + buffer.nbytes + GUARD_BYTES))
    (_, first_end), (second_start, _) = sorted(spans)
    assert first_end <= second_start
    assert arena.guards_intact(placement)


@pytest.mark.parametrize("where", [-1, -GUARD_BYTES, 0, GUARD_BYTES - 1])
def test_a_byte_outside_a_buffer_breaks_the_guard(arena: Arena, where: int) -> None:
    placement = arena.place((X,), (Y,), DIMS, RNG)
    buffer = placement.outputs[0]
    at = buffer.offset + where if where < 0 else buffer.offset + buffer.nbytes + where
    arena._bytes[at] ^= 0xFF
    assert not arena.guards_intact(placement)


def test_buffers_of_one_placement_spread_over_the_offsets_within_a_page(arena: Arena) -> None:
    """Wherever earlier placements ended: it decides how fast a streaming program runs."""
    rng = np.random.default_rng(0)
    for rows in (3, 5, 7):
        placement = arena.place((X,), (Y,), {"rows": rows, "cols": 3}, rng)
        offsets = [buffer.offset % PAGE_BYTES for buffer in placement.buffers]
        assert offsets == [0, PAGE_BYTES // 2]


def test_placements_of_one_workload_lie_at_different_addresses(arena: Arena) -> None:
    offsets = {arena.place((X,), (Y,), DIMS, RNG).inputs[0].offset for _ in range(8)}
    assert len(offsets) == 8


@pytest.mark.parametrize("dtype", [d for d in DType if d.floating])
def test_poison_is_nan_and_never_the_same(arena: Arena, dtype: DType) -> None:
    spec = TensorSpec(name="y", dtype=dtype, shape=(17,))
    buffer = arena.place((), (spec,), {}, RNG).outputs[0]
    seen = set()
    for _ in range(5):
        arena.poison(buffer, RNG)
        values = arena.take(buffer)
        assert np.isnan(values).all()
        seen.add(values.tobytes())
    assert len(seen) > 1


@pytest.mark.parametrize("dtype", [DType.INT32, DType.INT64])
def test_integer_poison_changes(arena: Arena, dtype: DType) -> None:
    spec = TensorSpec(name="y", dtype=dtype, shape=(4,))
    buffer = arena.place((), (spec,), {}, RNG).outputs[0]
    seen = set()
    for _ in range(5):
        arena.poison(buffer, RNG)
        seen.add(arena.view(buffer).tobytes())
    assert len(seen) == 5


def test_a_full_arena_says_so() -> None:
    small = Arena(64 << 10)
    with pytest.raises(MemoryError, match="arena"):
        small.place((X,), (Y,), {"rows": 4096, "cols": 64}, RNG)


def test_written_bytes_are_found_where_the_argument_says(arena: Arena) -> None:
    argument = arena.write(b"artifact bytes")
    assert bytes(arena._bytes[argument.offset : argument.offset + argument.shape[0]]) == (
        b"artifact bytes"
    )


@pytest.mark.parametrize("dtype", DType)
def test_what_is_put_into_a_buffer_is_taken_from_it(arena: Arena, dtype: DType) -> None:
    spec = TensorSpec(name="x", dtype=dtype, shape=("rows", "cols"))
    buffer = arena.place((spec,), (), DIMS, RNG).inputs[0]
    values = np.arange(15).astype(element_type(dtype)).reshape(5, 3)
    arena.put(buffer, values)
    taken = arena.take(buffer)
    assert taken.dtype == values.dtype
    assert np.array_equal(taken, values)
    assert arena.holds(buffer, values)
    arena.view(buffer)[0] ^= 1
    assert not arena.holds(buffer, values)
    assert np.array_equal(taken, values), "a copy, not a view"


def test_rewound_pages_are_given_out_again(arena: Arena) -> None:
    arena.write(b"stays")
    kept = arena.used
    first = arena.place((X,), (), DIMS, RNG)
    arena.rewind(kept)
    assert arena.place((X,), (), DIMS, RNG).inputs[0].offset == first.inputs[0].offset >= kept


def test_wiped_pages_hold_nothing_but_the_guards(arena: Arena) -> None:
    where = arena.write(b"a program")
    placement = arena.place((X,), (Y,), DIMS, RNG)
    for buffer in placement.buffers:
        arena.view(buffer)[:] = 7
    arena._bytes[-1] = 7  # where nothing was placed
    arena.wipe()
    assert arena.guards_intact(placement)
    assert not any(arena.view(buffer).any() for buffer in placement.buffers)
    assert arena._bytes[-1] == 0
    assert not arena._bytes[where.offset : where.offset + 9].any()
    arena.rewrite(where, b"a program")
    assert arena._bytes[where.offset : where.offset + 9].tobytes() == b"a program"


@pytest.mark.parametrize("elements", [1, 1000, 16 * 1024, 1 << 17])
def test_a_glimpse_notices_other_values_at_both_ends(arena: Arena, elements: int) -> None:
    spec = TensorSpec(name="y", dtype=DType.FLOAT32, shape=(elements,))
    buffer = arena.place((), (spec,), {}, RNG).outputs[0]
    for at in (0, -1):
        glimpse = arena.glimpse(buffer, RNG)
        assert arena.shows(buffer, glimpse)
        arena.view(buffer)[at] ^= 1
        assert not arena.shows(buffer, glimpse)
    glimpse = arena.glimpse(buffer, RNG)
    arena.poison(buffer, RNG)
    assert not arena.shows(buffer, glimpse)


def test_a_glimpse_of_a_small_buffer_is_all_of_it(arena: Arena) -> None:
    spec = TensorSpec(name="y", dtype=DType.FLOAT32, shape=(16 * 1024,))
    buffer = arena.place((), (spec,), {}, RNG).outputs[0]
    for at in range(0, buffer.nbytes, 1021):
        glimpse = arena.glimpse(buffer, RNG)
        arena.view(buffer)[at] ^= 1
        assert not arena.shows(buffer, glimpse)


OPERATOR = Operator(dims=("rows", "cols"), inputs=(X,), outputs=(Y,))


def test_given_pages_are_written_by_the_judge_alone() -> None:
    given, plain = Given(1 << 16), SharedMemory("plain", 1 << 16)
    (buffer,) = given.place(OPERATOR, DIMS)
    array = np.arange(15, dtype=np.float32).reshape(5, 3)
    given.put(buffer, array)
    for fd, refused in ((given.memory.fd, True), (plain.fd, False)):
        assert raises(partial(os.pwrite, fd, b"x", 0)) == refused
        assert raises(partial(mmap.mmap, fd, 1 << 16)) == refused
        assert raises(partial(mmap.mmap, fd, 1 << 16, prot=mmap.PROT_READ)) is False
        memory = given.memory if refused else plain
        assert raises(memory.wipe) == refused
    with mmap.mmap(given.memory.fd, 1 << 16, prot=mmap.PROT_READ) as seen:
        assert seen[buffer.offset : buffer.offset + 60] == array.tobytes()
    given.close()
    plain.close()


def raises(act: Callable[[], object]) -> bool:
    try:
        act()
    except PermissionError:
        return True
    return False


def test_what_is_there_already_is_not_written_again() -> None:
    given = Given(1 << 16)
    (buffer,) = given.place(OPERATOR, DIMS)
    array = np.ones((5, 3), np.float32)
    given.put(buffer, array)
    given.bytes[:] = 0
    given.put(buffer, array)
    assert not given.bytes.any()
    given.put(buffer, array.copy())
    assert given.bytes.any()


def test_buffers_of_given_pages_are_part_of_placements_and_have_no_guards() -> None:
    given = Given(1 << 16)
    arenas = [Arena(1 << 20, given) for _ in range(2)]
    there = given.place(OPERATOR, DIMS)
    placements = [arena.place((X,), (Y,), DIMS, RNG, there) for arena in arenas]
    array = np.ones((5, 3), np.float32)
    for arena, placement in zip(arenas, placements, strict=True):
        arena.put(placement.inputs[0], array)
        assert placement.inputs == there
        assert [buffer.spec for buffer in placement.guarded] == [Y]
        assert arena.holds(placement.inputs[0], array)
        assert arena.guards_intact(placement)
        assert arena.filled_bytes > given.used > 0


def test_inputs_that_an_output_is_written_over_are_not_given() -> None:
    over = Y.model_copy(update={"inplace": "x"})
    x = X.model_copy(update={"shape": Y.shape})
    operator = Operator(dims=("rows",), inputs=(x,), outputs=(over,))
    assert Given(1 << 16).place(operator, DIMS) == ()


def test_full_given_pages_say_so() -> None:
    with pytest.raises(MemoryError, match="arena"):
        Given(1 << 12).place(OPERATOR, {"rows": 4096, "cols": 64})
