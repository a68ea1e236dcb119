"""Packages are refused with a place and a remedy."""

import os
from pathlib import Path

import pytest

from judge import package as package_module
from judge.errors import ProblemError
from judge.package import (
    bundled_problems,
    load_all,
    load_package,
)
from judge.source import from_files
from judge.wire import SourceFile
from tests.fixtures import BASELINE, PROBLEM_YAML, REFERENCE, write_package


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "row_scale"


def complaint(root: Path) -> str:
    with pytest.raises(ProblemError) as caught:
        load_package(root)
    return caught.value.message


def test_a_valid_package(root: Path) -> None:
    package = load_package(write_package(root))
    assert (package.slug, package.root) == ("row_scale", root)
    assert package.problem.operator.attributes[0].default == 1e-5
    assert package.statements["zh"].startswith("# 行缩放")
    assert package.reference == REFERENCE
    assert package.baseline_source() == BASELINE
    assert len(package.hash) == 64


# --- problem.yaml -------------------------------------------------------------------------


def line_of(text: str) -> int:
    return PROBLEM_YAML[: PROBLEM_YAML.index(text)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        ("license:", "lisence:", "license:", "`lisence`: unknown key; did you mean `license`?"),
        (
            "sample: true",
            "sampel: true",
            "{name: tiny",
            "`workloads[0].sampel`: unknown key; did you mean `sample`?",
        ),
        (
            "sample: true",
            "sample: maybe",
            "{name: tiny",
            "`workloads[0].sample`: Input should be a valid boolean (got 'maybe')",
        ),
        (
            "name: y, dtype: float32, shape: [rows, cols]",
            "name: y, dtype: float32, shape: [rows, colz]",
            "{name: y",
            "shape of 'y' names the undeclared dim 'colz'; declared: rows, cols",
        ),
        ("dtype: float32", "dtype: float31", "{name: x", "`operator.inputs[0].dtype`: Input"),
        (
            "shape: [rows, cols]",
            "shape: [rows, 0]",
            "{name: x",
            "`operator.inputs[0].shape[1]`: a size must be positive, not 0",
        ),
        (
            "dims: {rows: 512, cols: 1024}",
            "dims: {rows: 512}",
            "{name: large",
            "workload 'large' does not set the dim 'cols'",
        ),
        (
            "dims: {rows: 512, cols: 1024}",
            "dims: {rows: 512, cols: 1024, deep: 1}",
            "{name: large",
            "`workloads[1].dims.deep`: workload 'large' sets the undeclared dim 'deep'",
        ),
        ("name: large", "name: tiny", "{name: large", "workload 'tiny' is declared twice"),
        ("flops: 2 * rows", "flops: 2 * rwos", "flops:", "`cost.flops`: cost.flops: '2 * rwos * c"),
        ("version: 1.0.0", "version: 1.0", "version: 1", "`version`: Input should be a valid str"),
        ("name: eps", "name: lambda", "{name: eps", "'lambda' is a word of Python"),
        ("name: x,", "name: double,", "{name: x", "'double' is a word of C++"),
        (
            "eps, type: float",
            "eps, type: int",
            "{name: eps",
            "`operator.attributes[0].default`: 'eps' is an",
        ),
        ("license: Apache-2.0\n", "", "problem_format", "the key `license` is missing"),
        (
            "cols: 1024}, timed",
            "cols: 1024}, hidden: true, timed",
            "workloads:",
            "at least one `timed` workload must not be `hidden`",
        ),
    ],
)
def test_faults_in_problem_yaml(root: Path, old: str, new: str, at: str, expected: str) -> None:
    message = complaint(write_package(root, (old, new)))
    assert f"row_scale/problem.yaml:{line_of(at)}: " in message
    assert expected in message


def test_an_int_attribute_of_a_workload_must_be_whole(root: Path) -> None:
    message = complaint(
        write_package(
            root,
            ("type: float, default: 1e-5", "type: int, default: 1"),
            ("cols: 3}", "cols: 3}, attributes: {eps: 1.5}"),
        )
    )
    assert "`workloads[0].attributes.eps`: 'eps' is an int, 1.5 is not" in message


def test_two_faults_are_both_told(root: Path) -> None:
    message = complaint(write_package(root, ("license:", "lisence:"), ("hidden:", "hiden:")))
    assert "did you mean `license`?" in message
    assert "did you mean `hidden`?" in message


