"""Mutants are wrong wherever they are made, and are not made where they would be right."""

import ml_dtypes
import numpy as np
import pytest

from judge.arena import Array
from judge.mutants import (
    FOR_DRAWS,
    MUTANTS,
    OF_INPUTS,
    Original,
    Unfit,
    inputs_cut,
    inputs_lowered,
    lowered,
    mutate,
)

NOT_OF_INTEGERS = (
    *("rounded to lower precision", "one NaN", "one infinity"),
    "scaled by a per cent",  # which of numbers below 50 is none
)
DTYPES = ("float64", "float32", "float16", "bfloat16", "int32", "int64")


def original(dtype: str, shape: tuple[int, ...] = (6, 6)) -> Original:
    rng = np.random.default_rng(1)
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    whole = dtype.startswith("int")
    value, previous, x = (
        rng.integers(-50, 50, shape).astype(kind)
        if whole
        else rng.standard_normal(shape).astype(kind)
        for _ in range(3)
    )
    u = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
    return Original(value, previous, {"n": np.arange(3), "x": x}, u.get(dtype, 0.0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_has_the_right_type_and_wrong_values(name: str, dtype: str) -> None:
    right = original(dtype)
    before = right.value.copy()
    if dtype.startswith("int") and name in NOT_OF_INTEGERS:
        with pytest.raises(Unfit):
            mutate(name, right)
        return
    wrong = mutate(name, right)
    assert (wrong.dtype, wrong.shape) == (right.value.dtype, right.value.shape)
    assert not np.array_equal(wrong, right.value)
    assert np.array_equal(right.value, before), "the right output was changed"


def changed(name: str, right: Original) -> int:
    wrong = mutate(name, right)
    return int((wrong != right.value).sum())


def test_small_mistakes_are_small() -> None:
    right = original("float32", (40, 50))
    counts = {
        "one wrong element": 1,
        "one NaN": 1,
        "one infinity": 1,
        "last element missing": 1,
        "first element off by one place": 1,
        "a stale thousandth": 2,
        "last column missing": 40,
        "last tile missing": 64,
        "second half missing": 1000,
    }
    assert {name: changed(name, right) for name in counts} == counts


def constant(value: Array) -> Original:
    return Original(value, value, {}, 2.0**-24)


@pytest.mark.parametrize("name", ["ones", "mean everywhere", "rows moved by one", "transposed"])
def test_what_is_right_by_construction_is_not_a_mutant(name: str) -> None:
    with pytest.raises(Unfit, match="it is the right output"):
        mutate(name, constant(np.ones((3, 3), np.float32)))


@pytest.mark.parametrize(
    ("name", "shape", "why"),
    [
        ("transposed", (3, 4), "not square"),
        ("transposed", (9,), "not square"),
        ("rows moved by one", (1, 4), "one row"),
        ("first row everywhere", (4,), "no rows"),
        ("first element off by one place", (1, 1), "one element"),
    ],
)
def test_what_a_shape_does_not_allow_is_said(name: str, shape: tuple[int, ...], why: str) -> None:
    with pytest.raises(Unfit, match=why):
        mutate(name, original("float32", shape))


def test_lower_precision_is_the_next_one() -> None:
    assert lowered(np.array([1 + 2.0**-11], np.float32)) == 1
    assert lowered(np.array([1 + 2.0**-10], np.float32)) == 1 + 2.0**-10
    with pytest.raises(Unfit, match="do not fit float16"):
        lowered(np.array([1e6], np.float32))


def test_inputs_are_changed_in_a_copy() -> None:
    inputs: dict[str, Array] = {"a": np.full((4, 100), 1 + 2.0**-20, np.float32), "n": np.arange(4)}
    low, cut = inputs_lowered(inputs), inputs_cut(inputs)
    assert (low["a"] == 1).all()
    assert (cut["a"][:, -12:] == 0).all()
    assert (cut["a"][:, :-12] != 0).all()
    assert (inputs["a"] == np.float32(1 + 2.0**-20)).all()
    with pytest.raises(Unfit, match="no input is floating"):
        inputs_lowered({"n": np.arange(4)})


def test_there_are_about_twenty() -> None:
    assert len(MUTANTS) + len(OF_INPUTS) >= 20
    assert set(MUTANTS) > FOR_DRAWS
