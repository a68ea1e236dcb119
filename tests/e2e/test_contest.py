"""A contest from the outside: everything by the command line, on a running `opjudge up`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import BASELINE, SLOW, WRONG, Stack, running
from tests.judge.machinery import gone, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("contest")) as stack:
        stack.register()
        yield stack


def test_there_is_a_problem(stack: Stack) -> None:
    assert [p["slug"] for p in stack.json("problems")] == ["row_scale"]


def test_a_ranked_submission_is_accepted_and_on_the_board(stack: Stack) -> None:
    detail = stack.json("submit", stack.write(BASELINE), "--mode", "ranked")
    assert (detail["status"], detail["verdict"], detail["attempt"]) == ("judged", "AC", 1)
    assert detail["score"]["low"] <= detail["score"]["value"] <= detail["score"]["high"]
    entries = stack.json("leaderboard", "row_scale")["entries"]
    assert [e["name"] for e in entries if e["kind"] == "user"] == ["ada"]
    assert "ada" in stack.run("leaderboard", "row_scale")


def test_the_score_and_the_rank_can_be_checked_without_the_server(stack: Stack) -> None:
    submission = next(
        e["submission_id"]
        for e in stack.json("leaderboard", "row_scale")["entries"]
        if e["kind"] == "user"
    )
    record, keys, board = (str(stack.folder / name) for name in ("r.json", "k.json", "b.json"))
    stack.run("record", submission, "-o", record)
    stack.run("keys", "-o", keys)
    Path(board).write_text(stack.run("leaderboard", "row_scale", "--json"))

    found = stack.json("verify-record", record, "--key", keys, "--board", board)

    assert (found["ok"], found["rank"]) == (True, 1)
    outcomes = {check["name"]: check["outcome"] for check in found["checks"]}
    assert "disagrees" not in outcomes.values()
    assert outcomes["signature"] == "agrees"
    result = json.loads(Path(record).read_text())["record"]["result"]
    assert result["environment"]["peaks"]["gflops"] > 0
    assert 0 < result["roofline"] < 1.06
    recomputed = stack.json("admin", "recompute", "--data-dir", str(stack.folder / "data"))
    assert (recomputed["judgements"], recomputed["wrong"]) == (1, [])

    changed = Path(record).read_text().replace('"calls":', '"calls":1', 1)
    Path(record).write_text(changed)
    assert not stack.json("verify-record", record, "--key", keys, code=3)["ok"]


def test_a_wrong_answer_is_explained_and_not_ranked(stack: Stack) -> None:
    stack.register("grace")
    shown = stack.run("submit", stack.write(WRONG), "--mode", "test", user="grace", code=3)
    assert "WA wrong answer" in shown
    assert "expected" in shown
    entries = stack.json("leaderboard", "row_scale")["entries"]
    assert "grace" not in [e["name"] for e in entries]


def test_a_repeated_id_is_one_submission(stack: Stack) -> None:
    path = stack.write(BASELINE)
    argv = ["submit", path, "--mode", "test", "--id", "0b0e0c9e-7a53-4c67-9d8b-0123456789ab"]
    assert stack.json(*argv)["id"] == stack.json(*argv)["id"]
    ids = [item["id"] for item in stack.json("submissions", "--user", "ada")["items"]]
    assert len(ids) == len(set(ids))


def test_a_starter_compiles_and_is_wrong(stack: Stack) -> None:
    target = str(stack.folder / "starter.py")
    stack.run("init", "row_scale", "--output", target)
    assert stack.json("submit", target, "--mode", "test", code=3)["verdict"] == "RTE"


def test_the_same_file_is_judged_the_same_at_the_desk(stack: Stack) -> None:
    assert stack.json("test", stack.write(BASELINE))["verdict"] == "AC"
    assert stack.json("test", stack.write(WRONG), code=3)["verdict"] == "WA"


def test_a_cancelled_judging_ends_at_once_with_its_sandbox(stack: Stack) -> None:
    # After a first judging the template for warm starts is there, and it stays.
    assert stack.json("submit", stack.write(BASELINE), "--mode", "test")["verdict"] == "AC"
    worker = stack.child("worker")
    idle = {process.pid for process in worker.children(recursive=True)}
    submission = stack.submit(SLOW)
    stack.being_judged(submission)
    judging = [p.pid for p in worker.children(recursive=True) if p.pid not in idle]
    assert len(judging) >= 3, "a child and the sandboxes"
    assert stack.json("cancel", str(submission.id))["status"] == "cancelled"
    until(lambda: gone(judging), "the end of the judging")
    assert stack.json("submit", stack.write(BASELINE), "--mode", "test")["verdict"] == "AC"
    assert stack.look(submission).verdict is None


def test_a_stranger_may_not_cancel(stack: Stack) -> None:
    submission = stack.submit(BASELINE, "--mode", "test")
    stack.register("mallory")
    document = stack.json("cancel", str(submission.id), user="mallory", code=1)
    assert document["code"] == "not-yours"
    assert stack.judged(submission).verdict == "AC"


def test_a_second_one_on_the_same_data_is_refused(stack: Stack) -> None:
    data = str(stack.folder / "data")
    document = stack.json("up", "--data-dir", data, "--port", "0", code=1)
    assert document["code"] == "already-running"
    assert stack.url in document["detail"]


def test_a_taken_port_is_refused(stack: Stack, tmp_path: Path) -> None:
    port = stack.url.rpartition(":")[2]
    document = stack.json("up", "--data-dir", str(tmp_path), "--port", port, code=1)
    assert document["code"] == "port-taken"
