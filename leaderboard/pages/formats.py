"""Figures as people read them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from judge.wire import Interval

NONE = "–"

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))
_NARROW = "\N{NO-BREAK SPACE}"


def figure(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return NONE
    if abs(value) >= 999.5:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:#.3g}".rstrip(".")


def plain(value: float | str) -> str:
    """A number as it was declared: no digits that nobody wrote."""
    return value if isinstance(value, str) else f"{value:.12g}"


def exact(value: float) -> str:
    """An element of a tensor, with the digits that tell float32 numbers apart."""
    return f"{value:.9g}"


def duration(ns: float | None) -> str:
    """Nanoseconds in the unit that suits them."""
    if ns is None:
        return NONE
    for size, unit in _UNITS:
        if ns >= size:
            return f"{figure(ns / size)}{_NARROW}{unit}"
    return f"{ns:.0f}{_NARROW}ns"


def times(value: float) -> str:
    """A speed-up."""
    return f"{_ratio(value)}×"


def bounds(interval: Interval) -> str:
    """The interval of a speed-up."""
    return f"[{_ratio(interval.low)}, {_ratio(interval.high)}]"


def percent(share: float) -> str:
    return f"{100 * share:.3g}{_NARROW}%"


def moment(when: datetime | None) -> str:
    """A moment in UTC, to the second."""
    if when is None:
        return NONE
    utc = when if when.tzinfo is None else when.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}"


def pairs(values: Mapping[str, int | float]) -> str:
    """Dims or attributes of a workload."""
    return ", ".join(f"{name}={plain(value)}" for name, value in values.items()) or NONE


def index(values: Iterable[int]) -> str:
    """Where an element is."""
    return f"[{', '.join(str(value) for value in values)}]"


def _ratio(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}"
