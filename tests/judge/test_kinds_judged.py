"""Random operators and factorisations, judged for real: every call, timed or not, is looked at."""

from pathlib import Path

import pytest

from judge.arena import Array
from judge.findings import Findings
from judge.package import Package, load_package
from judge.statistical import statistical
from judge.verdict import Verdict
from judge.wire import JudgementResult
from tests.fixtures import write_package
from tests.judge.conftest import Judge

SMALL = ("{rows: 512, cols: 1024}, timed", "{rows: 64, cols: 64}, timed")
SECRET = ("{rows: 509, cols: 1021}", "{rows: 96, cols: 96}")
NUMPY = "#!OPJUDGE arrays=numpy\nimport numpy as np\n"
DRAW = "def solve(x, y, eps): y[:] = np.random.default_rng().random(x.shape)\n"
FACTOR = "def solve(x, y, eps): y[:] = np.linalg.cholesky(x)\n"
SPD = """
import torch

def reference(x, eps):
    return torch.linalg.cholesky(x)

def make_inputs(dims, attributes, generator):
    a = torch.randn(dims["rows"], dims["rows"], generator=generator)
    return {"x": a @ a.T + dims["rows"] * torch.eye(dims["rows"])}
"""


def make(tmp_path: Path, tolerance: str, reference: str, baseline: str) -> Package:
    square = ("{rows: 2, cols: 3}", "{rows: 8, cols: 8}")
    return load_package(
        write_package(
            tmp_path / "row_scale",
            *(SMALL, SECRET, square),
            ("cost:", f"tolerance: {tolerance}\ncost:"),
            files={"baseline.py": NUMPY + baseline, "reference.py": reference},
        )
    )


def failed_gate(result: JudgementResult) -> str | None:
    assert result.verdict is Verdict.WA
    return next(r.error.gate for r in result.runs if r.error is not None)


@pytest.fixture
def random_operator(tmp_path: Path) -> Package:
    draw = "import torch\ndef reference(x, eps): return torch.rand(x.shape, dtype=x.dtype)\n"
    return make(tmp_path, "{kind: statistical}", draw, DRAW)


KEPT = """
kept = {}
def solve(x, y, eps):
    if x.shape not in kept: kept[x.shape] = np.random.default_rng().random(x.shape)
    y[:] = kept[x.shape]
"""


def test_a_fair_draw_is_accepted_and_one_kept_is_not(
    judged: Judge, random_operator: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(DRAW, package=random_operator).verdict is Verdict.AC
    assert failed_gate(judged(KEPT, package=random_operator)) == "independence"

    # Without a look at the last call's output a draw may be made once for all.
    def blind(output: str, got: Array, want: Array, _previous: object, alpha: float) -> Findings:
        return statistical(output, got, want, None, alpha)

    monkeypatch.setattr("judge.jury.statistical", blind)
    assert judged(KEPT, package=random_operator).verdict is Verdict.AC


def test_a_factorisation_is_judged_by_its_residual(judged: Judge, tmp_path: Path) -> None:
    rule = "{kind: backward, of: cholesky, roles: {a: x, l: y}}"
    package = make(tmp_path, rule, SPD, FACTOR)
    result = judged(FACTOR, package=package)
    assert result.verdict is Verdict.AC
    assert all(0 < run.margins[":residual"] <= 1 for run in result.runs)
    scaled = FACTOR + "    \n_solve = solve\ndef solve(x, y, eps): _solve(x, y, eps); y *= 1.01\n"
    assert failed_gate(judged(scaled, package=package)) == "residual"
