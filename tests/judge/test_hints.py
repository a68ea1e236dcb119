"""Slips of the finger are recognised, other words are answered with the list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.hints import did_you_mean, shorten

KEYS = ["license", "tolerance", "limits", "workloads", "name", "time_limit_s"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lisence", "license"),
        ("licens", "license"),
        ("limit", "limits"),
        ("wrokloads", "workloads"),
        ("workload", "workloads"),
        ("time_limit", "time_limit_s"),
        ("time-limit-s", "time_limit_s"),
        ("nmae", "name"),
    ],
)
def test_slips(word: str, meant: str) -> None:
    assert did_you_mean(word, KEYS) == f"; did you mean `{meant}`?"


@pytest.mark.parametrize("word", ["gpu", "", "colour", "x"])
def test_other_words(word: str) -> None:
    assert did_you_mean(word, ["mode", "arrays"]) == "; known: arrays, mode"


def test_a_megabyte_is_not_compared() -> None:
    assert did_you_mean("a" * 1_000_000, KEYS) == ""


def test_shorten() -> None:
    assert shorten("a" * 100) == "a" * 100
    assert shorten("a" * 101) == "a" * 97 + "..."


def test_nothing_known() -> None:
    assert did_you_mean("a", []) == ""


@given(st.sampled_from(KEYS), st.data())
def test_one_swap_is_always_seen(key: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(key) - 2))
    slip = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
    assert did_you_mean(slip, KEYS) == f"; did you mean `{key}`?"
