"""The operator's commands, as they are typed, and what they leave behind."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import select

from judge.verdict import Mode, Status, Verdict
from leaderboard import audit
from leaderboard.models import AuditEntry, Judgement, Run, Standing, Submission
from leaderboard.pruning import prune
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.test_boards import rows, shown
from tests.leaderboard.world import API, PASSWORD, World


def opjudge(world: World, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON document of a command, in another process."""
    settings = world.services.settings
    environment = {
        **os.environ,
        "OPJUDGE_DATA_DIR": str(settings.data_dir),
        "OPJUDGE_DATABASE_URL": settings.database,
        "OPJUDGE_PROBLEMS_DIR": str(settings.problems_dir),
        "OPJUDGE_REQUIRE_CERTIFICATE": "false",
    }
    command = [sys.executable, "-m", "judge.cli", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def trail(world: World) -> list[tuple[str, str, str]]:
    """Oldest first."""
    with world.services.db.read() as session:
        return [(e.actor, e.action, e.subject) for e in reversed(audit.latest(session, 100))]


def samples(world: World) -> dict[str, int]:
    """How many runs still have raw times, by verdict and mode of their judgement."""
    with world.services.db.read() as session:
        found = session.exec(
            select(Run, Judgement, Submission)
            .where(Run.judgement_id == Judgement.id)
            .where(Judgement.submission_id == Submission.id)
        ).all()
    kept: dict[str, int] = {}
    for run, judgement, submission in found:
        key = f"{judgement.verdict} {submission.mode.value} {judgement.is_current}"
        kept[key] = kept.get(key, 0) + (run.samples != "[[], []]")
    return kept


def test_backup_and_restore_as_commands(world: World, tmp_path: Path) -> None:
    world.judge(world.person("alice"), 2.0)
    file = tmp_path / "backup.zip"

    code, told = opjudge(world, "backup", str(file))
    assert (code, told["bytes"]) == (0, file.stat().st_size)
    assert told["rows"] > 5

    code, told = opjudge(world, "backup", str(file))
    assert (code, told["code"]) == (1, "file-exists")
    code, told = opjudge(world, "restore", str(file))
    assert (code, told["code"]) == (1, "database-not-empty")
    code, told = opjudge(world, "restore", str(tmp_path / "none.zip"))
    assert code == 1
    assert "none.zip" in told["detail"]


def test_rebuild_says_what_was_wrong_and_mends_it(world: World) -> None:
    world.judge(world.person("alice"), 2.0)
    good = rows(world)
    with world.services.db.write() as session:
        for row in session.exec(select(Standing)):
            row.score = 9.0

    assert opjudge(world, "admin", "rebuild") == (0, {"boards": 1, "different": ["row_scale/cpu"]})
    assert rows(world) == good
    assert opjudge(world, "admin", "rebuild") == (0, {"boards": 1, "different": []})
    assert trail(world)[-1][1] == "rebuilt"
    assert trail(world)[-1][0].startswith("operator:")


def furnish(world: World) -> None:
    """A score, a refusal, an unranked success, a failed attempt; all a hundred days old."""
    alice = world.person("alice")
    world.judge(alice, 2.0)
    for mode, verdict in ((Mode.RANKED, Verdict.WA), (Mode.TEST, Verdict.AC)):
        world.submit(alice, mode=mode.value)
        world.finish(world.claim(), verdict=verdict)
    world.submit(alice)
    world.finish(world.claim(), verdict=Verdict.JE)
    world.finish(world.claim())
    world.clock.advance(100 * 86400)


def test_pruning_keeps_what_scores_were_made_from(world: World) -> None:
    furnish(world)
    before = samples(world)
    board = shown(world, 200)
    services = world.services
    cutoff = world.clock.now - timedelta(days=90)

    would = prune(services, cutoff, "operator:test", dry_run=True)
    assert samples(world) == before, "a dry run changes nothing"
    pruned = prune(services, cutoff, "operator:test", dry_run=False)

    assert pruned == would
    assert pruned.samples == 3
    after = samples(world)
    assert after["AC ranked True"] == before["AC ranked True"] > 0
    assert after["WA ranked True"] == after["AC test True"] == after["JE ranked False"] == 0
    assert before["WA ranked True"] > 0, "there was something to give up"
    assert shown(world, 200) == board
    assert prune(services, cutoff, "operator:test", dry_run=False).samples == 0


def test_pruning_leaves_the_young_alone(world: World) -> None:
    furnish(world)
    before = samples(world)

    cutoff = world.clock.now - timedelta(days=101)
    assert prune(world.services, cutoff, "operator:test", dry_run=False).samples == 0
    assert samples(world) == before


def test_pruning_gives_up_expired_tokens_and_unused_packages(make_world: MakeWorld) -> None:
    world = make_world()
    alice = world.person("alice")
    packages = world.services.settings.packages_dir
    needed = {path.name for path in packages.iterdir()}
    for name in (f"{'0' * 64}.zip", f"{'0' * 64}.public.zip"):
        (packages / name).write_bytes(b"of no use")
    world.clock.advance(400 * 86400)

    pruned = prune(world.services, world.clock.now, "operator:test", dry_run=False)

    assert (pruned.tokens, pruned.packages) == (1, 1)
    assert {path.name for path in packages.iterdir()} == needed
    assert world.get("/me", alice).json()["code"] == "invalid-token"
    assert world.post_claim().status_code == 204, "the worker's token has no end"


def test_the_trail_names_who_did_what(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    world.cancel(submission, alice)
    world.client.delete(f"{API}/tokens/current", headers=alice.headers)

    assert trail(world) == [
        ("worker", "worker-admitted", ""),
        ("alice", "registered", ""),
        ("alice", "logged-in", ""),
        ("alice", "cancelled", str(submission)),
        ("alice", "logged-out", ""),
    ]
    code, lines = opjudge(world, "admin", "audit", "--limit", "2")
    assert (code, [line["action"] for line in lines]) == (0, ["logged-out", "cancelled"])


def test_what_was_refused_is_not_on_the_trail(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    submission = world.submit(alice)
    before = trail(world)

    assert world.cancel(submission, bob).status_code == 403
    again = world.client.post(f"{API}/users", json={"name": "alice", "password": "long enough"})
    assert again.status_code == 409
    assert trail(world) == before


def test_a_restart_admits_nobody_anew(make_world: MakeWorld) -> None:
    make_world()
    world = make_world()

    assert [action for _, action, _ in trail(world)] == ["worker-admitted"]
    with world.services.db.read() as session:
        assert len(session.exec(select(AuditEntry)).all()) == 1


def users(world: World) -> list[str]:
    return [entry.name for entry in world.board().entries if entry.kind == "user"]


def test_rejudging_makes_a_new_judgement_and_keeps_the_old_one(world: World) -> None:
    alice = world.person("alice")
    submission = world.judge(alice, 2.0)
    other = world.submit(alice)
    world.cancel(other, alice)

    assert opjudge(world, "admin", "rejudge", str(submission), str(other))[0] == 0

    assert world.detail(submission).status is Status.QUEUED
    assert users(world) == [], "until it is judged again it counts nowhere"
    claims = [world.claim(), world.claim()]
    assert {(c.submission_id, c.attempt) for c in claims} == {(submission, 2), (other, 2)}
    for claim in claims:
        assert world.finish(claim, artifact_hash=claim.submission_id.hex).status_code == 200
    assert world.detail(submission).attempt == 2
    assert users(world) == ["alice"]
    assert world.get(f"/submissions/{submission}/record", attempt=1).status_code == 200
    subjects = [subject for _, action, subject in trail(world) if action == "rejudged"]
    assert subjects == [str(submission), str(other)]


def test_failures_are_counted_anew_after_a_rejudging(world: World) -> None:
    submission = world.submit(world.person("alice"))
    for _ in range(3):
        world.report(world.claim(), "release", {"reason": "the device is gone"})
    assert world.detail(submission).verdict is Verdict.JE

    assert opjudge(world, "admin", "rejudge", str(submission))[0] == 0

    world.report(world.claim(), "release", {"reason": "still gone"})
    assert world.finish(world.claim()).status_code == 200
    detail = world.detail(submission)
    assert (detail.verdict, detail.attempt) == (Verdict.AC, 5)


def test_a_list_with_a_mistake_rejudges_nothing(world: World) -> None:
    alice = world.person("alice")
    judged, waiting = world.judge(alice, 2.0), world.submit(alice)

    code, error = opjudge(world, "admin", "rejudge", str(judged), str(waiting))
    assert (code, error["code"]) == (1, "not-final")
    assert str(waiting) in error["detail"]
    code, error = opjudge(world, "admin", "rejudge", str(judged), str(uuid4()))
    assert (code, error["code"]) == (1, "unknown-submission")

    assert world.detail(judged).verdict is Verdict.AC


def test_a_new_password_ends_every_session_and_nobody_elses(world: World) -> None:
    ada, eve = world.person("Ada"), world.person("eve")
    code, told = opjudge(world, "admin", "password", "ada")
    assert (code, told["tokens_ended"]) == (0, 1)

    assert world.post_submission(ada).status_code == 401
    assert world.post_submission(eve).status_code == 201
    for password, status in ((PASSWORD, 401), (told["password"], 201)):
        credentials = {"name": "ada", "password": password}
        assert world.client.post(f"{API}/tokens", json=credentials).status_code == status
    assert ("password-set", "Ada") in [(action, subject) for _, action, subject in trail(world)]


def test_a_given_password_is_not_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.person("ada")
    monkeypatch.setenv("OPJUDGE_PASSWORD", "another battery staple")
    assert opjudge(world, "admin", "password", "ada")[1]["password"] is None
    credentials = {"name": "ada", "password": "another battery staple"}
    assert world.client.post(f"{API}/tokens", json=credentials).status_code == 201
    monkeypatch.setenv("OPJUDGE_PASSWORD", "short")
    code, told = opjudge(world, "admin", "password", "ada")
    assert (code, told["code"]) == (1, "bad-password")


def test_only_people_have_passwords(world: World) -> None:
    for name in ("nobody", "worker"):
        code, told = opjudge(world, "admin", "password", name)
        assert (code, told["code"]) == (1, "unknown-user")
    world.submit(world.person("ada"))
    assert world.claim(), "and the workers' token is as good as before"
