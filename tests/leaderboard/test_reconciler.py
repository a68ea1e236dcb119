"""What the reconciler puts right."""

import threading
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from structlog.testing import capture_logs

from judge.verdict import Status, Verdict
from leaderboard import audit
from leaderboard.app import start
from leaderboard.reconciler import Reconciler, reconcile
from leaderboard.services import Services, build
from leaderboard.settings import Settings
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import Clock, World, assert_problem


def tick(world: World, seconds: float) -> None:
    reconcile(world.services, world.clock.advance(seconds))


def test_a_silent_workers_judgement_goes_to_another(world: World) -> None:
    submission = world.submit(world.person("alice"))
    old = world.claim("w1")

    tick(world, 29)
    assert world.post_claim("w2").status_code == 204
    tick(world, 2)
    new = world.claim("w2")

    assert (new.submission_id, new.attempt) == (submission, 2)
    assert_problem(world.finish(old), 409, "lease-lost")
    assert world.finish(new).status_code == 200
    assert world.detail(submission).attempt == 2


def test_heartbeats_hold_the_reconciler_off(world: World) -> None:
    world.submit(world.person("alice"))
    claim = world.claim()

    for _ in range(4):
        world.report(claim, "heartbeat")
        tick(world, 25)

    assert world.finish(claim).status_code == 200


def test_poison_ends_after_two_workers(world: World) -> None:
    alice = world.person("alice")
    poison = world.submit(alice)
    for worker in ("w1", "w2"):
        assert world.claim(worker).submission_id == poison
        tick(world, 31)

    detail = world.detail(poison, alice)
    assert (detail.status, detail.verdict) == (Status.JUDGED, Verdict.JE)
    assert detail.result is not None
    assert "2 workers died" in detail.result.message
    assert world.post_claim("w3").status_code == 204


def test_operators_hear_of_poison(world: World) -> None:
    poison = world.submit(world.person("alice"))
    with capture_logs() as logged:
        for worker in ("w1", "w2"):
            world.claim(worker)
            tick(world, 31)

    (alarm,) = [entry for entry in logged if entry["log_level"] == "error"]
    assert alarm["event"].startswith("gave up judging")
    assert alarm["submission"] == str(poison)
    metrics = world.client.get("/metrics").text
    assert 'opjudge_submissions_given_up_total{device="cpu"} 1.0' in metrics
    with world.services.db.read() as session:
        (line,) = [e for e in audit.latest(session, 10) if e.action == "gave-up"]
    assert (line.actor, line.subject) == ("reconciler", str(poison))
    assert "2 workers died" in line.detail


def test_of_two_reconcilers_one_leads(world: World, make_world: MakeWorld) -> None:
    """On PostgreSQL; a second one on SQLite does no harm, nor does it here."""
    world.submit(world.person("alice"))
    world.claim()
    now = world.clock.advance(31)
    postgresql = world.services.db.engine.dialect.name == "postgresql"

    with make_world().services.db.leading() as leading:
        assert leading
        reconcile(world.services, now)
        assert world.post_claim().status_code == (204 if postgresql else 200)
    reconcile(world.services, now)
    assert world.post_claim().status_code == (200 if postgresql else 204)


def test_one_poisoned_submission_holds_nobody_up(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    poison, good = world.submit(alice), world.submit(bob)
    assert world.claim().submission_id == poison
    tick(world, 31)
    claims = [world.claim(), world.claim()]

    assert {c.submission_id for c in claims} == {poison, good}


def test_a_round_with_nothing_to_do_changes_nothing(world: World) -> None:
    submission = world.submit(world.person("alice"))
    before = world.detail(submission)

    tick(world, 1000)

    assert world.detail(submission) == before


# --- with Redis ---------------------------------------------------------------------------


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    connection = Redis.from_url(valkey_url)
    connection.flushall()
    yield connection
    connection.close()


def job_ids(redis: Redis) -> list[str]:
    queue = Queue("judge-cpu", connection=redis, serializer=JSONSerializer)
    return [str(i) for i in queue.get_job_ids()]


def test_a_redis_that_lost_everything_is_filled_again(
    make_world: MakeWorld, redis: Redis, valkey_url: str
) -> None:
    world = make_world(redis_url=valkey_url)
    alice = world.person("alice")
    for _ in range(3):
        world.submit(alice)
    before = job_ids(redis)
    redis.flushall()

    tick(world, 29)
    assert job_ids(redis) == [], "they may still be on their way"
    tick(world, 2)

    assert sorted(job_ids(redis)) == sorted(before)
    tick(world, 31)
    assert sorted(job_ids(redis)) == sorted(before), "and not twice"


def test_a_redis_that_comes_back_gets_what_waits(
    make_world: MakeWorld, redis: Redis, valkey_url: str
) -> None:
    without = make_world(redis_url="unix:///nowhere/valkey.sock")
    without.submit(without.person("alice"))
    world = make_world(redis_url=valkey_url)

    tick(world, 31)

    assert len(job_ids(redis)) == 1


def test_what_was_claimed_is_not_sent_again(
    make_world: MakeWorld, redis: Redis, valkey_url: str
) -> None:
    world = make_world(redis_url=valkey_url, lease_s=3600)
    world.submit(world.person("alice"))
    world.claim()
    redis.flushall()

    tick(world, 31)

    assert job_ids(redis) == []


# --- the thread ---------------------------------------------------------------------------


@pytest.fixture
def services(make_settings: Callable[..., Settings], clock: Clock) -> Iterator[Services]:
    made = build(make_settings(reconcile_s=0.01), clock)
    start(made)
    yield made
    made.db.close()


def test_a_round_that_fails_is_not_the_last(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = threading.active_count()
    rounds: list[int] = []
    enough = threading.Event()

    def failing(*_: object) -> None:
        rounds.append(1)
        if len(rounds) == 3:
            enough.set()
        raise OSError("the database restarts")

    monkeypatch.setattr("leaderboard.reconciler.reconcile", failing)
    reconciler = Reconciler(services)
    reconciler.start()
    try:
        assert enough.wait(30)
    finally:
        reconciler.stop()
    assert threading.active_count() == threads, "stopped means ended"
