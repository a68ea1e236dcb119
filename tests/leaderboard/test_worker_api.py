"""What workers may do, and what happens to those who come too late."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlmodel import select

from judge import wire
from judge.verdict import Language, Mode, Status, Verdict
from leaderboard.models import Judgement
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import API, PROBLEM, SOURCE, World, assert_problem, make_result

BUILDING = wire.Progress(status=Status.BUILDING)


def claim_by_id(world: World, claim: wire.Claim, device: str = "cpu") -> httpx2.Response:
    path = f"{API}/worker/judgements/{claim.judgement_id}/claim"
    body = {"worker": "w2", "device": device}
    return world.client.post(path, headers=world.worker_headers, json=body)


def released(world: World, claim: wire.Claim) -> wire.Claim:
    """Give a claim back, so that its successor waits; returns the old claim."""
    assert world.report(claim, "release", {"reason": "x"}).status_code == 200
    return claim


# --- claiming -----------------------------------------------------------------------------


def test_a_claim_carries_all_a_worker_needs(world: World) -> None:
    submission = world.submit(world.person("alice"), SOURCE, mode="benchmark")

    claim = world.claim()

    assert claim.submission_id == submission
    assert claim.problem == PROBLEM
    assert claim.package_hash == world.package.hash
    assert (claim.device, claim.mode) == ("cpu", Mode.BENCHMARK)
    assert claim.language is Language.PYTHON
    assert claim.files == (wire.SourceFile(path="solution.py", content=SOURCE),)
    assert claim.attempt == 1
    assert claim.lease_s == 30.0
    assert world.detail(submission).status is Status.BUILDING


def test_nothing_to_do_is_a_204_without_a_body(world: World) -> None:
    response = world.post_claim()

    assert response.status_code == 204
    assert response.content == b""


@pytest.mark.parametrize("device", ["npu", "", "x" * 1000, "\0"])
def test_no_work_for_a_device_no_problem_is_for(world: World, device: str) -> None:
    world.submit(world.person("alice"))

    assert world.post_claim(device=device).status_code == 204


def test_a_judgement_is_claimed_once(world: World) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()

    assert world.post_claim().status_code == 204
    assert_problem(claim_by_id(world, claim), 409, "already-claimed")


def test_a_judgement_is_claimed_by_its_id(world: World) -> None:
    alice = world.person("alice")
    world.submit(alice)
    second = world.submit(alice)
    with world.services.db.read() as session:
        waiting = session.exec(select(Judgement.id).where(Judgement.submission_id == second)).one()
    wanted = make_claim(world).model_copy(update={"judgement_id": waiting})

    response = claim_by_id(world, wanted)

    claim = wire.Claim.model_validate_json(response.content)
    assert (claim.judgement_id, claim.submission_id) == (waiting, second)
    assert world.finish(claim).status_code == 200


def test_an_unknown_judgement_is_a_404(world: World) -> None:
    unknown = make_claim(world)

    assert_problem(claim_by_id(world, unknown), 404, "unknown-judgement")
    for what, body in (
        ("heartbeat", None),
        ("progress", BUILDING),
        ("result", make_result("x", seed="00")),
        ("release", {"reason": "x"}),
    ):
        assert_problem(world.report(unknown, what, body), 404, "unknown-judgement")


def make_claim(world: World) -> wire.Claim:
    """A claim of something that never was."""
    return wire.Claim(
        judgement_id=uuid4(),
        submission_id=uuid4(),
        attempt=1,
        lease_token="never",
        lease_s=1,
        problem=PROBLEM,
        package_hash=world.package.hash,
        device="cpu",
        mode=Mode.TEST,
        language=Language.PYTHON,
        files=(),
    )


def test_a_worker_of_another_device_cannot_claim_by_id(world: World) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()

    assert_problem(claim_by_id(world, claim, "npu"), 409, "wrong-device")


# --- reporting ----------------------------------------------------------------------------


def test_a_heartbeat_keeps_a_judgement(world: World) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()

    for _ in range(5):
        world.clock.advance(20)
        response = world.report(claim, "heartbeat")
        assert wire.Heartbeat.model_validate_json(response.content).lease_s == 30.0
    assert world.finish(claim).status_code == 200


@pytest.mark.parametrize("what", ["heartbeat", "progress", "result", "release"])
def test_a_wrong_token_moves_nothing(world: World, what: str) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    claim = world.claim()
    bodies = {
        "progress": wire.Progress(status=Status.TIMING),
        "result": make_result(claim.package_hash, seed=claim.seed),
        "release": {"reason": "x"},
    }

    response = world.report(claim, what, bodies.get(what), token="wrong")

    assert_problem(response, 409, "lease-lost")
    assert world.detail(submission).status is Status.BUILDING
    assert world.finish(claim).status_code == 200


@pytest.mark.parametrize("what", ["heartbeat", "progress", "result", "release"])
def test_without_a_token_it_is_a_422(world: World, what: str) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()

    path = f"{API}/worker/judgements/{claim.judgement_id}/{what}"
    response = world.client.post(path, headers=world.worker_headers, json={"reason": "x"})

    assert_problem(response, 422, "invalid-request")


@pytest.mark.parametrize("status", [Status.QUEUED, Status.JUDGED, Status.CANCELLED])
def test_progress_cannot_end_or_requeue_a_judgement(world: World, status: Status) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()

    response = world.report(claim, "progress", wire.Progress(status=status))

    assert_problem(response, 422, "invalid-progress")


# --- results ------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.JE])
def test_a_result_ends_a_submission(world: World, verdict: Verdict) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)

    assert world.finish(world.claim(), verdict=verdict).status_code == 200

    detail = world.detail(submission, alice)
    assert (detail.status, detail.verdict) == (Status.JUDGED, verdict)
    assert detail.judged_at == world.clock.now
    assert world.post_claim().status_code == 204


def test_a_result_may_be_handed_in_again(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    claim = world.claim()

    first = world.finish(claim)
    before = world.detail(submission, alice)
    world.clock.advance(60)
    second = world.finish(claim, verdict=Verdict.WA)

    assert (first.status_code, second.status_code) == (200, 200)
    assert world.detail(submission, alice) == before, "the first one stays"


@pytest.mark.parametrize(
    "changes",
    [
        {"package_hash": "0" * 64},
        {"artifact_hash": "no hash"},
        {"artifact_hash": "a" * 129},
        {"artifact_hash": "\0"},
        {"score": wire.Interval(value=0.0, low=0.0, high=0.0)},
        {"score": wire.Interval(value=-1.0, low=-1.0, high=-1.0)},
        {"score": wire.Interval(value=1e300, low=1e300, high=1e300)},
        {"score": wire.Interval(value=2.0, low=3.0, high=4.0)},
        {"verdict": Verdict.WA, "score": wire.Interval(value=2.0, low=1.0, high=3.0)},
    ],
)
def test_a_result_that_cannot_be_is_refused(world: World, changes: dict[str, Any]) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    claim = world.claim()

    result = make_result(**{"package_hash": claim.package_hash, "seed": claim.seed, **changes})
    assert_problem(world.report(claim, "result", result), 422, "invalid-result")

    assert world.detail(submission).status is Status.BUILDING
    assert world.finish(claim).status_code == 200


@pytest.mark.parametrize("where", ["score", "weight", "latency", "elapsed"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_numbers_that_are_none_are_refused(world: World, where: str, number: str) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()
    text = make_result(claim.package_hash, seed=claim.seed).model_dump_json()
    old, new = {
        "score": ('"value":2.0,"low":1.9', f'"value":{number},"low":1.9'),
        "weight": ('"weight":1.0', f'"weight":{number}'),
        "latency": ('"latency_ns":1000000.0', f'"latency_ns":{number}'),
        "elapsed": ('"elapsed_s":1.5', f'"elapsed_s":{number}'),
    }[where]
    assert old in text

    headers = {
        **world.worker_headers,
        "Lease-Token": claim.lease_token,
        "Content-Type": "application/json",
    }
    path = f"{API}/worker/judgements/{claim.judgement_id}/result"
    response = world.client.post(path, headers=headers, content=text.replace(old, new))

    assert_problem(response, 422, "invalid-result")
    assert world.get("/submissions").status_code == 200
    assert world.get(f"/submissions/{claim.submission_id}").status_code == 200
    assert world.get(f"/standings/{PROBLEM}/cpu").status_code == 200


def test_text_of_all_kinds_survives(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    text = "nul \0, 错误, \x1b[31m, \u2028, \U0001f600"

    world.finish(world.claim(worker=text), log=text, message=text)

    result = world.detail(submission, alice).result
    assert result is not None
    assert (result.log, result.message) == (text, text)


def test_a_large_result_is_taken_and_a_huge_one_is_not(make_world: MakeWorld) -> None:
    world = make_world(max_result_bytes=3 << 20)
    world.submit(world.person("alice"))
    claim = world.claim()

    huge = make_result(claim.package_hash, log="x" * (3 << 20))
    assert_problem(world.report(claim, "result", huge), 413, "too-large")
    assert world.finish(claim, log="x" * (2 << 20)).status_code == 200


# --- failures of ours ---------------------------------------------------------------------


def test_a_judging_error_is_tried_again_and_says_so(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)

    assert world.finish(world.claim(), verdict=Verdict.JE, message="no GPU").status_code == 200

    detail = world.detail(submission, alice)
    assert (detail.status, detail.verdict, detail.attempt) == (Status.QUEUED, None, 2)
    assert detail.progress is not None
    assert "no GPU" in detail.progress.message
    assert "no fault" in detail.progress.message
    second = world.claim()
    assert second.attempt == 2
    assert world.finish(second).status_code == 200
    assert world.detail(submission).verdict is Verdict.AC


def test_three_judging_errors_end_it_visibly(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)

    for attempt in (1, 2, 3):
        claim = world.claim()
        assert claim.attempt == attempt
        world.finish(claim, verdict=Verdict.JE, message=f"failure {attempt}")

    detail = world.detail(submission, alice)
    assert (detail.status, detail.verdict) == (Status.JUDGED, Verdict.JE)
    assert detail.result is not None
    assert detail.result.message == "failure 3"
    assert world.post_claim().status_code == 204


def test_a_judging_error_may_be_handed_in_again(world: World) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()

    for _ in range(3):
        assert world.finish(claim, verdict=Verdict.JE).status_code == 200

    assert world.claim().attempt == 2


def test_released_work_goes_to_somebody_else(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    old = released(world, world.claim())

    assert_problem(world.finish(old), 409, "lease-lost")
    new = world.claim("w2")
    assert new.submission_id == submission
    assert new.judgement_id != old.judgement_id
    assert_problem(world.report(old, "heartbeat"), 409, "lease-lost")
    assert world.finish(new).status_code == 200


def test_releasing_twice_makes_one_attempt(world: World) -> None:
    world.submit(world.person("alice"))
    claim = released(world, world.claim())

    released(world, claim)

    assert world.claim().attempt == 2


def test_releases_for_failures_end_as_a_judging_error_with_the_reason(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)

    for _ in range(3):
        assert world.report(world.claim(), "release", {"reason": "no disk\0"}).status_code == 200

    detail = world.detail(submission, alice)
    assert detail.verdict is Verdict.JE
    assert detail.result is not None
    assert "3 times" in detail.result.message
    assert "no disk" in detail.result.message


def test_workers_that_are_stopped_use_up_no_attempts(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)

    for _ in range(6):
        world.report(world.claim(), "release", {"reason": "stopped", "stopping": True})

    assert world.detail(submission).status is Status.QUEUED
    assert world.finish(world.claim()).status_code == 200


def test_even_being_stopped_ends_some_time(world: World) -> None:
    submission = world.submit(world.person("alice"))

    for _ in range(20):
        world.report(world.claim(), "release", {"reason": "stopped", "stopping": True})

    assert world.detail(submission).verdict is Verdict.JE


def test_a_retry_keeps_its_place_in_the_queue(world: World) -> None:
    alice = world.person("alice")
    first, second = world.submit(alice), world.submit(alice)
    released(world, world.claim())

    assert world.detail(first).queue_position == 0
    assert world.detail(second).queue_position == 1
    assert world.claim().submission_id == first


# --- versions -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "1"])
def test_workers_of_versions_that_are_understood_go_on(world: World, version: str | None) -> None:
    """The first ones said none at all."""
    world.submit(world.person("alice"))
    headers = {**world.worker_headers, **({"Opjudge-Wire": version} if version else {})}
    body = {"worker": "old", "device": "cpu"}

    response = world.client.post(f"{API}/worker/claims", headers=headers, json=body)

    assert response.status_code == 200


@pytest.mark.parametrize(("version", "whom"), [("0", "worker"), ("99", "server")])
def test_other_versions_are_told_who_is_to_be_upgraded(
    world: World, version: str, whom: str
) -> None:
    submission = world.submit(world.person("alice"))
    headers = {**world.worker_headers, "Opjudge-Wire": version}
    body = {"worker": "w", "device": "cpu"}

    response = world.client.post(f"{API}/worker/claims", headers=headers, json=body)

    document = assert_problem(response, 426, "wire-version")
    assert f"upgrade opjudge on the {whom}" in document.detail
    assert world.detail(submission).status is Status.QUEUED
