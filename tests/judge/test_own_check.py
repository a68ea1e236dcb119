"""A problem's own check decides, in the reference's sandbox; its words stay with the samples."""

from pathlib import Path

import pytest

from judge.errors import BaselineFailed
from judge.package import Package, load_package
from judge.verdict import Mode, Verdict
from judge.wire import JudgementResult
from tests.fixtures import write_package
from tests.judge.conftest import NUMPY_BASELINE, Judge

# Any sign will do, which no element-by-element comparison could say.
CHECK = """
def reference(x, eps):
    return x * (1 + eps)

def check(inputs, outputs, truth, attributes):
    off = (outputs["y"].abs() - truth["y"].abs()).abs().max()
    assert inputs["x"].shape == truth["y"].shape and attributes["eps"] == 1e-5
    return float(off) / 1e-5, f"off by {float(off):.2f}: 差"
"""


def make(tmp_path: Path, reference: str) -> Package:
    return load_package(
        write_package(
            tmp_path / "row_scale",
            ("cost:", "tolerance: {kind: check}\ncost:"),
            files={"baseline.py": NUMPY_BASELINE, "reference.py": reference},
        )
    )


def failed_error(result: JudgementResult) -> tuple[str | None, str]:
    run = next(r for r in result.runs if r.verdict is Verdict.WA)
    assert run.error is not None
    return run.error.gate, run.message


def test_the_check_decides(judged: Judge, tmp_path: Path) -> None:
    package = make(tmp_path, CHECK)
    text = "def solve(x, y, eps): y[:] = np.where(x > 0, -1, 1) * x * np.float32(1 + eps)"
    result = judged(text, package=package)
    assert result.verdict is Verdict.AC
    assert all(0 <= run.margins[":check"] <= 1 for run in result.runs)
    wrong = judged("def solve(x, y, eps): y[:] = x + 5", package=package, mode=Mode.TEST)
    assert wrong.verdict is Verdict.WA
    gate, words = failed_error(wrong)
    assert gate == "check"
    assert words.startswith("off by ")
    assert words.endswith(": 差")


def test_its_words_are_not_told_where_inputs_are_hidden(judged: Judge, tmp_path: Path) -> None:
    text = "def solve(x, y, eps): y[:] = x * np.float32(1 + eps) + 9 * (x.shape[0] > 500)"
    wrong = judged(text, package=make(tmp_path, CHECK))
    assert wrong.verdict is Verdict.WA
    assert failed_error(wrong) == ("check", "")
    assert "off by" not in wrong.model_dump_json()


@pytest.mark.parametrize("returned", ["None", "True", "(1.0, 2)", "torch.tensor(0.0)"])
def test_a_check_that_says_neither_is_our_fault(
    judged: Judge, tmp_path: Path, returned: str
) -> None:
    reference = f"import torch\n{CHECK}    \ndef check(*_): return {returned}\n"
    reference = reference.replace("def check(*_)", "def check(inputs, outputs, truth, attributes)")
    with pytest.raises(BaselineFailed, match="it must return a number"):
        judged("def solve(x, y, eps): pass", package=make(tmp_path, reference), mode=Mode.TEST)
