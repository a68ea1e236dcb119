"""The certificate in a package: whose it is, what it must say, what everybody may see of it."""

from pathlib import Path

import pytest

from judge.certified import GAP, certified, read_certificate, rules_hash, view, write_certificate
from judge.errors import ProblemError
from judge.package import Package, load_package, pack, pack_public
from judge.wire import Certificate, Trial
from tests.fixtures import PROBLEM_YAML, REFERENCE, write_package

TIMED = ("large", "secret")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_package(tmp_path / "row_scale")


def certificate(package: Package, gap: float | None = 10.0, **changes: object) -> Certificate:
    trials = tuple(
        Trial(workload=w.name, output="y", mutant="zeros", gate="y:element", margin=gap, gap=gap)
        for w in package.problem.workloads
        if w.timed
    )
    made = Certificate(
        package_hash=package.hash,
        rules_hash=rules_hash(package),
        gap=gap,
        honest={},
        trials=trials,
        complaints=(),
    )
    return made.model_copy(update=changes)


def test_what_was_written_is_read_and_changes_no_hash(root: Path) -> None:
    before = load_package(root)
    made = certificate(before)
    write_certificate(made, root)
    package = load_package(root)
    assert package.hash == before.hash
    assert certified(package) == made
    assert pack(package) == pack(before)
    assert pack_public(package) == pack_public(before)


def test_without_one_it_is_told_what_to_run(root: Path) -> None:
    package = load_package(root)
    with pytest.raises(ProblemError, match=f"no certificate.*opjudge problem verify {root}"):
        certified(package)
    assert certified(package, required=False) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("reference.py", REFERENCE + "# other\n"),
        ("problem.yaml", PROBLEM_YAML.replace("rows: 512", "rows: 511")),
    ],
)
def test_what_decides_about_right_and_wrong_makes_it_stale(
    root: Path, name: str, content: str
) -> None:
    write_certificate(certificate(load_package(root)), root)
    assert (root / name).read_text() != content
    (root / name).write_text(content)
    with pytest.raises(ProblemError, match="has changed since"):
        certified(load_package(root))
    assert certified(load_package(root), required=False) is None


def test_a_corrected_statement_leaves_it_good(root: Path) -> None:
    before = load_package(root)
    write_certificate(certificate(before), root)
    (root / "statement" / "problem.en.md").write_text("# Corrected\n")
    after = load_package(root)
    assert after.hash != before.hash
    assert certified(after) is not None


@pytest.mark.parametrize("required", [True, False])
def test_too_small_a_gap_is_refused_with_mutant_and_workload(root: Path, required: bool) -> None:
    package = load_package(root)
    write_certificate(certificate(package, gap=GAP / 2), root)
    with pytest.raises(ProblemError, match=r"'zeros' of 'y' on 'large' has a gap of 2") as caught:
        certified(package, required=required)
    assert caught.value.code == "not-certified"


def test_its_complaints_say_what_to_change(root: Path) -> None:
    package = load_package(root)
    told = certificate(package, gap=1.0, complaints=("mutant 'ones' passes; tighten it",) * 5)
    write_certificate(told, root)
    with pytest.raises(ProblemError, match=r"tighten it.*and 2 more. Then run: opjudge problem"):
        certified(package)


def test_an_output_that_was_not_tried_is_no_proof(root: Path) -> None:
    package = load_package(root)
    write_certificate(certificate(package, trials=()), root)
    with pytest.raises(ProblemError, match="no mutant of 'y' was tried on 'large'"):
        certified(package)


def test_a_damaged_file_is_told(root: Path) -> None:
    (root / "certificate.json").write_text('{"gap": 1}')
    with pytest.raises(ProblemError, match="cannot be read; have it made again"):
        read_certificate(root)


def test_a_folder_that_cannot_be_written_is_told(root: Path) -> None:
    with pytest.raises(ProblemError, match="cannot write"):
        write_certificate(certificate(load_package(root)), root / "nowhere")


def test_hidden_workloads_count_and_are_not_named(root: Path) -> None:
    package = load_package(root)
    shown = view(certificate(package), package)
    assert shown.tried == sum(w.timed for w in package.problem.workloads)
    assert set(shown.workloads) == {
        w.name for w in package.problem.workloads if w.timed and not w.hidden
    }
    endless = tuple(
        t.model_copy(update={"gap": None, "margin": None}) for t in certificate(package).trials
    )
    far = view(certificate(package, trials=endless, gap=None), package)
    assert set(far.workloads.values()) == {None}
