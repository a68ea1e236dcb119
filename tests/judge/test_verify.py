"""`problem verify` complains exactly when a verdict or a speed-up is not as declared."""

from dataclasses import replace
from pathlib import Path

import pytest

from judge.expected import Expectation, complaint, why
from judge.judging import JudgingOptions
from judge.package import load_package
from judge.verdict import Mode, Verdict
from judge.verify import Verified, verify
from judge.wire import Environment, ErrorReport, Interval, JudgementResult, Run
from sandbox.bubblewrap import Bubblewrap
from tests.fixtures import write_package
from tests.judge.conftest import NUMPY_BASELINE, QUICK

HERE = Environment(device="cpu", device_name="", worker="w", sandbox={}, versions={})


def result(verdict: Verdict = Verdict.AC, score: float | None = 1.0) -> JudgementResult:
    around = score and Interval(value=score, low=score * 0.95, high=score * 1.05)
    return JudgementResult(
        verdict=verdict, score=around or None, package_hash="h", environment=HERE
    )


EXPECTED = Expectation(
    path="accepted/a.py",
    files=Path("a.py"),
    permitted=frozenset({Verdict.AC}),
    mode=Mode.RANKED,
    reason="",
    min_speedup=None,
    max_speedup=None,
)


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.AC])
def test_another_verdict_is_a_complaint(verdict: Verdict) -> None:
    assert f"got {verdict}, expected AC" in complaint(EXPECTED, result(verdict, None))
    assert complaint(EXPECTED, result()) == ""


def test_any_permitted_verdict_will_do() -> None:
    either = replace(EXPECTED, permitted=frozenset({Verdict.WA, Verdict.TLE}))
    assert complaint(either, result(Verdict.TLE, None)) == ""
    assert "expected TLE or WA" in complaint(either, result(Verdict.AC))


def test_speed_ups_out_of_bounds_count_only_beyond_the_interval() -> None:
    bounded = replace(EXPECTED, min_speedup=1.0, max_speedup=2.0)
    for good in (0.97, 1.5, 2.05):
        assert complaint(bounded, result(score=good)) == ""
    assert "below" in complaint(bounded, result(score=0.9))
    assert "above" in complaint(bounded, result(score=2.2))


def test_the_reason_names_workload_and_gate() -> None:
    run = Run(
        workload="edge", dims={}, verdict=Verdict.WA, message="", error=ErrorReport(gate="pattern")
    )
    assert why(result(Verdict.WA, None).model_copy(update={"runs": (run,)})) == (
        "workload edge (pattern gate)"
    )


def test_a_package_is_verified_submission_by_submission(tmp_path: Path) -> None:
    numpy = "#!OPJUDGE arrays=numpy\ndef solve(x, y, eps): "
    root = write_package(
        tmp_path / "row_scale",
        files={
            "baseline.py": NUMPY_BASELINE,
            "submissions/accepted/torch_mul.py": None,
            "submissions/accepted/good.py": NUMPY_BASELINE,
            "submissions/wrong_answer/zero.py": numpy + "y[:] = 0\n",
            "submissions/wrong_answer/right.py": numpy + "y[:] = x * (1 + eps)\n",
        },
    )
    seen: list[Verified] = []
    verified = verify(load_package(root), Bubblewrap(), options=QUICK, done=seen.append)
    assert seen == verified
    assert {v.expectation.path: v.ok for v in verified} == {
        "accepted/good.py": True,
        "wrong_answer/right.py": False,
        "wrong_answer/zero.py": True,
    }
    only = verify(load_package(root), Bubblewrap(), options=QUICK, only=["wrong_answer/zero.py"])
    assert [v.expectation.path for v in only] == ["wrong_answer/zero.py"]


def test_margins_come_from_whole_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the values alone nobody could tell how near the tolerance honest work comes."""
    seen: list[JudgingOptions] = []

    def judged(*_: object, options: JudgingOptions, **__: object) -> JudgementResult:
        seen.append(options)
        return result()

    monkeypatch.setattr("judge.verify.judge", judged)
    root = write_package(tmp_path / "row_scale", files={"submissions/accepted/a.py": "x = 1"})
    verify(load_package(root), Bubblewrap())
    assert seen
    assert all(effort.whole_share == 1 for options in seen for effort in options.effort.values())
