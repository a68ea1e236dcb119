"""One order of parameters in every language, and starters that run but are not solutions."""

import keyword
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.errors import ProblemError
from judge.package import load_package
from judge.problem import AttributeSpec, DType, Operator, Problem, TensorSpec
from judge.signature import (
    arity,
    check_names,
    cpp_signature,
    name_faults,
    prepare_signature,
    python_signature,
    starter,
)
from judge.source import parse_upload
from judge.verdict import Language
from judge.yamlfile import parse_yaml
from tests.fixtures import PROBLEM_YAML, write_package

NORM = Operator(
    dims=("rows", "cols"),
    inputs=(TensorSpec(name="x", dtype=DType.FLOAT32, shape=("rows", "cols")),),
    outputs=(TensorSpec(name="y", dtype=DType.FLOAT32, shape=("rows", "cols")),),
    attributes=(AttributeSpec(name="eps", type="float", default=1e-5),),
)
EVERY_TYPE = Operator(
    dims=("n",),
    inputs=tuple(TensorSpec(name=f"in_{t}", dtype=t, shape=("n", 4)) for t in DType),
    outputs=tuple(TensorSpec(name=f"out_{t}", dtype=t, shape=("n",)) for t in DType),
    attributes=(
        AttributeSpec(name="axis", type="int", default=1),
        AttributeSpec(name="eps", type="float", default=0.5),
    ),
)


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return load_package(write_package(tmp_path / "row_scale")).problem


def named(operator: Operator, problem: Problem) -> Problem:
    return problem.model_copy(update={"operator": operator})


def test_signatures() -> None:
    assert python_signature(NORM) == "def solve(x, y, eps):"
    assert cpp_signature(NORM) == (
        'extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols, double eps)'
    )
    assert prepare_signature(NORM) == "def prepare(rows, cols, eps):"
    assert prepare_signature(NORM, Language.CPP) == (
        'extern "C" void prepare(int64_t rows, int64_t cols, double eps)'
    )


def test_every_type_in_cpp() -> None:
    assert cpp_signature(EVERY_TYPE) == (
        'extern "C" void solve(const float* in_float32, const double* in_float64, '
        "const uint16_t* in_float16, const uint16_t* in_bfloat16, const int32_t* in_int32, "
        "const int64_t* in_int64, float* out_float32, double* out_float64, uint16_t* out_float16, "
        "uint16_t* out_bfloat16, int32_t* out_int32, int64_t* out_int64, int64_t n, "
        "int64_t axis, double eps)"
    )


@pytest.mark.parametrize("operator", [NORM, EVERY_TYPE], ids=["norm", "every-type"])
def test_arity_is_the_number_of_parameters(operator: Operator) -> None:
    assert arity(operator, Language.PYTHON) == python_signature(operator).count(",") + 1
    assert arity(operator, Language.CPP) == cpp_signature(operator).count(",") + 1


def test_arity_counts_dims_only_in_cpp() -> None:
    assert (arity(NORM, Language.PYTHON), arity(NORM, Language.CPP)) == (3, 5)


# --- names --------------------------------------------------------------------------------


def one_input(name: str) -> Operator:
    return NORM.model_copy(
        update={"inputs": (TensorSpec(name=name, dtype=DType.FLOAT32, shape=("rows",)),)}
    )


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("lambda", "Python"),
        ("in", "Python"),
        ("double", "C++"),
        ("unsigned", "C++"),
        ("linux", "C++"),
        ("unix", "C++"),
        ("restrict", "C++"),
        ("solve", "the judge"),
        ("torch", "the judge"),
        ("reference", "the judge"),
        ("stream", "the judge"),
    ],
)
def test_names_that_cannot_be_parameters(name: str, language: str) -> None:
    with pytest.raises(ProblemError, match="choose another name") as caught:
        check_names(one_input(name))
    assert repr(name) in caught.value.message
    assert language in caught.value.message


@pytest.mark.parametrize("name", ["x", "weight", "exp", "max", "input", "index", "sum", "match"])
def test_names_that_can(name: str) -> None:
    check_names(one_input(name))


def test_faults_say_where() -> None:
    operator = NORM.model_copy(
        update={
            "dims": ("rows", "int"),
            "attributes": (AttributeSpec(name="is", type="int", default=1),),
        }
    )
    assert [place for place, _ in name_faults(operator)] == [
        ("operator", "dims", 1),
        ("operator", "attributes", 0, "name"),
    ]


