"""The problem's reference: what it tells, in what way it may fail, and what it cannot see."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import ml_dtypes
import numpy as np
import psutil
import pytest

from judge import oracle
from judge.arena import Array, element_type
from judge.checker import check
from judge.effort import Effort
from judge.errors import BaselineFailed, ProblemError
from judge.judging import BASELINE_LIMITS, JudgingOptions, judge
from judge.oracle import Reference, Truth
from judge.package import Package, load_package
from judge.party import Party
from judge.problem import Problem, Workload
from judge.source import parse_upload
from judge.tolerance import Oracle
from judge.verdict import Mode, Verdict
from judge.wire import JudgementResult
from sandbox.bubblewrap import Bubblewrap
from tests.fixtures import write_package
from tests.judge.conftest import NUMPY_BASELINE
from tests.judge.problems import small_problem
from tests.truths import made_inputs, truths

# --- what it tells ------------------------------------------------------------------------


def problem_of(dtype: str, out: str) -> Problem:
    shape = ["rows", "cols"]
    operator = {
        "dims": shape,
        "inputs": [{"name": "x", "dtype": dtype, "shape": shape}],
        "outputs": [{"name": "y", "dtype": out, "shape": shape}],
        "attributes": [{"name": "k", "type": "int", "default": 3}],
    }
    return small_problem(operator=operator)


def module_of(text: str) -> ModuleType:
    module = ModuleType("reference")
    exec(f"import torch\n{text}", module.__dict__)
    return module


def truth_of(text: str, x: Array, out: str = "float32") -> Truth:
    """The truth of `y` when `reference(x, k)` is this text, k = 3."""
    dtype = "bfloat16" if x.dtype == ml_dtypes.bfloat16 else x.dtype.name
    workload = Workload(name="w", dims={"rows": x.shape[0], "cols": x.shape[1]})
    return truths(problem_of(dtype, out), workload, module_of(text), {"x": x})["y"]


def numbers(dtype: str = "float32") -> Array:
    return np.random.default_rng(1).standard_normal((16, 32)).astype(dtype)


def test_the_truth_is_the_reference_in_double_precision() -> None:
    x = numbers()
    truth = truth_of("def reference(x, k): return torch.exp(x) / k", x)
    wide = np.exp(x.astype(np.float64)) / 3
    assert truth.value.dtype == np.float64
    assert np.allclose(truth.value, wide, rtol=1e-14)
    # exp(x (1 + u)) is off by u |x| exp(x), and the result is rounded once more: u |y|.
    u = 2.0**-24
    moved = u * np.abs(x) * wide
    floor = np.sqrt((moved**2).mean()) / 2
    assert np.allclose(truth.scale, u * wide + np.maximum(moved, floor), rtol=1e-6)
    share = moved.max() / np.sqrt((wide**2).mean())
    assert truth.condition == pytest.approx(share, rel=1e-6)
    worst, mean, rms = truth.honest
    assert 0 < mean < rms < worst < 2


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_the_scale_follows_the_declared_types(dtype: str) -> None:
    x = numbers("float64").astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    truth = truth_of("def reference(x, k): return x * k", x, dtype)
    u = {"float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert np.array_equal(truth.value, x.astype(np.float64) * 3)
    assert truth.scale.max() == pytest.approx(2 * u * np.abs(truth.value).max())


@pytest.mark.parametrize("returned", ["x * k", "(x * k).int()", "(x * k).short()"])
def test_integers_are_told_exactly_whatever_their_width(returned: str) -> None:
    x = np.arange(-8, 8, dtype=np.int64).reshape(4, 4)
    truth = truth_of(f"def reference(x, k): return {returned}", x, "int32")
    assert truth.value.dtype == np.int64
    assert np.array_equal(truth.value, x * 3)
    assert check("y", (x * 3).astype(np.int32), truth, Oracle()) is None
    assert check("y", (x * 3 + 1).astype(np.int32), truth, Oracle()) is not None


def test_a_comparison_is_an_integer() -> None:
    x = numbers()
    truth = truth_of("def reference(x, k): return x > 0", x, "int32")
    assert np.array_equal(truth.value, x > 0)


def test_an_integer_that_does_not_fit_the_declared_type_is_not_wrapped() -> None:
    x = np.full((1, 1), 1 << 40)
    truth = truth_of("def reference(x, k): return x + 5", x, "int32")
    assert check("y", np.full((1, 1), 5, np.int32), truth, Oracle()) is not None


def test_floats_of_integers_are_told_as_doubles() -> None:
    x = np.arange(16, dtype=np.int32).reshape(4, 4)
    truth = truth_of("def reference(x, k): return x / 4", x)
    assert truth.value.dtype == np.float64
    assert np.array_equal(truth.value, x / 4)


def test_what_is_not_finite_stays_where_it_is() -> None:
    x = np.array([[1.0, np.inf, np.nan, -np.inf]], np.float32)
    truth = truth_of("def reference(x, k): return x * k", x)
    assert np.array_equal(truth.value, x * 3, equal_nan=True)
    assert np.isfinite(truth.honest).all()


UNFIT = {
    "def reference(x, k): return x[:1]": "'y' with shape (1, 32), declared: (16, 32)",
    "def reference(x, k): return x, x": "2 outputs, declared: 1",
    "def reference(x, k): return [x]": "'y' as list, not as a tensor",
    "def reference(x, k): return x.numpy()": "'y' as ndarray, not as a tensor",
    "def reference(x, k): return (x * 4).int()": "'y' as torch.int32, declared: a floating type",
    "def reference(x, k): return x.float()": "'y' as torch.float32 for inputs of torch.float64",
}


@pytest.mark.parametrize("text", UNFIT)
def test_what_does_not_fit_the_operator_is_refused(text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        truth_of(text, numbers())
    assert UNFIT[text] in str(caught.value)


def test_floats_where_integers_are_declared_are_refused() -> None:
    with pytest.raises(TypeError, match=r"'y' as torch\.float64, declared: an integer type"):
        truth_of("def reference(x, k): return x.round()", numbers(), "int32")


MAKES = """
def make_inputs(dims, attributes, generator):
    x = torch.rand(dims["rows"], dims["cols"], generator=generator)
    return {"x": x * attributes["k"] + 10}