# --- Python files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("reference.py", None, "row_scale/reference.py is missing"),
        ("reference.py", "def reference(x, eps:\n", "row_scale/reference.py:1: "),
        ("reference.py", "x = 1\n", "does not define `reference`; add `def reference(x, eps):`"),
        ("reference.py", "class reference: ...\n", "does not define `reference`"),
        ("reference.py", "\ndef reference(x): ...\n", "reference.py:2: `reference` must take 2"),
        ("reference.py", "def reference(x, y, e): ...\n", "write `def reference(x, eps):`"),
        ("reference.py", "def reference(x, *, eps): ...\n", "must take 2 arguments"),
        ("reference.py", "def reference(x, eps, *, k): ...\n", "must take 2 arguments"),
        ("reference.py", "x = '\0'\n", "row_scale/reference.py"),
        ("reference.py", b"\xff", "row_scale/reference.py: not UTF-8 text"),
        (
            "baseline.py",
            BASELINE + "\n\ndef prepare(rows, cols): ...\n",
            "row_scale/baseline.py:9: `prepare` must take 3 arguments",
        ),
        ("baseline.py", "def sovle(x, y, eps): ...\n", "baseline.py: does not define `solve`"),
        ("baseline.py", "def solve(x, y): ...\n", "write `def solve(x, y, eps):`"),
        (
            "baseline.py",
            "#!OPJUDGE arrays=tensor\ndef solve(x, y, eps): ...\n",
            "row_scale/baseline.py: baseline.py:1: `arrays` cannot be `tensor`",
        ),
    ],
)
def test_faults_in_python_files(
    root: Path, path: str, source: str | bytes | None, expected: str
) -> None:
    assert expected in complaint(write_package(root, files={path: source}))


@pytest.mark.parametrize(
    "signature", ["(x, eps)", "(*args)", "(x, /, eps=0)", "(a, b, c=1)", "(x, *rest, k=1)"]
)
def test_signatures_that_can_take_the_call(root: Path, signature: str) -> None:
    source = f"def reference{signature}:\n    return None\n"
    assert load_package(write_package(root, files={"reference.py": source})).reference == source


def test_nothing_of_a_package_is_run(root: Path) -> None:
    bomb = "raise SystemExit('was run')\n" + REFERENCE
    assert load_package(write_package(root, files={"reference.py": bomb})).reference == bomb


class Tensor(list[float]):
    """Just enough of a tensor for a generated baseline."""

    def copy_(self, other: list[float]) -> None:
        self[:] = other


def test_the_generated_baseline_runs(root: Path) -> None:
    source = "def reference(x, eps):\n    return [v * eps for v in x]\n"
    package = load_package(write_package(root, files={"reference.py": source, "baseline.py": None}))
    assert package.baseline is None
    text = package.baseline_source()
    assert from_files([SourceFile(path="b.py", content=text.encode())]).directives["arrays"]
    names: dict[str, object] = {}
    exec(text, names)
    x, y = Tensor([1, 2]), Tensor([0, 0])
    names["solve"](x, y, 3)  # type: ignore[operator]
    assert (x, y) == ([1, 2], [3, 6])


def test_the_generated_baseline_with_two_outputs(root: Path) -> None:
    source = "def reference(x, eps):\n    return x, [v * eps for v in x]\n"
    outputs = "outputs:\n    - {name: z, dtype: float32, shape: [rows]}\n"
    package = load_package(
        write_package(
            root,
            ("outputs:\n", outputs),
            files={"reference.py": source, "baseline.py": None},
        )
    )
    names: dict[str, object] = {}
    exec(package.baseline_source(), names)
    z, y = Tensor(), Tensor()
    names["solve"]([1, 2], z, y, 3)  # type: ignore[operator]
    assert (z, y) == ([1, 2], [3, 6])


# --- files and folders --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("statements/problem.en.md", "unknown folder; did you mean `statement`?"),
        ("submission/accepted/a.py", "unknown folder; did you mean `submissions`?"),
        ("refrence.py", "unknown file; did you mean `reference.py`?"),
        ("problem.yml", "unknown file; did you mean `problem.yaml`?"),
        (
            "statement/problem.de.md",
            "statement/problem.de.md: unknown file; did you mean `problem.",
        ),
        ("statement/figure.png", "pictures go to attachments/"),
        ("attachments/a\nb", "contains control"),
    ],
)
def test_unknown_names(root: Path, path: str, expected: str) -> None:
    assert expected in complaint(write_package(root, files={path: ""}))


