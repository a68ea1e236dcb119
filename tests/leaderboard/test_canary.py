"""The canary: known programs are handed in, judged like anybody's, and a surprise is an alarm."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlmodel import select

from judge import wire
from judge.verdict import Verdict
from leaderboard import audit, boards, canary
from leaderboard.models import CanaryRun, Submission, User
from leaderboard.reconciler import reconcile
from tests.fixtures import BASELINE, write_package
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.test_operate import opjudge
from tests.leaderboard.world import API, PROBLEM, World, assert_problem

EVERY_S = 600.0
LISTING = """\
cheating/quick.py:
  permitted: [AC]
  mode: ranked
  max_speedup: 1.2
  reason: it scores what its honest path deserves
"""


@pytest.fixture
def attacked(make_world: MakeWorld, problems_dir: Path) -> World:
    """A service with a cheat, a wrong and an honest program in its only package."""
    files = {
        "submissions/cheating/quick.py": BASELINE,
        "submissions/wrong_answer/bug.py": BASELINE.replace("1 + eps", "2 + eps"),
        "submissions/submissions.yaml": LISTING,
    }
    write_package(problems_dir / PROBLEM, files=files)
    return make_world(canary_every_s=EVERY_S)


def turn(world: World, later_s: float = 0.0) -> None:
    reconcile(world.services, world.clock.advance(later_s))


def runs(world: World) -> list[CanaryRun]:
    with world.services.db.read() as session:
        return list(session.exec(select(CanaryRun).order_by("id")).all())


def started(world: World) -> None:
    """The first one is handed in."""
    turn(world)
    turn(world, EVERY_S)


def outcome(path: str) -> dict[str, Any]:
    """What a sound judge finds of the fixture's programs."""
    if path.startswith("wrong_answer"):
        return {"verdict": Verdict.WA, "score": None}
    return {"score": wire.Interval(value=1.0, low=0.99, high=1.01)}


def status(world: World) -> canary.CanaryStatus:
    return canary.CanaryStatus.model_validate_json(world.get("/canary").content)


def test_one_is_handed_in_now_and_then_and_never_two_at_once(attacked: World) -> None:
    turn(attacked)
    assert runs(attacked) == []
    turn(attacked, EVERY_S)
    assert len(runs(attacked)) == 1
    turn(attacked, 10 * EVERY_S)
    assert len(runs(attacked)) == 1, "the first one still waits"
    attacked.finish(attacked.claim(), **outcome(runs(attacked)[0].path))
    turn(attacked)
    assert len(runs(attacked)) == 2


def test_all_take_their_turn_and_as_expected_is_silent(attacked: World) -> None:
    started(attacked)
    for _ in range(3):
        attacked.finish(attacked.claim(), **outcome(runs(attacked)[-1].path))
        turn(attacked, EVERY_S)
    tried = runs(attacked)
    assert {run.path for run in tried[:3]} == {
        "accepted/torch_mul.py",
        "cheating/quick.py",
        "wrong_answer/bug.py",
    }
    assert tried[3].path == tried[0].path
    assert all(run.complaint == "" for run in tried)
    assert (status(attacked).attacks, status(attacked).succeeded) == (1, 0)
    assert (status(attacked).controls, status(attacked).surprises) == (2, 0)


SURPRISES: dict[str, tuple[dict[str, Any], str]] = {
    "cheating/quick.py": (
        {"score": wire.Interval(value=9.0, low=8.9, high=9.1)},
        "speed-up 9.000 is above the expected 1.2",
    ),
    "wrong_answer/bug.py": ({}, "got AC, expected WA"),
    "accepted/torch_mul.py": ({"verdict": Verdict.WA, "score": None}, "got WA, expected AC"),
}


@pytest.mark.parametrize("path", SURPRISES)
def test_a_surprise_raises_the_alarm(attacked: World, path: str) -> None:
    changes, told = SURPRISES[path]
    control = next(c for c in canary.controls(attacked.services) if c.expectation.path == path)
    canary.hand_in(attacked.services, control, attacked.clock())
    attacked.finish(attacked.claim(), **changes)
    with structlog.testing.capture_logs() as logs:
        canary.settle(attacked.services, attacked.clock.advance(1))
        canary.settle(attacked.services, attacked.clock())

    alarms = [line for line in logs if line["log_level"] == "error"]
    assert [told in line["complaint"] for line in alarms] == [True], "once, whoever looks"
    assert alarms[0]["path"] == path
    with attacked.services.db.read() as session:
        (entry,) = [e for e in audit.latest(session, 10) if e.action == "surprised"]
    assert entry.subject == f"{PROBLEM}/cpu/{path}"
    metrics = attacked.client.get(f"{API}/metrics").text
    assert 'opjudge_canary_surprises_total{device="cpu"} 1.0' in metrics
    assert status(attacked).surprises == 1
    assert status(attacked).succeeded == path.startswith("cheating")
    if path.startswith("cheating"):
        code, document = opjudge(attacked, "admin", "canary")
        assert code == 3
        assert told in document["surprises"][0]["complaint"]


