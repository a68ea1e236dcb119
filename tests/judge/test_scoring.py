"""The score is a function of the stored samples alone."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge import scoring
from judge.problem import Scoring
from judge.verdict import Verdict
from judge.wire import Run

ns = st.integers(10_000, 900_000)  # ratios inside the default clamp


def run(candidate: int, baseline: int, **fields: Any) -> Run:
    return Run(
        workload=fields.pop("workload", "w"),
        dims={"n": 1},
        timed=True,
        verdict=Verdict.AC,
        candidate_samples_ns=(candidate,) * 12,
        baseline_samples_ns=(baseline,) * 12,
        **fields,
    )


def test_weighted_geometric_mean() -> None:
    runs = [run(100_000, 200_000, weight=1.0), run(100_000, 800_000, weight=2.0)]
    result = scoring.score(runs, 0.0, Scoring())
    assert result is not None
    assert result.value == pytest.approx((2 * 8 * 8) ** (1 / 3))


def test_clamped_before_the_mean() -> None:
    """One absurd workload cannot carry the score (integrity.md A15)."""
    runs = [run(1, 10_000_000_000), run(100_000, 100_000)]
    result = scoring.score(runs, 0.0, Scoring(max_speedup=4.0))
    assert result is not None
    assert result.value == pytest.approx(2.0)


def test_untimed_runs_do_not_count() -> None:
    untimed = Run(workload="small", dims={"n": 1}, verdict=Verdict.AC)
    assert scoring.score([untimed], 0.0, Scoring()) is None
    result = scoring.score([untimed, run(100_000, 300_000)], 0.0, Scoring())
    assert result is not None
    assert result.value == pytest.approx(3.0)


@given(ns, ns)
def test_the_baseline_against_itself_is_one_and_the_inverse_is_the_inverse(a: int, b: int) -> None:
    same = scoring.score([run(a, a)], 0.0, Scoring())
    forth, back = (scoring.score([run(*p)], 0.0, Scoring()) for p in ((a, b), (b, a)))
    assert same is not None
    assert forth is not None
    assert back is not None
    assert same.value == pytest.approx(1.0)
    assert math.log(forth.value) == pytest.approx(-math.log(back.value), abs=1e-9)


@given(st.lists(st.tuples(ns, ns), min_size=5, max_size=40))
def test_recomputation_gives_the_same_score(samples: list[tuple[int, int]]) -> None:
    candidate, baseline = zip(*samples, strict=True)
    stored = Run(
        workload="w",
        dims={"n": 1},
        timed=True,
        verdict=Verdict.AC,
        candidate_samples_ns=candidate,
        baseline_samples_ns=baseline,
    )
    first = scoring.score([stored], 700.0, Scoring())
    again = scoring.score([Run.model_validate_json(stored.model_dump_json())], 700.0, Scoring())
    assert first == again