"""


def test_inputs_of_the_reference_follow_the_seed() -> None:
    problem, workload = problem_of("float32", "float32"), small_problem().workloads[0]
    module = module_of("def reference(x, k): return x" + MAKES)
    first, again, other = (
        made_inputs(problem, workload, module, seed) for seed in (1 << 61, 1 << 61, 5)
    )
    assert first is not None
    assert again is not None
    assert other is not None
    assert first["x"].dtype == np.float32
    assert first["x"].shape == (3, 5)
    assert (first["x"] >= 10).all()
    assert (first["x"] <= 13).all()
    assert np.array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], other["x"])


@pytest.mark.parametrize("made", ["{}", "{'x': torch.zeros(2)}", "{'x': 1}", "None"])
def test_inputs_that_do_not_fit_are_refused(made: str) -> None:
    problem, workload = problem_of("float32", "float32"), small_problem().workloads[0]
    module = module_of(f"def reference(x, k): return x\ndef make_inputs(*_): return {made}")
    with pytest.raises(ValueError, match=r"make_inputs gave no 'x' of shape \(3, 5\)"):
        made_inputs(problem, workload, module, 1)


def test_every_type_has_a_buffer_to_be_told_in() -> None:
    for dtype, wide in (("bfloat16", np.float64), ("int32", np.int64)):
        _, told = oracle.layout(problem_of("float32", dtype))
        assert element_type(told[0].dtype) == wide


# --- in its sandbox -----------------------------------------------------------------------

HONEST = "def solve(x, y, eps):\n    np.multiply(x, np.float32(1 + eps), out=y)\n"
PLAIN = "def reference(x, eps):\n    return x * (1 + eps)\n"
OPTIONS = JudgingOptions(effort=dict.fromkeys(Mode, Effort(checks=1, min_rounds=3, max_rounds=3)))

Judge = Callable[..., JudgementResult]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Package]:
    """A package whose reference.py is this text."""

    def made(text: str) -> Package:
        limits = "limits: {time_limit_s: 0.5, prepare_limit_s: 0.5}\ncost:"
        files = {"baseline.py": NUMPY_BASELINE, "reference.py": text}
        root = write_package(tmp_path / "row_scale", ("cost:", limits), files=files)
        return load_package(root)

    return made


def judged(package: Package, text: str = HONEST, mode: Mode = Mode.TEST) -> JudgementResult:
    text = f"#!OPJUDGE arrays=numpy\nimport numpy as np\n{text}"
    source = parse_upload("s.py", text.encode(), limit_bytes=1 << 20)
    return judge(package, source, mode, Bubblewrap(), options=OPTIONS)


IMPORTS = {
    "import nowhere_to_be_found\n" + PLAIN: "ModuleNotFoundError: No module named 'nowhere_to_be",
    "1 / 0\n" + PLAIN: "ZeroDivisionError: division by zero",
    "import sys\nsys.exit(3)\n" + PLAIN: "SystemExit: 3",
    "import os\nos._exit(3)\n" + PLAIN: "the process exited with status 3",
    "while True: pass\n" + PLAIN: "stopped after 5",
}


@pytest.mark.parametrize("text", IMPORTS)
def test_a_reference_that_cannot_be_imported_is_the_authors_to_mend(
    make: Callable[[str], Package], text: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        judged(make(text))
    first = str(caught.value).partition("\n")[0]
    assert first.startswith("row_scale/reference.py: import failed: ")
    assert IMPORTS[text] in first


CALLS = {
    "raise KeyError('no such row')": "reference failed: KeyError: 'no such row'",
    "import os; os._exit(0)": "reference failed: the process exited",
    "import ctypes; ctypes.string_at(0)": "(SIGSEGV)",
    "while True: pass": "reference failed: stopped after ",
    "return x[:1]": "reference failed: ValueError: reference returned 'y' with shape (1, 3)",
    "return x.mul_(1 + eps)": "the reference changed its inputs",
}


@pytest.mark.parametrize("body", CALLS)
def test_a_reference_that_fails_is_not_held_against_the_contestant(
    make: Callable[[str], Package], body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "PATIENCE", 0.1)
    before = children()
    with pytest.raises(BaselineFailed) as caught:
        judged(make(f"def reference(x, eps):\n    {body}\n"))
    assert CALLS[body] in str(caught.value)
    assert children() == before


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_no_sandbox_is_left_behind(make: Callable[[str], Package]) -> None:
    before = children()
    assert judged(make(PLAIN)).verdict is Verdict.AC
    assert children() == before


def test_a_reference_may_print(
    make: Callable[[str], Package], capfd: pytest.CaptureFixture[str]
) -> None:
    result = judged(make("print('loaded')\n" + PLAIN.replace("return", "print('here'); return")))
    assert result.verdict is Verdict.AC
    assert "here" not in result.stdout
    assert capfd.readouterr().out == ""


def test_inputs_come_from_the_reference_where_it_makes_them(
    make: Callable[[str], Package],
) -> None:
    makes = """
