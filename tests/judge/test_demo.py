"""The demo's bookkeeping; the demo itself runs in tests/e2e."""

from pathlib import Path

import pytest

from judge.demo import NAMES, DemoOptions, Entry, make_entries
from judge.errors import UserError
from judge.package import Expectation, bundled_problems, expectations, load_all
from judge.verdict import Mode, Status, Verdict
from judge.wire import SubmissionDetail
from tests.fixtures import write_package
from tests.judge.samples import JUDGED, make_detail, make_timing


def entry(detail: SubmissionDetail | None, *permitted: Verdict) -> Entry:
    expectation = Expectation(
        path="accepted/s.py",
        files=Path("s.py"),
        permitted=frozenset(permitted or [Verdict.AC]),
        mode=Mode.RANKED,
        reason="",
        min_speedup=None,
        max_speedup=None,
    )
    return Entry("row_scale", "cpu", expectation, "ada", Path("home"), detail)


@pytest.mark.parametrize(
    ("detail", "permitted", "done", "complaint"),
    [
        (None, [Verdict.AC], False, ""),
        (make_timing(3), [Verdict.AC], False, ""),
        (JUDGED, [Verdict.AC], True, ""),
        (JUDGED, [Verdict.WA, Verdict.AC], True, ""),
        (JUDGED, [Verdict.WA, Verdict.TLE], True, "got AC, expected TLE or WA"),
        (make_detail(Status.CANCELLED), [Verdict.AC], True, "got None, expected AC"),
    ],
)
def test_a_verdict_is_compared_once_it_is_there(
    detail: SubmissionDetail | None, permitted: list[Verdict], done: bool, complaint: str
) -> None:
    made = entry(detail, *permitted)
    assert (made.done, made.complaint) == (done, complaint)


def test_every_example_of_every_problem_takes_part(tmp_path: Path) -> None:
    entries = make_entries(DemoOptions(), tmp_path)
    wanted = {
        (slug, expectation.path)
        for slug, package in load_all(bundled_problems()).items()
        for expectation in expectations(package)
    }
    assert {(e.problem, e.expectation.path) for e in entries} == wanted
    assert {e.user for e in entries} == set(NAMES)


def test_people_have_homes_of_their_own(tmp_path: Path) -> None:
    entries = make_entries(DemoOptions(problems=("row_softmax",)), tmp_path)
    assert len({e.home for e in entries}) == len({e.user for e in entries}) > 1
    assert all(e.home.is_relative_to(tmp_path) for e in entries)


def test_a_problem_without_examples_is_no_demo(tmp_path: Path) -> None:
    write_package(tmp_path / "p" / "row_scale", files={"submissions/accepted/torch_mul.py": None})
    with pytest.raises(UserError) as caught:
        make_entries(DemoOptions(problems_dir=tmp_path / "p"), tmp_path)
    assert caught.value.code == "no-examples"