@pytest.mark.parametrize("content", [None, "  \n"])
def test_an_english_statement_is_required(root: Path, content: str | None) -> None:
    message = complaint(write_package(root, files={"statement/problem.en.md": content}))
    assert "row_scale/statement/problem.en.md is missing or empty" in message


def test_problem_yaml_is_required(root: Path) -> None:
    message = complaint(write_package(root, files={"problem.yaml": None}))
    assert message == "row_scale/problem.yaml is missing"


@pytest.mark.parametrize("place", ["attachments/link", "submissions/accepted/link.py", "statement"])
def test_links_are_refused_everywhere(root: Path, tmp_path: Path, place: str) -> None:
    write_package(root)
    if place == "statement":
        (root / "statement").rename(tmp_path / "elsewhere")
        (root / place).symlink_to(tmp_path / "elsewhere")
    else:
        (root / place).symlink_to("/etc/passwd")
    message = complaint(root)
    assert place in message
    assert "symbolic link" in message or "unknown file" in message


def test_the_package_itself_may_not_be_a_link(root: Path, tmp_path: Path) -> None:
    write_package(tmp_path / "real")
    root.symlink_to(tmp_path / "real")
    assert "symbolic links are not followed" in complaint(root)


def test_special_files_are_refused_without_opening_them(root: Path) -> None:
    write_package(root)
    os.mkfifo(root / "attachments" / "pipe")
    assert "attachments/pipe is not a plain file" in complaint(root)


@pytest.mark.parametrize("slug", ["Row", "row-scale", "1row", "r" * 65, "行"])
def test_a_folder_name_that_is_no_slug(tmp_path: Path, slug: str) -> None:
    assert "the folder's name is its slug" in complaint(write_package(tmp_path / slug))


def test_no_folder(tmp_path: Path) -> None:
    assert "is not a folder" in complaint(tmp_path / "gone")


def test_a_relative_path_is_understood(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_package(root))
    assert load_package(Path(".")).slug == "row_scale"


def test_too_large(root: Path) -> None:
    write_package(root)
    with (root / "attachments" / "huge").open("wb") as stream:
        stream.truncate((64 << 20) + 1)  # sparse: it costs nothing unless somebody reads it
    assert "the limit is 67108864 bytes" in complaint(root)


# --- hash ---------------------------------------------------------------------------------


def test_the_hash_covers_content_and_names_but_not_submissions_or_litter(tmp_path: Path) -> None:
    def hashed(name: str, files: dict[str, str | bytes | None]) -> str:
        root = write_package(tmp_path / name / "row_scale", files=files)
        return load_package(root).hash

    usual = hashed("usual", {})
    same: list[dict[str, str | bytes | None]] = [
        {"submissions/accepted/more.py": "x"},
        {"__pycache__/reference.cpython-311.pyc": b"\0"},
        {".DS_Store": "x"},
    ]
    other: list[dict[str, str | bytes | None]] = [
        {"attachments/notes.txt": "nine\n"},
        {"attachments/notes.txt": None},
        {"attachments/notes.txt": None, "attachments/notes2.txt": "none\n"},
        {"attachments/empty": ""},
    ]
    assert {hashed(f"same{i}", files) for i, files in enumerate(same)} == {usual}
    assert len({usual, *(hashed(f"other{i}", files) for i, files in enumerate(other))}) == 5


# --- folders of packages ------------------------------------------------------------------


def test_load_all(tmp_path: Path) -> None:
    write_package(tmp_path / "b")
    write_package(tmp_path / "a", ("0c6dc0b5", "0c6dc0b6"))
    (tmp_path / "README.md").write_text("problems")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__pycache__").mkdir()
    assert list(load_all(tmp_path)) == ["a", "b"]


def test_load_all_refuses_a_copied_uuid(tmp_path: Path) -> None:
    write_package(tmp_path / "a")
    write_package(tmp_path / "b")
    with pytest.raises(ProblemError, match="b and a have the same uuid"):
        load_all(tmp_path)


def test_load_all_without_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="there is no problem folder"):
        load_all(tmp_path / "gone")


def test_bundled_problems_of_a_checkout() -> None:
    assert bundled_problems() == Path(__file__).parents[2] / "problems"


def test_bundled_problems_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "judge"
    here.mkdir()
    monkeypatch.setattr(package_module, "__file__", str(here / "package.py"))
    with pytest.raises(ProblemError, match="carries no problems"):
        bundled_problems()
    (tmp_path / "problems").mkdir()
    assert bundled_problems() == tmp_path / "problems"
    (here / "bundled_problems").mkdir()
    assert bundled_problems() == here / "bundled_problems"
