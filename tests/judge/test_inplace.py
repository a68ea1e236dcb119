"""An operator with two outputs, one of them written over an input: declared, called and judged."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from judge.building import build
from judge.certificate import certify
from judge.package import Package, load_package
from judge.problem import Operator
from judge.signature import arity, cpp_signature, generated_baseline, python_signature, starter
from judge.verdict import Language, Mode, Verdict
from judge.wire import JudgementResult
from sandbox.base import Sandbox
from tests.judge.conftest import Judge

TENSOR = {"dtype": "float32", "shape": ("rows", "cols")}

YAML = """\
problem_format_version: opjudge-2026
uuid: 0c6dc0b5-6b4f-4f39-9a4b-6f2d3b1a7e77
version: 1.0.0
name: {en: Residual add and scale}
license: Apache-2.0
operator:
  dims: [rows, cols]
  inputs:
    - {name: x, dtype: float32, shape: [rows, cols]}
    - {name: residual, dtype: float32, shape: [rows, cols]}
  outputs:
    - {name: y, dtype: float32, shape: [rows, cols]}
    - {name: total, dtype: float32, shape: [rows, cols], inplace: residual}
workloads:
  - {name: tiny, dims: {rows: 2, cols: 3}, sample: true}
  - {name: large, dims: {rows: 300, cols: 301}, timed: true}
cost: {flops: 2 * rows * cols, bytes: 16 * rows * cols}
"""
REFERENCE = "def reference(x, residual):\n    return 2 * (x + residual), x + residual\n"
SOLVE = "def solve(x, residual, y):\n    "
HONEST = SOLVE + "residual += x\n    np.multiply(residual, 2, out=y)\n"
CPP = """
#include <cstdint>
extern "C" void solve(const float* x, float* residual, float* y, int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows * cols; ++i) y[i] = 2 * (residual[i] += x[i]);
}
"""


@pytest.fixture
def fused(tmp_path: Path) -> Package:
    root = tmp_path / "fused"
    (root / "statement").mkdir(parents=True)
    (root / "problem.yaml").write_text(YAML)
    (root / "reference.py").write_text(REFERENCE)
    (root / "statement" / "problem.en.md").write_text("# Fused\n")
    return load_package(root)


def failed_output(result: JudgementResult) -> tuple[str, str | None]:
    assert result.verdict is Verdict.WA
    return next((r.error.gate, r.error.output) for r in result.runs if r.error is not None)


def test_one_buffer_is_one_argument(fused: Package) -> None:
    operator = fused.problem.operator
    assert python_signature(operator) == "def solve(x, residual, y):"
    assert cpp_signature(operator) == (
        'extern "C" void solve(const float* x, float* residual, float* y, '
        "int64_t rows, int64_t cols)"
    )
    assert (arity(operator, Language.PYTHON), arity(operator, Language.CPP)) == (3, 5)
    assert "(y, residual)" in generated_baseline(operator, REFERENCE)


@pytest.mark.parametrize("language", Language)
def test_the_starter_says_so_and_builds(
    fused: Package, sandbox: Sandbox, language: Language
) -> None:
    first = starter("fused", fused.problem, language)
    assert "residual: float32[rows, cols], input, overwritten with the output total" in (
        first.content
    )
    files = {first.filename: first.content.encode()}
    built = build(sandbox.builder, language, files, arity(fused.problem.operator, language))
    assert built.ok, built.log


@pytest.mark.parametrize(("text", "filename"), [(HONEST, "s.py"), (CPP, "s.cpp")])
def test_honest_work_is_accepted_call_after_call(
    judged: Judge, fused: Package, text: str, filename: str
) -> None:
    """Every call finds the input as the judge wrote it, not as the last call left it."""
    result = judged(text, filename, package=fused)
    assert result.verdict is Verdict.AC, result.message
    assert result.score is not None
    assert {"y:element", "total:element"} <= set(result.runs[1].margins)


@pytest.mark.parametrize(
    ("body", "gate", "output"),
    [
        ("np.multiply(x + residual, 2, out=y)", "element", "total"),
        ("residual += x", "pattern", "y"),
        ("np.multiply(x + residual, 2, out=y); residual[:] = x", "element", "total"),
    ],
)
def test_each_output_is_checked(
    judged: Judge, fused: Package, body: str, gate: str, output: str
) -> None:
    result = judged(SOLVE + body + "\n", package=fused, mode=Mode.TEST)
    assert failed_output(result) == (gate, output)


def test_other_inputs_cannot_be_written(judged: Judge, fused: Package) -> None:
    result = judged(HONEST + "    x += 1\n", package=fused, mode=Mode.TEST)
    assert result.verdict is Verdict.RTE
    assert "read-only" in result.message


LATE = """
import threading
def solve(x, residual, y):
    np.multiply(x + residual, 2, out=y)
    residual += x
    def later():
        for _ in range(10_000_000): residual[0, 0] = 7
    threading.Thread(target=later, daemon=True).start()
"""


def test_a_late_write_into_it_is_seen(judged: Judge, fused: Package) -> None:
    assert judged(LATE, package=fused).verdict is Verdict.WA


def test_mutants_of_both_outputs_are_refused(fused: Package, sandbox: Sandbox) -> None:
    certificate = certify(fused, sandbox, {})
    assert certificate.complaints == ()
    assert {t.output for t in certificate.trials} == {"y", "total", ""}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outputs": [{"name": "y", **TENSOR, "inplace": "z"}]}, "inplace names no input"),
        (
            {"outputs": [{"name": "y", "dtype": "float64", "shape": ["rows"], "inplace": "x"}]},
            "same shape and dtype",
        ),
        (
            {"inputs": [{"name": "x", **TENSOR, "inplace": "y"}]},
            "cannot be `inplace`: declare the output",
        ),
        (
            {"outputs": [{"name": n, **TENSOR, "inplace": "x"} for n in ("y", "z")]},
            "two outputs are written over one input",
        ),
    ],
)
def test_what_cannot_share_a_buffer_is_told(changes: dict[str, object], words: str) -> None:
    fields = {
        "dims": ["rows", "cols"],
        "inputs": [{"name": "x", **TENSOR}],
        "outputs": [{"name": "y", **TENSOR}],
    }
    with pytest.raises(ValidationError, match=words):
        Operator.model_validate({**fields, **changes})
