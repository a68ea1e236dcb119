"""Records over HTTP: the seed is fixed before, hidden while it matters, and proved afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, update

from judge.recheck import recheck
from judge.record import commitment_to
from judge.verdict import Status, Verdict
from judge.wire import CpuUse, JudgementResult
from leaderboard.models import Run
from leaderboard.recompute import recompute
from tests.fixtures import write_package
from tests.judge import recorded
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import API, PROBLEM, World, assert_problem, make_result

LARGE: dict[str, Any] = {"dims": {"rows": 512, "cols": 1024}, "attributes": {"eps": 1e-5}}
SECRET: dict[str, Any] = {"dims": {"rows": 509, "cols": 1021}, "attributes": {"eps": 1e-5}}


def measured(package_hash: str, seed: str, *, hidden: bool = True) -> JudgementResult:
    """A result whose score follows from its samples, on the workloads of the package."""
    runs = [recorded.make_run("large", factor=2.0).model_copy(update=LARGE)]
    if hidden:
        secret = recorded.make_run("secret", factor=1.5, rounds=45, hidden=True)
        runs.append(secret.model_copy(update=SECRET))
    changes = {"package_hash": package_hash, "seed": seed, "artifact_hash": "ef" * 32}
    return recorded.make_result(*runs).model_copy(update=changes)


def judged(world: World, *, hidden: bool = True) -> tuple[str, str]:
    """A submission that was judged, and its seed."""
    submission = world.submit(world.person("ada"))
    claim = world.claim()
    result = measured(claim.package_hash, claim.seed, hidden=hidden)
    assert world.report(claim, "result", result).status_code == 200
    return str(submission), claim.seed


def fetched(world: World, folder: Path, submission: str) -> Path:
    """The record as a file, with the keys beside it."""
    record = world.get(f"/submissions/{submission}/record")
    assert record.status_code == 200, record.text
    (folder / "keys.json").write_bytes(world.get("/keys").content)
    path = folder / "record.json"
    path.write_bytes(record.content)
    return path


def test_the_seed_is_committed_to_when_judging_begins_and_shown_at_once(world: World) -> None:
    ada = world.person("ada")
    submission = world.submit(ada)
    assert world.detail(submission).commitment is None

    claim = world.claim()

    shown = world.detail(submission)
    assert shown.commitment == commitment_to(claim.seed)
    assert shown.commitment in world.client.get(f"/submissions/{submission}").text
    assert claim.seed not in world.get(f"/submissions/{submission}").text


def test_every_attempt_has_a_seed_of_its_own(world: World) -> None:
    world.submit(world.person("ada"))
    first = world.claim()
    assert world.report(first, "release", {"reason": "r"}).status_code == 200
    assert world.claim().seed != first.seed


def test_a_result_from_another_seed_is_refused(world: World) -> None:
    world.submit(world.person("ada"))
    claim = world.claim()
    result = make_result(claim.package_hash, seed="00" * 32)
    answer = world.report(claim, "result", result)
    assert "seed" in assert_problem(answer, 422, "invalid-result").detail
    assert world.finish(claim).status_code == 200


def test_a_result_without_the_seed_is_refused_and_says_what_is_missing(world: World) -> None:
    submission = world.submit(world.person("ada"))
    claim = world.claim()
    answer = world.report(claim, "result", make_result(claim.package_hash, seed=""))
    assert "seed that came with the claim" in assert_problem(answer, 422, "no-seed").detail
    assert world.detail(submission).status is Status.BUILDING
    nothing_ran = make_result(claim.package_hash, verdict=Verdict.CE, runs=(), seed="")
    assert world.report(claim, "result", nothing_ran).status_code == 200


def test_what_is_no_seed_is_refused(world: World) -> None:
    world.submit(world.person("ada"))
    claim = world.claim()
    answer = world.report(claim, "result", make_result(claim.package_hash, seed="no hex"))
    assert_problem(answer, 422, "invalid-result")


def test_a_public_record_verifies_and_tells_nothing_hidden(world: World, tmp_path: Path) -> None:
    submission, seed = judged(world)
    path = fetched(world, tmp_path, submission)

    found = recheck(path, tmp_path / "keys.json")

    assert found.ok, found
    record = json.loads(path.read_text())["record"]
    assert record["view"] == "public"
    assert len(record["full_sha256"]) == 64
    run = record["result"]["runs"][1]
    assert (run["workload"], run["dims"], run["attributes"]) == ("hidden-2", {}, {})
    assert seed not in path.read_text()
    page = world.client.get(f"/submissions/{submission}")
    assert seed not in page.text
    assert f"/submissions/{submission}/record" in page.text
    assert seed not in world.get(f"/submissions/{submission}").text


def test_a_judging_without_hidden_workloads_reveals_its_seed(world: World, tmp_path: Path) -> None:
    submission, seed = judged(world, hidden=False)
    path = fetched(world, tmp_path, submission)

    found = recheck(path, tmp_path / "keys.json")

    assert {check.outcome for check in found.checks} == {"agrees"}
    assert json.loads(path.read_text())["record"]["result"]["seed"] == seed
    assert seed in world.client.get(f"/submissions/{submission}").text


def test_seed_and_workloads_are_revealed_once_the_author_publishes_them(
    make_world: MakeWorld, problems_dir: Path, tmp_path: Path
) -> None:
    before = make_world()
    submission, seed = judged(before)
    earlier = fetched(before, tmp_path, submission).rename(tmp_path / "earlier.json")
    key = before.get("/keys").json()
    write_package(problems_dir / PROBLEM, ("hidden: true, timed", "timed"))

    path = fetched(make_world(), tmp_path, submission)

    found = recheck(path, tmp_path / "keys.json", earlier=earlier)
    assert {check.outcome for check in found.checks} == {"agrees"}, found
    assert json.loads((tmp_path / "keys.json").read_text()) == key
    result = json.loads(path.read_text())["record"]["result"]
    assert result["seed"] == seed
    assert result["runs"][1]["workload"] == "secret"


@pytest.mark.parametrize("edit", ["rows: 509", "name: secret"])
def test_another_workload_under_the_same_name_or_shape_reveals_nothing(
    make_world: MakeWorld, problems_dir: Path, tmp_path: Path, edit: str
) -> None:
    submission, seed = judged(make_world())
    write_package(
        problems_dir / PROBLEM, ("hidden: true, timed", "timed"), (edit, edit.replace("5", "4")
        if "5" in edit else "name: open")
    )  # fmt: skip
    assert seed not in fetched(make_world(), tmp_path, submission).read_text()


def test_a_problem_taken_off_the_list_reveals_nothing(
    make_world: MakeWorld, problems_dir: Path, tmp_path: Path
) -> None:
    submission, seed = judged(make_world())
    (problems_dir / PROBLEM).rename(tmp_path / "gone")
    assert seed not in fetched(make_world(), tmp_path, submission).read_text()


def test_there_is_no_record_of_what_is_not_judged(world: World) -> None:
    submission = world.submit(world.person("ada"))
    assert_problem(world.get(f"/submissions/{submission}/record"), 409, "not-judged")
    unknown = "00000000-0000-4000-8000-000000000000"
    assert_problem(world.get(f"/submissions/{unknown}/record"), 404, "unknown-submission")
    assert_problem(world.get(f"/submissions/{submission}/record", attempt=2), 404,
                   "unknown-submission")  # fmt: skip


def test_the_rank_can_be_computed_from_the_exported_board(world: World, tmp_path: Path) -> None:
    world.judge(world.person("eve"), 5.0)
    submission, _ = judged(world)
    world.judge(world.person("bob"), 1.01)
    board = tmp_path / "board.json"
    board.write_bytes(world.get(f"/standings/{PROBLEM}/cpu").content)

    found = recheck(fetched(world, tmp_path, submission), tmp_path / "keys.json", board)

    assert found.ok, found
    assert found.rank == 2


def test_the_page_serves_the_same_record(world: World, tmp_path: Path) -> None:
    submission, _ = judged(world)
    answer = world.client.get(f"/submissions/{submission}/record")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.json() == world.client.get(f"{API}/submissions/{submission}/record").json()


def test_what_is_in_quarantine_is_never_ranked_and_tells_no_hidden_name(
    world: World, tmp_path: Path
) -> None:
    submission = world.submit(world.person("ada"))
    claim = world.claim()
    result = measured(claim.package_hash, claim.seed)
    ranked = result.model_copy(update={"quarantine": ("secret",)})
    assert_problem(world.report(claim, "result", ranked), 422, "invalid-result")

    held = ranked.model_copy(update={"score": None})
    assert world.report(claim, "result", held).status_code == 200

    assert [entry.kind for entry in world.board().entries] == ["baseline"]
    detail = world.detail(submission)
    assert (detail.verdict, detail.score) == ("AC", None)
    assert detail.result is not None
    assert detail.result.quarantine == ("hidden-2",)
    page = world.client.get(f"/submissions/{submission}").text
    assert "Not ranked until an organizer has looked: hidden-2" in page
    path = fetched(world, tmp_path, str(submission))
    assert recheck(path, tmp_path / "keys.json").ok
    assert json.loads(path.read_text())["record"]["result"]["quarantine"] == ["hidden-2"]


def test_a_page_tells_what_was_counted_and_who_did_more_than_the_clock_saw(world: World) -> None:
    submission = world.submit(world.person("ada"))
    claim = world.claim()
    use = CpuUse(inside_ns=1_500_000_000, outside_ns=0, charged_ns=1_600_000_000)
    result = measured(claim.package_hash, claim.seed).model_copy(update={"cpu": use})
    assert world.report(claim, "result", result).status_code == 200
    page = world.client.get(f"/submissions/{submission}").text
    assert "1.50\N{NO-BREAK SPACE}s in its calls, 0\N{NO-BREAK SPACE}ns outside" in page
    assert "instructions" not in page

    beyond = world.submit(world.person("eve"))
    claim = world.claim()
    use = CpuUse(inside_ns=1, outside_ns=10**9, charged_ns=1, instructions=3000, cycles=2000)
    result = measured(claim.package_hash, claim.seed)
    changes = {"cpu": use, "score": None, "quarantine": ("secret",)}
    assert world.report(claim, "result", result.model_copy(update=changes)).status_code == 200
    page = world.client.get(f"/submissions/{beyond}").text
    assert "the program did more than its clock has seen" in page
    assert "hidden-2" not in page.partition("</section>")[0]
    assert "3,000 instructions in 2,000 cycles" in page


def test_recompute_finds_the_one_score_that_was_touched(world: World) -> None:
    submission, _ = judged(world)
    db = world.services.db
    good = recompute(db)
    assert (good.judgements, good.wrong) == (1, ())

    with db.write() as session:
        touched = json.dumps([[10] * 30, [20] * 30])
        session.exec(update(Run).where(col(Run.workload) == "large").values(samples=touched))

    bad = recompute(db)
    assert [str(wrong.submission_id) for wrong in bad.wrong] == [submission]
    assert any("large" in fault for fault in bad.wrong[0].faults)
    assert recompute(db, "another").judgements == 0