import torch
def make_inputs(dims, attributes, generator):
    x = torch.randint(5, 9, (dims["rows"], dims["cols"]), generator=generator)
    return {"x": x}
"""
    looks = "    assert set(np.unique(x)) <= {5, 6, 7, 8}, x\n"
    assert judged(make(PLAIN + makes), HONEST + looks, Mode.RANKED).verdict is Verdict.AC
    assert judged(make(PLAIN), HONEST + looks).verdict is Verdict.RTE


def test_values_alone_are_one_evaluation(make: Callable[[str], Package]) -> None:
    counted = "calls = 0\ndef reference(x, eps):\n    global calls\n    calls += 1\n"
    package = make(counted + "    return x * 0 + calls\n")
    workload = package.problem.workloads[0]
    x = np.ones([workload.dims[name] for name in ("rows", "cols")], np.float32)
    rng = np.random.default_rng(1)
    with Party(Bubblewrap(), BASELINE_LIMITS, "torch") as party:
        party.ready()
        reference = Reference(party, package)
        reference.load()
        oracle = reference.on(workload, rng)
        assert oracle.values({"x": x})["y"].max() == 1
        assert oracle.values({"x": x})["y"].max() == 2
        truth = oracle.truth({"x": x}, rng)["y"]
        assert truth.value.max() == 3
        assert oracle.values({"x": x})["y"].max() == 8


def test_inputs_that_cannot_be_made_are_not_held_against_the_contestant(
    make: Callable[[str], Package],
) -> None:
    makes = "def make_inputs(dims, attributes, generator):\n    return {}\n"
    with pytest.raises(BaselineFailed, match="make_inputs failed: ValueError: make_inputs gave no"):
        judged(make(PLAIN + makes))


SPY = """
import glob

