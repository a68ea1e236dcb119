"""The alarm rings when the baseline leaves its band, and not before."""

import json
from pathlib import Path

import numpy as np
import pytest

from judge import drift
from judge.drift import Baselines
from judge.wire import JudgementResult
from tests.judge.samples import make_result, make_run


def judged(baselines: Baselines, baseline_ns: float, workload: str = "large") -> JudgementResult:
    run = make_run(workload=workload, baseline_ns=baseline_ns)
    return baselines.watched(make_result(runs=(run,)), "row_scale")


@pytest.fixture
def baselines(tmp_path: Path) -> Baselines:
    """With as many judgings as it takes, one per cent apart."""
    known = Baselines(tmp_path / "worker" / "baselines.json")
    for i in range(drift.LEAST):
        assert judged(known, 1e6 * (1 + 0.01 * (i % 2))).drift == ()
    return known


@pytest.mark.parametrize(("factor", "rings"), [(0.85, True), (0.95, False), (1.09, False),
                                               (1.2, True)])  # fmt: skip
def test_what_leaves_the_band_is_told(baselines: Baselines, factor: float, rings: bool) -> None:
    found = judged(baselines, 1e6 * factor).drift

    assert bool(found) is rings
    for alarm in found:
        assert alarm.workload == "large"
        assert not alarm.low_ns <= alarm.baseline_ns <= alarm.high_ns


def test_too_few_judgings_say_nothing(tmp_path: Path) -> None:
    known = Baselines(tmp_path / "b.json")
    for _ in range(drift.LEAST - 1):
        judged(known, 1e6)
    assert judged(known, 9e6).drift == ()


def test_workloads_are_told_apart(baselines: Baselines) -> None:
    assert judged(baselines, 9e6, workload="another").drift == ()


def test_a_noisy_past_makes_a_wide_band() -> None:
    noisy = list(1e6 * np.random.default_rng(1).uniform(0.7, 1.3, 40))
    band, quiet = drift.usual(noisy), drift.usual([1e6] * 40)
    assert quiet == pytest.approx((0.9e6, 1.1e6))
    assert band is not None
    assert band[1] - band[0] > 0.8e6


def test_what_lasts_becomes_the_usual(baselines: Baselines) -> None:
    for _ in range(drift.KEPT):
        judged(baselines, 2e6)
    assert judged(baselines, 2e6).drift == ()
    assert judged(baselines, 1e6).drift != ()


def test_the_past_is_short_and_a_damaged_one_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text("{")
    known = Baselines(path)
    for _ in range(drift.KEPT + 5):
        judged(known, 1e6)
    assert [len(past) for past in json.loads(path.read_text()).values()] == [drift.KEPT]
