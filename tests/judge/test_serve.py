"""What a worker adds to a judging: the seed of the claim, the roofline, the baseline's history."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from judge import roofline, serve
from judge.judging import judge
from judge.package import Package
from judge.settings import WorkerSettings
from judge.verdict import Mode
from judge.wire import Bandwidth, Floor, JudgementResult, SourceFile
from sandbox.base import Sandbox
from tests.judge.conftest import NUMPY_BASELINE
from tests.judge.recorded import make_result, make_run
from tests.judge.samples import make_claim

FLOORS = {"large": {"y": Floor(condition=1e-8, scale=1e-7)}}
DIMS = {"dims": {"rows": 509, "cols": 1021}}  # 4.2 MB


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    """With peaks so low that whatever takes less than 0.4 ms is below the floor."""
    settings = WorkerSettings(worker_token="t", data_dir=tmp_path)
    path = settings.home / "peaks.json"
    slow = {"bandwidth": tuple(Bandwidth(set_bytes=s, gbps=10.0) for s in roofline.SETS_BYTES)}
    path.write_text(roofline.known(path, "cpu").model_copy(update=slow).model_dump_json())
    return settings


def result(factor: float) -> JudgementResult:
    """2 ms over `factor`; the baseline takes 2 ms."""
    return make_result(make_run("large", factor=factor).model_copy(update=DIMS))


def test_peaks_from_a_busy_moment_accuse_nobody(settings: WorkerSettings, package: Package) -> None:
    """The second look's own teeth: by the first alone it would be in quarantine."""
    honest = result(10.0)
    peaks = roofline.known(settings.home / "peaks.json", "cpu")
    assert roofline.held_against(honest, package.problem.cost, peaks).quarantine

    held = serve._held_against_peaks(honest, package, settings)

    assert held.quarantine == ()
    assert held.score == honest.score
    assert held.runs[0].roofline is not None
    assert held.runs[0].roofline < 1


def test_what_no_look_explains_is_in_quarantine(settings: WorkerSettings, package: Package) -> None:
    impossible = make_run("large", factor=1.0).model_copy(
        update={"candidate_samples_ns": (12_000,) * 30, **DIMS}
    )
    held = serve._held_against_peaks(make_result(impossible), package, settings)

    assert held.quarantine == ("large",)
    assert held.score is None


def test_a_claim_is_judged_from_its_seed_and_the_baseline_remembered(
    settings: WorkerSettings, package: Package, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = serve.make_evaluate(settings, sandbox)
    seed = bytes(range(32)).hex()
    files = (SourceFile(path="s.py", content=NUMPY_BASELINE.encode()),)
    claim = make_claim(
        mode=Mode.BENCHMARK, seed=seed, files=files, package_hash=package.hash, floors=FLOORS
    )
    judging = Mock(wraps=judge)
    monkeypatch.setattr(serve, "judge", judging)

    judged = evaluate(claim, package, lambda _progress: None)

    assert judged.verdict == "AC", judged.message
    assert judged.seed == seed
    assert judging.call_args.kwargs["options"].floors == FLOORS
    assert judged.environment.peaks is not None
    assert judged.roofline is not None
    (timed,) = (run for run in judged.runs if run.timed)
    assert timed.control is not None
    assert timed.control.low <= timed.control.value <= timed.control.high
    assert "row_scale" in (settings.home / "baselines.json").read_text()