def syntax_only(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "a.cpp").write_text(text)
    command = ["g++", "-std=gnu++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    return subprocess.run(
        [*command, str(folder / "a.cpp")], capture_output=True, text=True, check=False
    )


def test_every_name_let_through_is_a_parameter_of_both(tmp_path: Path) -> None:
    """Lower-case words of both languages, and macros that g++ itself reports as predefined."""
    dump = subprocess.run(
        ["g++", "-dM", "-E", "-x", "c++", "/dev/null"], capture_output=True, text=True, check=True
    )
    macros = {line.split()[1] for line in dump.stdout.splitlines()}
    candidates = {m for m in macros if m.isidentifier() and m[0].islower() and m == m.lower()}
    candidates |= {"x", "exp", "max", "sum", "data", "size", "index", "pow", "y0", "j1", "gamma"}
    candidates |= set(keyword.softkwlist) - {"_"}
    passed = [name for name in sorted(candidates) if not list(name_faults(one_input(name)))]
    assert "exp" in passed
    text = "#include <cmath>\n#include <cstdint>\n"
    for i, name in enumerate(passed):
        signature = cpp_signature(one_input(name)).replace("solve(", f"solve{i}(")
        text += f"{signature};\n"
        compile(f"{python_signature(one_input(name))} ...", name, "exec")
    result = syntax_only(tmp_path, text)
    assert result.returncode == 0, result.stderr


# --- starters -----------------------------------------------------------------------------


@pytest.mark.parametrize("operator", [NORM, EVERY_TYPE], ids=["norm", "every-type"])
def test_the_cpp_starter_compiles(problem: Problem, tmp_path: Path, operator: Operator) -> None:
    made = starter("row_scale", named(operator, problem), Language.CPP)
    assert (made.filename, made.language) == ("solution.cpp", Language.CPP)
    result = syntax_only(tmp_path, made.content)
    assert result.returncode == 0, result.stderr
    assert "TODO" in made.content
    assert cpp_signature(operator) in made.content


def test_the_cpp_check_can_fail(tmp_path: Path) -> None:
    assert syntax_only(tmp_path, 'extern "C" void solve(const float* double);').returncode != 0


def test_the_cpp_starter_explains_half_precision(problem: Problem) -> None:
    content = starter("a", named(EVERY_TYPE, problem), Language.CPP).content
    assert "// in_float16, in_bfloat16, out_float16, out_bfloat16: the bits" in content
    assert "uint16_t" not in starter("a", named(NORM, problem), Language.CPP).content


@pytest.mark.parametrize("operator", [NORM, EVERY_TYPE], ids=["norm", "every-type"])
def test_the_python_starter_loads_and_is_unfinished(problem: Problem, operator: Operator) -> None:
    made = starter("row_scale", named(operator, problem), Language.PYTHON)
    assert (made.filename, made.language) == ("solution.py", Language.PYTHON)
    names: dict[str, object] = {}
    exec(made.content.replace("import torch", "import math"), names)
    with pytest.raises(NotImplementedError, match="row_scale: write the result into"):
        names["solve"](*range(arity(operator, Language.PYTHON)))  # type: ignore[operator]


@pytest.mark.parametrize("language", list(Language))
def test_a_starter_is_a_submission_that_knows_its_problem(
    problem: Problem, language: Language
) -> None:
    made = starter("row_scale", problem, language)
    source = parse_upload(made.filename, made.content.encode(), limit_bytes=1 << 16)
    assert source.language is language
    assert (source.directives["problem"], source.directives["device"]) == ("row_scale", "cpu")


@pytest.mark.parametrize("language", list(Language))
def test_a_starter_describes_every_parameter(problem: Problem, language: Language) -> None:
    content = starter("row_scale", problem, language).content
    assert "x: float32[rows, cols], input" in content
    assert "y: float32[rows, cols], output" in content
    assert "eps: float, 1e-05 unless told" in content


@given(title=st.text(max_size=20) | st.sampled_from(["\\", '"""', "a\nb = 1 +", "a\u2028b", "\r("]))
def test_a_title_cannot_break_a_starter(title: str) -> None:
    usual = parse_yaml("problem.yaml", PROBLEM_YAML.encode()).validate(Problem)
    problem = usual.model_copy(update={"name": {"en": title}})
    python = starter("a", problem, Language.PYTHON).content
    compile(python, "solution.py", "exec")
    lines = starter("a", problem, Language.CPP).content.splitlines()
    assert lines[1].startswith("// ")
    assert lines[1].endswith("(a)")
    assert len(lines) == len(starter("a", problem, Language.CPP).content.split("\n")) - 1
