"""Speed-ups as bars: where things lie on a scale from 0 to 100, for SVG without inline styles."""

from collections.abc import Iterable
from dataclasses import dataclass

from judge.wire import Interval

_MARGIN = 1.05


@dataclass(frozen=True, slots=True)
class Bar:
    """Positions in 0..100.

    Attributes:
        value: length of the bar.
        low, high: ends of the interval.
        one: where the baseline is.
    """

    value: float
    low: float
    high: float
    one: float


class Scale:
    """One scale for the bars of a table, so that they compare.

    Args:
        intervals: everything that is to fit.
    """

    def __init__(self, intervals: Iterable[Interval | None]) -> None:
        self._top = _MARGIN * max([1.0, *(i.high for i in intervals if i is not None)])

    def bar(self, interval: Interval) -> Bar:
        return Bar(
            value=self._at(interval.value),
            low=self._at(interval.low),
            high=self._at(interval.high),
            one=self._at(1.0),
        )

    def _at(self, value: float) -> float:
        return round(100 * min(max(value / self._top, 0.0), 1.0), 2)
