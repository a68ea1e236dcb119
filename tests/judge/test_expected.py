"""What example submissions must get: by folder, or as submissions.yaml says."""

from pathlib import Path

import pytest

from judge.errors import ProblemError
from judge.package import expectations, load_package
from judge.verdict import Mode, Verdict
from tests.fixtures import write_package

LISTING = "submissions/submissions.yaml"
CHEAT = "submissions/cheating/timer.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "row_scale"


def only(*verdicts: Verdict) -> frozenset[Verdict]:
    return frozenset(verdicts)


def complaint(root: Path) -> str:
    package = load_package(root)
    with pytest.raises(ProblemError) as caught:
        expectations(package)
    return caught.value.message


def test_defaults_by_folder(root: Path) -> None:
    write_package(
        root,
        files={
            "submissions/wrong_answer/zeros.py": "",
            "submissions/time_limit_exceeded/loop.py": "",
            "submissions/run_time_error/raise.cpp": "",
            "submissions/compile_error/brace/solve.cpp": "",
            "submissions/wrong_answer/__pycache__/zeros.pyc": "",
        },
    )
    found = {e.path: e for e in expectations(load_package(root))}
    assert {path: (e.permitted, e.mode) for path, e in found.items()} == {
        "accepted/torch_mul.py": (only(Verdict.AC), Mode.RANKED),
        "compile_error/brace": (only(Verdict.CE), Mode.TEST),
        "run_time_error/raise.cpp": (only(Verdict.RTE), Mode.TEST),
        "time_limit_exceeded/loop.py": (only(Verdict.TLE), Mode.TEST),
        "wrong_answer/zeros.py": (only(Verdict.WA), Mode.TEST),
    }
    one = found["compile_error/brace"]
    assert one.files == root / "submissions" / "compile_error" / "brace"
    assert (one.reason, one.min_speedup, one.max_speedup) == ("", None, None)


def test_an_entry_overrides(root: Path) -> None:
    listing = """\
accepted/torch_mul.py: {mode: test, min_speedup: 0.5, max_speedup: 2, reason: same call}
cheating/timer.py:
  permitted: [WA, SV]
  reason: patches the clock, which is not in its process
"""
    write_package(root, files={LISTING: listing, CHEAT: ""})
    accepted, cheat = expectations(load_package(root))
    assert (accepted.mode, accepted.min_speedup, accepted.max_speedup) == (Mode.TEST, 0.5, 2.0)
    assert accepted.permitted == {Verdict.AC}
    assert (cheat.permitted, cheat.mode) == (only(Verdict.WA, Verdict.SV), Mode.RANKED)
    assert cheat.reason.startswith("patches the clock")


def test_a_package_without_submissions_expects_nothing(root: Path) -> None:
    write_package(root, files={"submissions/accepted/torch_mul.py": None})
    assert expectations(load_package(root)) == ()


@pytest.mark.parametrize(
    "entry",
    ["", "cheating/timer.py: {permitted: [WA]}", "cheating/timer.py: {reason: patches the clock}"],
)
def test_a_cheat_needs_verdicts_and_a_reason(root: Path, entry: str) -> None:
    listing = f"accepted/torch_mul.py: {{}}\n{entry}\n"
    message = complaint(write_package(root, files={LISTING: listing, CHEAT: ""}))
    assert "`cheating/timer.py` is a cheat: give it an entry with `permitted`" in message


def test_a_cheat_without_any_listing(root: Path) -> None:
    assert "is a cheat" in complaint(write_package(root, files={CHEAT: ""}))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "accepted/torch_mull.py: {}",
            "there is no such submission; did you mean `accepted/torch_m",
        ),
        ("accepted/torch_mul.py: {permited: [AC]}", "unknown key; did you mean `permitted`?"),
        ("accepted/torch_mul.py: {permitted: AC}", "`accepted/torch_mul.py.permitted`: Input"),
        ("accepted/torch_mul.py: {permitted: [OK]}", "permitted[0]`: Input should be 'AC'"),
        ("accepted/torch_mul.py: {permitted: []}", "at least 1 item"),
        ("accepted/torch_mul.py: {mode: fast}", "Input should be 'test', 'benchmark' or 'ranked'"),
        ("accepted/torch_mul.py: {min_speedup: 0}", "greater than 0"),
        ("accepted/torch_mul.py: {min_speedup: 2, max_speedup: 1}", "is above max_speedup"),
        ("accepted/torch_mul.py: AC", "`accepted/torch_mul.py`: Input should be an object"),
    ],
)
def test_faults_in_the_listing(root: Path, entry: str, expected: str) -> None:
    message = complaint(write_package(root, files={LISTING: f"# first\n{entry}\n"}))
    assert message.startswith("row_scale/submissions/submissions.yaml:2: ")
    assert expected in message


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("submissions/acepted/a.py", "acepted: unknown name; did you mean `accepted`?"),
        ("submissions/submission.yaml", "unknown name; did you mean `submissions.yaml`?"),
        ("submissions/accepted", None),
        ("submissions/accepted/notes.txt", "accepted/notes.txt: not a submission"),
    ],
)
def test_unknown_names(root: Path, path: str, expected: str | None) -> None:
    usual = None if expected is None else "def solve(x, y, eps): ...\n"
    files = {"submissions/accepted/torch_mul.py": usual, path: ""}
    write_package(root, files=files)
    assert (expected or "submissions/accepted: unknown name") in complaint(root)
