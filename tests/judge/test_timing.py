"""Estimator and interval, on samples whose truth is known."""

import numpy as np
import pytest

from judge import timing

RNG = np.random.default_rng(3)


def noisy(true_ns: float, rounds: int, rng: np.random.Generator) -> timing.Samples:
    """One-sided interference, as a shared machine makes it."""
    bursts = rng.choice([0.0, true_ns], rounds, p=[0.9, 0.1])
    return np.asarray(true_ns * (1 + rng.exponential(0.02, rounds)) + bursts)


def test_the_estimate_is_the_ratio_of_low_means() -> None:
    candidate, baseline = noisy(1e6, 60, RNG), noisy(2e6, 60, RNG)
    result = timing.interval(timing.log_ratios(candidate, baseline, 0.0, RNG))
    assert result.value == pytest.approx(2.0, rel=0.02)
    assert result.low <= result.value <= result.high


def test_the_overhead_is_taken_off_both_sides() -> None:
    candidate, baseline = np.full(20, 1_500.0), np.full(20, 2_500.0)
    result = timing.interval(timing.log_ratios(candidate, baseline, 500.0, RNG))
    assert result.value == pytest.approx(2.0)


def test_more_overhead_than_time_stays_finite() -> None:
    draws = timing.log_ratios(np.full(9, 10.0), np.full(9, 10.0), 1e6, RNG)
    assert np.isfinite(draws).all()
    assert timing.interval(draws).value == 1.0


def test_the_interval_covers_the_truth() -> None:
    """95 % intervals over 200 experiments: far fewer than 85 % covering would be a defect."""
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        draws = timing.log_ratios(noisy(1e6, 60, rng), noisy(1.3e6, 60, rng), 0.0, rng)
        result = timing.interval(draws)
        covered += result.low <= 1.3 <= result.high
    assert covered >= 170


def test_more_rounds_narrow_the_interval() -> None:
    rng = np.random.default_rng(5)
    few, many = (
        np.median(
            [
                timing.half_width(
                    timing.log_ratios(noisy(1e6, n, rng), noisy(1e6, n, rng), 0.0, rng)
                )
                for _ in range(20)
            ]
        )
        for n in (15, 240)
    )
    assert many < few / 2


def test_a_mean_is_fooled_where_the_low_mean_is_not() -> None:
    """The reason for the estimator: bursts on one side only."""
    candidate, baseline = np.full(50, 1e6), np.full(50, 1e6)
    candidate[:12] *= 9
    value = timing.interval(timing.log_ratios(candidate, baseline, 0.0, RNG)).value
    assert value == pytest.approx(1.0)
    assert baseline.mean() / candidate.mean() < 0.5


def test_the_baseline_against_itself_is_one() -> None:
    rng = np.random.default_rng(7)
    controls = [timing.control(noisy(1e6, 60, rng), 0.0) for _ in range(100)]
    above = sum(c is not None and c.low > 1 for c in controls)
    assert above <= 10


def test_the_control_is_as_wide_as_the_noise_is() -> None:
    rng = np.random.default_rng(13)
    quiet, restless = (timing.control(1e6 * rng.uniform(1.0, top, 24), 0.0) for top in (1.001, 2.0))
    assert quiet is not None
    assert restless is not None
    assert quiet.high / quiet.low < 1.002
    assert restless.high / restless.low > 1.05
    assert timing.control(np.full(7, 1e6), 0.0) is None


def test_what_a_process_happened_to_get_is_part_of_the_interval() -> None:
    """Its pages make all its times longer or shorter: rounds alone would claim too much."""
    rng = np.random.default_rng(17)
    starts, covered = tuple(range(0, 60, 12)), {"processes": 0, "rounds": 0}
    for _ in range(200):
        luck = np.exp(rng.normal(0, 0.01, (2, 5))).repeat(12, axis=1)
        candidate, baseline = noisy(1e6, 60, rng) * luck[0], noisy(1.3e6, 60, rng) * luck[1]
        for name, known in (("processes", starts), ("rounds", (0,))):
            draws = timing.log_ratios(candidate, baseline, 0.0, rng, known)
            result = timing.interval(draws)
            covered[name] += result.low <= 1.3 <= result.high
    assert covered["processes"] >= 170
    assert covered["rounds"] < 150


def test_processes_count_by_their_rounds() -> None:
    candidate = np.asarray([1e6] * 9 + [2e6] * 3)
    draws = timing.log_ratios(candidate, np.full(12, 2e6), 0.0, RNG, (0, 9))
    assert draws[0] == pytest.approx(np.log(2) * 9 / 12)
    assert draws.shape == (timing.RESAMPLES,)
