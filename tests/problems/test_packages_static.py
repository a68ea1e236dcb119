"""The bundled problems, without a sandbox: do their parts agree with one another?"""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from judge.checker import check, error_sizes, relative_error
from judge.package import expectations
from judge.problem import Workload
from judge.source import read_source
from judge.tolerance import Oracle
from judge.verdict import Verdict
from tests.problems import programs
from tests.problems.programs import ROOT, SLUGS, Case, Solve, Tensors
from tests.truths import array

SUBMISSIONS = [
    pytest.param(slug, path, id=f"{slug}-{path.stem}{path.suffix}")
    for slug in SLUGS
    for path in programs.submissions(slug, "accepted")
]
WRONG = [
    pytest.param(slug, path, id=f"{slug}-{path.stem}{path.suffix}")
    for slug in SLUGS
    for path in programs.submissions(slug, "wrong_answer")
]
TIMED = [
    pytest.param(slug, workload, id=f"{slug}-{workload.name}")
    for slug in SLUGS
    for workload in programs.package(slug).problem.workloads
    if workload.timed
]
EACH = pytest.mark.parametrize("slug", SLUGS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled submissions are kept."""
    return tmp_path_factory.mktemp("libraries")


def tolerance(slug: str) -> Oracle:
    rule = programs.package(slug).problem.tolerance
    assert isinstance(rule, Oracle)
    return rule


def right(slug: str, given: Case, outputs: Tensors) -> bool:
    rule = tolerance(slug)
    outputs_of = programs.package(slug).problem.operator.outputs
    return all(
        check(spec.name, array(got), truth, rule) is None
        for spec, got, truth in zip(outputs_of, outputs, given.truths, strict=True)
    )


def accepted(slug: str) -> list[Path]:
    return programs.submissions(slug, "accepted")


def baseline(slug: str) -> Solve:
    return programs.python_program(slug, ROOT / slug / "baseline.py")


# --- the package ----------------------------------------------------------------------------


@EACH
def test_workloads_cover_samples_edges_and_timing(slug: str) -> None:
    workloads = programs.package(slug).problem.workloads
    assert 9 <= len(workloads) <= 11
    assert sum(w.sample for w in workloads) >= 3
    assert sum(w.hidden for w in workloads) >= 4
    assert sum(w.timed and not w.hidden for w in workloads) >= 1
    assert sum(w.timed and w.hidden for w in workloads) >= 2
    assert any(1 in w.dims.values() for w in workloads)


def test_every_package_has_its_own_uuid() -> None:
    assert len({programs.package(slug).problem.uuid for slug in SLUGS}) == len(SLUGS)


@EACH
@pytest.mark.parametrize("language", ["en", "zh"])
def test_statement_names_every_argument(slug: str, language: str) -> None:
    problem = programs.package(slug).problem
    text = (ROOT / slug / "statement" / f"problem.{language}.md").read_text()
    names = [t.name for t in problem.operator.tensors]
    names += [a.name for a in problem.operator.attributes]
    for name in names:
        assert f"`{name}`" in text
    for dim in problem.operator.dims:
        assert dim in text
    assert "```python" in text
    assert "```cpp" in text


@EACH
@pytest.mark.parametrize("language", ["en", "zh"])
def test_examples_of_the_statement_are_right(slug: str, language: str, tmp_path: Path) -> None:
    text = (ROOT / slug / "statement" / f"problem.{language}.md").read_text()
    for fence, suffix in (("python", ".py"), ("cpp", ".cpp")):
        found = re.search(rf"```{fence}\n(.*?)```", text, re.DOTALL)
        assert found is not None
        path = tmp_path / f"example{suffix}"
        path.write_text(found[1])
        solve = programs.program(slug, path, tmp_path)
        for given in programs.small_cases(slug):
            assert right(slug, given, programs.run(slug, solve, given)), given.workload.name


@EACH
def test_sizes_keep_to_the_bounds_of_the_statement(slug: str) -> None:
    text = (ROOT / slug / "statement" / "problem.en.md").read_text()
    for dims, bound in re.findall(r"`1 <= ([\w, ]+) <= (\d+)`", text):
        for dim in dims.split(", "):
            largest = max(w.dims[dim] for w in programs.package(slug).problem.workloads)
            assert largest <= int(bound), dim


# --- reference and baseline -------------------------------------------------------------------


@EACH
def test_reference_runs_at_any_precision_and_leaves_its_inputs_alone(slug: str) -> None:
    for given in programs.small_cases(slug):
        for dtype in (torch.float32, torch.float64):
            inputs = [t.to(dtype) for t in given.inputs]
            copies = [t.clone() for t in inputs]
            outputs = programs.reference(slug, given, inputs)
            assert all(o.dtype == dtype for o in outputs)
            assert all(bool(o.isfinite().all()) for o in outputs)
            assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))


@EACH
def test_baseline_is_right_on_small_workloads(slug: str) -> None:
    for given in programs.small_cases(slug):
        outputs = programs.run(slug, baseline(slug), given)
        assert right(slug, given, outputs), given.workload.name


# --- submissions ------------------------------------------------------------------------------


@EACH
def test_folders_of_submissions_are_filled(slug: str) -> None:
    assert {p.suffix for p in accepted(slug)} == {".py", ".cpp"}
    for kind in ("wrong_answer", "time_limit_exceeded", "run_time_error", "compile_error"):
        assert programs.submissions(slug, kind)
    assert len(programs.submissions(slug, "cheating")) >= 3


@EACH
def test_expectations_are_complete(slug: str) -> None:
    package = programs.package(slug)
    for expectation in expectations(package):
        source = read_source(expectation.files, limit_bytes=package.problem.limits.source_kib << 10)
        assert source.directives["problem"] == slug
        assert source.directives["device"] == "cpu"
        if expectation.path.startswith("cheating/"):
            assert expectation.reason
            if Verdict.AC in expectation.permitted:
                assert expectation.max_speedup is not None


@EACH
def test_submissions_say_what_they_are(slug: str) -> None:
    for expectation in expectations(programs.package(slug)):
        first, second = expectation.files.read_text().splitlines()[:2]
        mark = "#" if expectation.files.suffix == ".py" else "//"
        assert first.startswith(f"{mark}!OPJUDGE ")
        assert second.startswith(f"{mark} ")


@pytest.mark.parametrize(("slug", "path"), SUBMISSIONS)
def test_accepted_is_right_on_small_workloads(slug: str, path: Path, libraries: Path) -> None:
    solve = programs.program(slug, path, libraries)
    for given in programs.small_cases(slug):
        outputs = programs.run(slug, solve, given)
        assert right(slug, given, outputs), given.workload.name


@pytest.mark.parametrize(("slug", "path"), WRONG)
def test_wrong_answer_is_wrong_on_a_sample(slug: str, path: Path, libraries: Path) -> None:
    solve = programs.program(slug, path, libraries)
    outcomes = [
        right(slug, given, programs.run(slug, solve, given))
        for given in programs.small_cases(slug)
        if given.workload.sample
    ]
    assert not all(outcomes)


@EACH
def test_compile_errors_do_not_compile(slug: str) -> None:
    for path in programs.submissions(slug, "compile_error"):
        if path.suffix == ".py":
            with pytest.raises(SyntaxError):
                compile(path.read_text(), path.name, "exec")
        else:
            argv = ["g++", "-std=c++20", "-fsyntax-only", str(path)]
            assert subprocess.run(argv, capture_output=True, timeout=60).returncode != 0


@EACH
def test_programs_in_cpp_are_free_of_warnings(slug: str) -> None:
    for kind in ("accepted", "wrong_answer"):
        for path in programs.submissions(slug, kind):
            if path.suffix == ".cpp":
                argv = ["g++", "-std=c++20", "-march=native", "-Wall", "-fsyntax-only", str(path)]
                assert subprocess.run(argv, capture_output=True, timeout=60).stderr == b""


# --- timed workloads --------------------------------------------------------------------------


def lower_precision(slug: str, given: Case) -> dict[str, Tensors]:
    """What the reference gives when numbers are rounded to a shorter format on the way."""

    def rounded(tensors: Tensors, dtype: torch.dtype) -> Tensors:
        return tuple(t.to(dtype).to(t.dtype) for t in tensors)

    honest = programs.reference(slug, given)
    mutants = {"output x 1.001": tuple(t * 1.001 for t in honest)}
    for dtype in (torch.float16, torch.bfloat16):
        mutants[f"{dtype} inputs"] = programs.reference(slug, given, rounded(given.inputs, dtype))
        mutants[f"{dtype} output"] = rounded(honest, dtype)
    return mutants


def damaged(slug: str, given: Case) -> dict[str, Tensors]:
    """Honest outputs with something missing or misplaced."""
    honest = programs.reference(slug, given)[0]
    flat = honest.reshape(-1)
    one, tail = flat.clone(), flat.clone()
    one[flat.numel() // 3] *= 1.01
    tail[-1] = 0
    rolled = flat.roll(1)
    names = {"zeros": torch.zeros_like(flat), "one element": one, "tail": tail, "rolled": rolled}
    return {name: (t.view_as(honest),) for name, t in names.items()}


def worst_element(given: Case, outputs: Tensors) -> float:
    """The largest error, in units of the oracle's scale."""
    return max(
        error_sizes(relative_error(array(got), truth))[0]
        for got, truth in zip(outputs, given.truths, strict=True)
    )


@pytest.mark.parametrize(("slug", "workload"), TIMED)
def test_timed_workload_passes_what_is_honest_and_nothing_else(
    slug: str, workload: Workload, libraries: Path
) -> None:
    given = programs.case(slug, workload)
    solves = {p.name: programs.program(slug, p, libraries) for p in accepted(slug)}
    for name, solve in {"baseline": baseline(slug), **solves}.items():
        outputs = programs.run(slug, solve, given)
        assert right(slug, given, outputs), name
        allowed = tolerance(slug).element
        assert worst_element(given, outputs) <= allowed / 2, name
    for name, outputs in (lower_precision(slug, given) | damaged(slug, given)).items():
        assert not right(slug, given, outputs), name


@pytest.mark.parametrize(("slug", "workload"), TIMED)
def test_baseline_takes_a_time_that_can_be_measured(slug: str, workload: Workload) -> None:
    problem = programs.package(slug).problem
    inputs = [torch.ones(t.sizes(workload.dims)) for t in problem.operator.inputs]
    outputs = [torch.ones(t.sizes(workload.dims)) for t in problem.operator.outputs]
    assert all(t.numel() * t.element_size() <= 16 << 20 for t in inputs + outputs)
    solve = baseline(slug)
    times_ms = []
    for _ in range(5):
        started = time.perf_counter()
        solve(workload, inputs, outputs)
        times_ms.append((time.perf_counter() - started) * 1e3)
    assert 0.3 < min(times_ms) < 60