def reference(x, eps):
    seen = []
    for path in ({secret!r}, *glob.glob("/proc/*/environ")):
        try:
            seen.append(open(path, errors="replace").read())
        except OSError as error:
            seen.append(type(error).__name__)
    raise RuntimeError(f"seen: {{seen}}")
"""


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reference that tells what it can read: a file of the host, anybody's environment."""
    secret = tmp_path / "worker.token"
    secret.write_text("token-in-a-file")
    return SPY.format(secret=str(secret))


RUN = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from tests.judge import test_oracle
print({call})
"""


def child(call: str) -> str:
    """The end of a Python that has a token in its environment, and makes this call."""
    environment = {"OPJUDGE_WORKER_TOKEN": "token-in-the-environment", "PATH": "/usr/bin:/bin"}
    code = RUN.format(path=sys.path, call=call)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    return done.stdout + done.stderr


def imported(path: str) -> None:
    """What a judge would do that ran the reference itself."""
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.reference(None, 0.0)


def test_a_reference_sees_neither_the_judges_environment_nor_its_files(
    make: Callable[[str], Package], spy: str
) -> None:
    root = str(make(spy).root)
    seen = child(f"test_oracle.judged(test_oracle.load_package(Path({root!r})))")
    assert "RuntimeError: seen: " in seen
    assert "FileNotFoundError" in seen
    assert "token-in" not in seen


def test_in_the_judges_own_process_it_would_see_both(
    make: Callable[[str], Package], spy: str
) -> None:
    root = make(spy).root
    seen = child(f"test_oracle.imported({str(root / 'reference.py')!r})")
    assert "token-in-the-environment" in seen
    assert "token-in-a-file" in seen


def test_a_judging_process_never_imports_torch(make: Callable[[str], Package]) -> None:
    code = """
import sys
from pathlib import Path
from judge.judging import judge
from judge.package import load_package
from judge.source import parse_upload
from judge.verdict import Mode
from sandbox.bubblewrap import Bubblewrap
source = parse_upload("s.py", {text!r}, limit_bytes=1 << 20)
result = judge(load_package(Path({root!r})), source, Mode.TEST, Bubblewrap())
print(result.verdict, [name for name in sys.modules if name.partition(".")[0] == "torch"])
"""
    text = f"#!OPJUDGE arrays=numpy\nimport numpy as np\n{HONEST}".encode()
    code = code.format(text=text, root=str(make(PLAIN).root))
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=200)
    assert done.stdout == "AC []\n", done.stderr
