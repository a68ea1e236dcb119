"""One score of several judgings: the mean of all, worth nothing to fish for."""

import math
from statistics import geometric_mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.pooling import pooled
from judge.wire import Interval

SPREADS = st.floats(0.0, 0.2)


def interval(value: float, spread: float = 0.005) -> Interval:
    return Interval(value=value, low=value * math.exp(-spread), high=value * math.exp(spread))


def width(score: Interval) -> float:
    return math.log(score.high / score.low)


@given(st.lists(st.tuples(st.floats(0.01, 100.0), SPREADS), min_size=1, max_size=8))
def test_the_mean_of_all_inside_an_interval_not_wider_than_the_widest(
    judged: list[tuple[float, float]],
) -> None:
    scores = [interval(*one) for one in judged]
    pool = pooled(scores)
    assert pool.value == pytest.approx(geometric_mean([s.value for s in scores]))
    assert pool.low <= pool.value * (1 + 1e-12)
    assert pool.value <= pool.high * (1 + 1e-12)
    assert width(pool) <= max(map(width, scores)) + 1e-9
    assert pooled(scores[::-1]).value == pytest.approx(pool.value)


def test_one_is_itself_and_none_is_an_error() -> None:
    assert pooled([interval(2.0)]) == interval(2.0)
    with pytest.raises(ValueError, match="nothing to pool"):
        pooled([])


def test_judgings_that_agree_narrow_it_and_those_apart_do_not() -> None:
    alike = pooled([interval(2.0), interval(2.001), interval(1.999)])
    assert width(alike) < 0.7 * width(interval(2.0))
    apart = pooled([interval(2.0), interval(2.5), interval(1.6)])
    assert width(apart) == pytest.approx(width(interval(2.0)))


def test_a_hundred_resubmissions_gain_nothing() -> None:
    """Best of a hundred lots would be two and a half deviations up; the pool is not."""
    rng = np.random.default_rng(4)
    lots = [interval(float(v)) for v in 2.0 * np.exp(rng.normal(0, 0.005, 100))]
    best = max(lot.value for lot in lots)
    assert best / 2.0 - 1 > 0.01
    assert abs(pooled(lots).value / 2.0 - 1) < 0.002
