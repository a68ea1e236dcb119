"""No score claims to be surer than the machine has been steady."""

import math
from pathlib import Path

import numpy as np
import pytest

from judge import steadiness
from judge.recompute import disagreements
from judge.scoring import widened
from judge.steadiness import KEPT, LEAST, PROGRAMS, Scores, spread
from judge.wire import Interval, JudgementResult
from tests.judge import recorded
from tests.judge.samples import make_result

NARROW = 0.001


def judged(
    scores: Scores, value: float, artifact: str = "a", problem: str = "p"
) -> JudgementResult:
    score = Interval(value=value, low=value * (1 - NARROW), high=value * (1 + NARROW))
    result = make_result(score=score).model_copy(update={"artifact_hash": artifact})
    return scores.steadied(result, problem)


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    """Of a machine on which scores are 2 % apart: every program was judged twice."""
    known = Scores(tmp_path / "worker" / "scores.json")
    rng = np.random.default_rng(7)
    for program in range(50):
        for _ in range(2):
            judged(known, math.exp(program / 10 + rng.normal(0, 0.02)), f"program-{program}")
    return known


def test_an_interval_is_as_wide_as_scores_are_apart(scores: Scores) -> None:
    result = judged(scores, 3.0, "new")
    assert result.score is not None
    assert result.spread is not None
    assert result.spread == pytest.approx(0.02, rel=0.4)
    assert result.score.value == 3.0
    assert math.log(result.score.high / 3.0) == pytest.approx(1.96 * result.spread, rel=0.01)
    assert math.log(3.0 / result.score.low) == pytest.approx(1.96 * result.spread, rel=0.01)


def test_one_that_is_wider_already_stays(scores: Scores) -> None:
    wide = Interval(value=3.0, low=1.0, high=9.0)
    assert scores.steadied(make_result(score=wide), "p").score == wide


def test_the_interval_holds_what_other_judgings_give(tmp_path: Path) -> None:
    """And without it does not: the samples of one judging share a state of the machine."""
    known, rng = Scores(tmp_path / "s.json"), np.random.default_rng(3)
    inside = narrow = 0
    for i in range(200):
        found = judged(known, math.exp(rng.normal(0, 0.015)), f"program-{i % 40}").score
        assert found is not None
        inside += i >= 100 and found.low <= 1 <= found.high
        narrow += i >= 100 and abs(found.value - 1) <= NARROW
    assert inside >= 85
    assert narrow < 30


def test_best_of_many_gains_less_than_the_interval(tmp_path: Path) -> None:
    known, rng = Scores(tmp_path / "s.json"), np.random.default_rng(5)
    found = [judged(known, math.exp(rng.normal(0, 0.015))).score for _ in range(100)]
    last = found[-1]
    assert last is not None
    assert max(s.value for s in found if s is not None) - 1 < last.high / last.low - 1


def test_too_little_says_nothing(tmp_path: Path) -> None:
    known = Scores(tmp_path / "s.json")
    # Once each: nothing to compare.
    for i in range(2 * LEAST):
        assert judged(known, 2.0 + i, f"program-{i}").spread is None
    for _ in range(LEAST + 1):
        assert judged(known, 2.0, "same").spread is None
    assert judged(known, 2.0, "same").spread is not None


def test_another_problem_borrows_from_all_until_it_has_its_own(scores: Scores) -> None:
    assert judged(scores, 2.0, "x", "other").spread == pytest.approx(0.02, rel=0.4)
    for i in range(LEAST):
        for _ in range(2):
            judged(scores, 2.0, f"steady-{i}", "other")
    assert judged(scores, 2.0, "y", "other").spread == 0.0


def test_no_program_speaks_for_all(scores: Scores) -> None:
    """One that is fast at times and slow at others, on purpose, a hundred times."""
    before = judged(scores, 3.0, "new").spread
    assert before is not None
    for i in range(100):
        judged(scores, 3.0 ** (i % 2), "wild")
    after = judged(scores, 3.0, "newer").spread
    assert after == pytest.approx(before, rel=0.2)
    wild = [0.0, math.log(3.0)] * 50
    steady = {f"s{i}": [0.0, 0.01] for i in range(10)}
    assert spread([{**steady, "wild": wild}]) == pytest.approx(spread([steady]))
    assert spread([{"wild": wild}]) == pytest.approx(0.55, rel=0.05)


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steadiness, "PROGRAMS", 5)
    known = Scores(tmp_path / "s.json")
    for i in range(9):
        for _ in range(KEPT + 2):
            judged(known, 1.0, f"program-{i}", f"problem-{i % 7}")
    history = known._read()
    assert len(history) == 5 < PROGRAMS
    assert max(len(programs) for programs in history.values()) <= 5
    assert {len(kept) for programs in history.values() for kept in programs.values()} == {KEPT}


@pytest.mark.parametrize("damage", ["", "{", "[1"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / "s.json").write_text(damage)
    assert judged(Scores(tmp_path / "s.json"), 2.0).spread is None
    assert len(Scores(tmp_path / "s.json")._read()) == 1


def test_what_has_no_score_passes_through(scores: Scores) -> None:
    unranked = make_result().model_copy(update={"score": None})
    assert scores.steadied(unranked, "p") == unranked


def test_a_record_can_be_computed_again_with_its_spread() -> None:
    plain = recorded.make_result(recorded.make_run("large", factor=2.0))
    assert plain.score is not None
    wide = plain.model_copy(update={"spread": 0.05, "score": widened(plain.score, 0.05)})
    assert list(disagreements(wide)) == []
    for wrong in ({"spread": 0.04}, {"spread": None}, {"score": plain.score}):
        assert any("the score's" in line for line in disagreements(wide.model_copy(update=wrong)))


def test_nor_can_a_public_record_be_surer_than_it_says() -> None:
    plain = recorded.make_result(recorded.make_run("large", factor=2.0, hidden=True))
    assert plain.score is not None
    hidden = tuple(
        run.model_copy(update={"candidate_samples_ns": (), "baseline_samples_ns": ()})
        for run in plain.runs
    )
    shown = plain.model_copy(update={"runs": hidden, "spread": 0.05})
    fair = shown.model_copy(update={"score": widened(plain.score, 0.05)})
    assert list(disagreements(fair)) == []
    assert any("narrower" in line for line in disagreements(shown))
