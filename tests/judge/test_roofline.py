"""Floors from made-up peaks and samples, and the peaks of this machine."""

from pathlib import Path

import pytest

from judge import recompute, roofline
from judge.problem import CostModel
from judge.wire import Bandwidth, CpuUse, JudgementResult, Peaks, Run
from tests.judge.recorded import make_result, make_run

COST = CostModel(flops="2 * rows", bytes="16 * rows * 1024")
"""509 rows: 8.3 MB, 1018 operations."""

MOVED = 16 * 509 * 1024
PEAKS = Peaks(
    gflops=100.0,
    bandwidth=(
        Bandwidth(set_bytes=1 << 19, gbps=80.0),
        Bandwidth(set_bytes=1 << 23, gbps=40.0),
        Bandwidth(set_bytes=1 << 27, gbps=20.0),
    ),
)


def timed(factor: float) -> Run:
    """About 2 ms over `factor`."""
    return make_run("large", factor=factor)


def held(factor: float, peaks: Peaks = PEAKS) -> JudgementResult:
    return roofline.held_against(make_result(timed(factor)), COST, peaks)


def test_the_floor_is_the_larger_of_moving_and_computing() -> None:
    run = timed(1.0)
    assert roofline.floor_ns(COST, run, PEAKS) == pytest.approx(MOVED / 80.0)
    heavy = CostModel(flops="1e9", bytes=COST.bytes)
    assert roofline.floor_ns(heavy, run, PEAKS) == pytest.approx(0.8e9 / 100.0)


@pytest.mark.parametrize(
    ("rows", "gbps"), [(1 << 15, 80.0), (1 << 19, 40.0), (1 << 23, 20.0), (1 << 30, 20.0)]
)
def test_the_level_is_the_largest_that_was_measured_and_is_no_larger(
    rows: int, gbps: float
) -> None:
    cost = CostModel(flops="0", bytes="16 * rows")
    run = timed(1.0).model_copy(update={"dims": {"rows": rows}})
    assert roofline.floor_ns(cost, run, PEAKS) == pytest.approx(16 * rows / gbps)


def test_small_sets_have_no_floor_of_bandwidth() -> None:
    cost = CostModel(flops="0", bytes="8 * rows")
    assert roofline.floor_ns(cost, timed(1.0), PEAKS) == 0.0


def test_honest_times_keep_their_score_and_show_their_share() -> None:
    result = held(2.0)  # 1 ms, and the floor is 0.1 ms

    (run,) = result.runs
    assert run.latency_ns is not None
    assert run.roofline == pytest.approx(MOVED / 80.0 / run.latency_ns)
    assert result.roofline == pytest.approx(run.roofline)
    assert (result.quarantine, result.score is None) == ((), False)
    assert result.environment.peaks == PEAKS
    assert list(recompute.disagreements(result)) == []


def test_a_time_below_the_floor_is_in_quarantine_and_has_no_score() -> None:
    """The defence off: without peaks to hold it against, the same result has its score."""
    impossible = make_result(timed(30.0))  # 0.07 ms
    assert impossible.score is not None
    assert impossible.score.value > 20

    result = roofline.held_against(impossible, COST, PEAKS)

    assert result.quarantine == ("large",)
    assert result.score is None
    assert result.verdict == "AC"
    assert result.runs[0].candidate_samples_ns == impossible.runs[0].candidate_samples_ns
    assert list(recompute.disagreements(result)) == []


@pytest.mark.parametrize(("share", "caught"), [(1.0, False), (1.2, False), (1.3, True)])
def test_the_margin_is_twenty_per_cent(share: float, caught: bool) -> None:
    run = make_result(timed(10.0)).runs[0]
    assert run.latency_ns is not None
    gbps = MOVED / (run.latency_ns * share)
    peaks = PEAKS.model_copy(update={"bandwidth": (Bandwidth(set_bytes=1, gbps=gbps),)})
    assert bool(held(10.0, peaks).quarantine) is caught


def test_a_floor_that_the_baseline_breaks_as_well_accuses_nobody() -> None:
    slow = PEAKS.model_copy(update={"bandwidth": (Bandwidth(set_bytes=1, gbps=1.0),)})
    assert held(2.0, slow).quarantine == ()


def test_the_mean_share_tells_nothing_of_hidden_workloads() -> None:
    hidden = make_run("secret", factor=2.0, hidden=True)
    alone = held(1.5)
    result = roofline.held_against(make_result(timed(1.5), hidden), COST, PEAKS)
    assert result.runs[1].roofline is not None
    assert result.roofline == alone.roofline


def test_more_than_its_clock_has_seen_is_in_quarantine_whatever_the_times() -> None:
    honest = make_result(timed(2.0))
    worked = CpuUse(inside_ns=10**9, outside_ns=10**9, charged_ns=10**9)
    told = honest.model_copy(update={"cpu": worked})

    result = roofline.held_against(told, COST, PEAKS)

    assert (result.quarantine, result.score) == (("large",), None)
    assert list(recompute.disagreements(result)) == []
    denied = result.model_copy(update={"score": honest.score})
    assert any("than its clock" in fault for fault in recompute.disagreements(denied))
    seen = told.model_copy(update={"cpu": worked.model_copy(update={"outside_ns": 0})})
    assert roofline.held_against(seen, COST, PEAKS).quarantine == ()


def test_a_result_that_denies_its_quarantine_is_told() -> None:
    caught = held(30.0)
    with_score = caught.model_copy(update={"score": make_result(timed(30.0)).score})
    assert any("below the roofline" in fault for fault in recompute.disagreements(with_score))
    framed = held(2.0).model_copy(update={"quarantine": ("large",), "score": None})
    assert any("not below" in fault for fault in recompute.disagreements(framed))


def test_the_peaks_are_measured_once_per_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker" / "peaks.json"
    first = roofline.known(path, "cpu")
    assert first.gflops > 0
    assert [level.set_bytes for level in first.bandwidth] == list(roofline.SETS_BYTES)
    rates = [level.gbps for level in first.bandwidth]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0

    assert roofline.known(path, "cpu") == first
    again = roofline.known(path, "cpu", again=True)
    assert again.gflops >= first.gflops
    assert all(b.gbps >= a.gbps for a, b in zip(first.bandwidth, again.bandwidth, strict=True))

    boot = tmp_path / "boot"
    boot.write_text("another start of the machine")
    monkeypatch.setattr(roofline, "_BOOT_ID", boot)
    assert roofline.known(path, "cpu").boot != first.boot


def test_damaged_peaks_are_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "peaks.json"
    path.write_text("{")
    assert roofline.known(path, "cpu").gflops > 0
