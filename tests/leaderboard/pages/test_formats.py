"""Figures as people read them, and bars."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from judge.wire import Interval
from leaderboard.pages import formats
from leaderboard.pages.bars import Scale

NBSP = "\N{NO-BREAK SPACE}"


def interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "–"),
        (0, "0 ns"),
        (7.4, "7 ns"),
        (999, "999 ns"),
        (1000, "1.00 µs"),
        (12345, "12.3 µs"),
        (999_700, "1,000 µs"),
        (1.5e6, "1.50 ms"),
        (2.5e8, "250 ms"),
        (3e9, "3.00 s"),
        (4.2e12, "4,200 s"),
    ],
)
def test_durations(ns: float | None, text: str) -> None:
    assert formats.duration(ns).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.00"), (1.0, "1.00"), (17.26, "17.3"), (250.4, "250"), (1834.2, "1,834"),
     (0.00123, "0.00123"), (5e12, "5e+12")],
)  # fmt: skip
def test_figures(value: float | None, text: str) -> None:
    assert formats.figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.25, "0.25"), (64, "64"), (1e-5, "1e-05"), ("oracle", "oracle")],
)
def test_declared_numbers_get_no_more_digits(value: float | str, text: str) -> None:
    assert formats.plain(value) == text


def test_elements_keep_the_digits_of_float32() -> None:
    assert formats.exact(0.1) == "0.1"
    assert formats.exact(16777217.0) == "16777217"
    assert formats.exact(0.123456789012) == "0.123456789"


@pytest.mark.parametrize(
    ("value", "text"), [(0.62, "0.620×"), (2.3104, "2.310×"), (12.3456, "12.35×"), (250.4, "250×")]
)
def test_speedups(value: float, text: str) -> None:
    assert formats.times(value) == text


def test_intervals_and_shares() -> None:
    assert formats.bounds(interval(2, 1.95, 12)) == "[1.950, 12.00]"
    assert formats.percent(0.031) == f"3.1{NBSP}%"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (None, "–"),
        (datetime(2026, 11, 22, 5, 6, 7, 999999, tzinfo=UTC), "2026-11-22 05:06:07"),
        (datetime(2026, 11, 22, 5, 6, 7), "2026-11-22 05:06:07"),
        (datetime(2026, 11, 22, 5, 6, 7, tzinfo=timezone(timedelta(hours=8))),
         "2026-11-21 21:06:07"),
    ],
)  # fmt: skip
def test_moments_are_in_utc_to_the_second(when: datetime | None, text: str) -> None:
    assert formats.moment(when) == text


def test_shapes_and_places() -> None:
    assert formats.pairs({"rows": 2, "eps": 1e-5}) == "rows=2, eps=1e-05"
    assert formats.pairs({}) == "–"
    assert formats.index((3, 0, 57)) == "[3, 0, 57]"
    assert formats.index(()) == "[]"


# --- bars ---------------------------------------------------------------------------------


def test_bars_of_one_table_share_a_scale() -> None:
    fast, slow = interval(4.0, 3.8, 4.2), interval(2.0, 1.9, 2.1)
    scale = Scale([fast, None, slow])

    assert scale.bar(fast).value == pytest.approx(2 * scale.bar(slow).value, abs=0.02)
    assert scale.bar(fast).one == scale.bar(slow).one
    assert scale.bar(fast).low < scale.bar(fast).value < scale.bar(fast).high < 100


def test_the_baseline_is_always_on_the_scale() -> None:
    bar = Scale([interval(0.1, 0.09, 0.11)]).bar(interval(0.1, 0.09, 0.11))

    assert 0 < bar.value < bar.one < 100


def test_nothing_leaves_the_scale() -> None:
    bar = Scale([]).bar(interval(50.0, -1.0, 90.0))

    assert (bar.low, bar.value, bar.high) == (0.0, 100.0, 100.0)