def test_a_control_that_we_fail_to_judge_is_a_surprise_too(attacked: World) -> None:
    started(attacked)
    while (response := attacked.post_claim()).status_code == 200:
        claim = wire.Claim.model_validate_json(response.content)
        attacked.finish(claim, verdict=Verdict.JE, score=None, message="no sandbox")
    turn(attacked)
    assert "got JE" in runs(attacked)[0].complaint


def test_nobody_sees_them_and_they_are_on_no_board(attacked: World) -> None:
    alice = attacked.person("alice")
    control = next(c for c in canary.controls(attacked.services) if "torch" in c.expectation.path)
    submission = canary.hand_in(attacked.services, control, attacked.clock())
    claim = attacked.claim()
    assert claim.submission_id == submission
    attacked.finish(claim)

    assert attacked.get("/submissions").json()["items"] == []
    for path in (f"/submissions/{submission}", f"/submissions/{submission}/record"):
        assert_problem(attacked.get(path, alice), 404, "unknown-submission")
    assert attacked.board().solvers == 0
    services = attacked.services
    assert boards.rebuild_all(services.db, services.catalog, attacked.clock()) == []


def test_a_worker_cannot_tell_it_from_a_persons(attacked: World) -> None:
    alice = attacked.person("alice")
    control = next(c for c in canary.controls(attacked.services) if "torch" in c.expectation.path)
    canary.hand_in(attacked.services, control, attacked.clock())
    ours = attacked.claim().model_dump(mode="json")
    attacked.submit(alice, BASELINE.encode(), filename="torch_mul.py")
    theirs = attacked.claim().model_dump(mode="json")
    different = {key for key in ours if ours[key] != theirs[key]}
    assert different == {"judgement_id", "submission_id", "lease_token", "seed"}


def test_the_share_of_the_device_is_kept(attacked: World) -> None:
    started(attacked)
    claim = attacked.claim()
    attacked.clock.advance(100)  # more than 2 % of an hour
    attacked.finish(claim, **outcome(runs(attacked)[0].path))
    turn(attacked, EVERY_S)
    assert len(runs(attacked)) == 1
    turn(attacked, 3600)
    assert len(runs(attacked)) == 2


def test_switched_off_it_hands_nothing_in_but_still_looks(
    attacked: World, make_world: MakeWorld
) -> None:
    started(attacked)
    quiet = make_world(canary_every_s=0)
    quiet.finish(quiet.claim(), **outcome(runs(quiet)[0].path))
    turn(quiet, 100 * EVERY_S)
    assert [run.ended_at is not None for run in runs(quiet)] == [True]


def test_one_that_was_written_down_and_not_handed_in_holds_nothing_up(attacked: World) -> None:
    started(attacked)
    (run,) = runs(attacked)
    with attacked.services.db.write() as session:
        lost = session.get(CanaryRun, run.id)
        assert lost is not None
        lost.submission_id = lost.submission_id.__class__(int=1)
        session.add(lost)
    attacked.finish(attacked.claim())
    turn(attacked)
    assert runs(attacked)[0].ended_at is None
    turn(attacked, EVERY_S)
    assert runs(attacked)[0].complaint == "it was never handed in"


def test_the_name_is_nobodys_to_take(attacked: World) -> None:
    started(attacked)
    taken = attacked.client.post(
        f"{API}/users", json={"name": canary.NAME, "password": "correct horse"}
    )
    assert taken.status_code == 422
    with attacked.services.db.read() as session:
        user = session.exec(select(User).where(User.internal)).one()
        assert user.password_hash is None
        assert session.exec(select(Submission.user_id)).one() == user.id


def test_the_operator_can_hand_in_all_of_them_now(attacked: World) -> None:
    code, document = opjudge(attacked, "admin", "canary", "--now")
    assert (code, document["handed_in"], document["surprises"]) == (0, 3, [])
    assert len(runs(attacked)) == 3
    with attacked.services.db.read() as session:
        assert audit.latest(session, 1)[0].detail == "3 known programs"


def test_the_board_says_when_it_was_last_attacked(attacked: World) -> None:
    page = f"/boards/{PROBLEM}/cpu"
    assert "last attacked" not in attacked.client.get(page).text
    control = next(c for c in canary.controls(attacked.services) if "quick" in c.expectation.path)
    canary.hand_in(attacked.services, control, attacked.clock())
    attacked.finish(attacked.claim(), **outcome("cheating/quick.py"))
    canary.settle(attacked.services, attacked.clock.advance(5))
    text = attacked.client.get(page).text
    assert "last attacked" in text
    assert "0 of 1 succeeded within a day" in text
    attacked.clock.now += timedelta(days=2)
    assert status(attacked).attacks == 0
    assert status(attacked).last_attacked_at is not None
