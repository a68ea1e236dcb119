"""Every bundled submission gets the verdict its package says, judged for real."""

from collections.abc import Iterator

import pytest

from judge.backend import warmed
from judge.effort import Effort
from judge.expected import Expectation
from judge.judging import JudgingOptions
from judge.package import Package, bundled_problems, expectations, load_all
from judge.verdict import Mode, Verdict
from judge.verify import verify
from sandbox.base import Sandbox
from sandbox.bubblewrap import Bubblewrap

PACKAGES = load_all(bundled_problems())
OPTIONS = JudgingOptions(
    effort=dict.fromkeys(Mode, Effort(checks=2, min_rounds=8, max_rounds=12, budget_s=20.0))
)
CASES = [
    pytest.param(package, expectation, id=f"{package.slug}/{expectation.path}")
    for package in PACKAGES.values()
    for expectation in expectations(package)
]
OPERATORS = {"vector_add", "row_softmax", "rms_norm", "matmul", "prefix_sum", "causal_attention"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with warmed(Bubblewrap()) as ready:
        yield ready


@pytest.mark.slow
@pytest.mark.parametrize(("package", "expectation"), CASES)
def test_the_expected_verdict(package: Package, expectation: Expectation, sandbox: Sandbox) -> None:
    (verified,) = verify(package, sandbox, options=OPTIONS, only=[expectation.path])
    assert verified.ok, verified.complaint


def test_the_six_operators_are_there() -> None:
    assert set(PACKAGES) == OPERATORS


@pytest.mark.parametrize("package", PACKAGES.values(), ids=lambda p: p.slug)
def test_each_package_has_what_a_problem_needs(package: Package) -> None:
    folders: dict[str, set[str]] = {}
    for expectation in expectations(package):
        folder, _, name = expectation.path.partition("/")
        folders.setdefault(folder, set()).add(name)
    accepted = folders["accepted"]
    assert any(name.endswith(".py") for name in accepted)
    assert any(name.endswith(".cpp") for name in accepted)
    assert len(folders["cheating"]) >= 3
    for folder in ("wrong_answer", "time_limit_exceeded", "run_time_error", "compile_error"):
        assert folders[folder]
    workloads = package.problem.workloads
    assert sum(w.sample for w in workloads) >= 3
    assert sum(w.hidden for w in workloads) >= 4
    assert any(w.timed and w.hidden for w in workloads)
    assert set(package.statements) == {"en", "zh"}


def test_no_cheat_is_expected_to_win() -> None:
    for package in PACKAGES.values():
        for expectation in expectations(package):
            if expectation.path.startswith("cheating/") and Verdict.AC in expectation.permitted:
                assert expectation.max_speedup is not None, expectation.path
