"""Waking workers through RQ, on a real server, and without one."""

import importlib
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from sqlmodel import Session

from leaderboard import dispatch, queueing
from leaderboard.dispatch import Dispatcher, job_id
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import World


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    connection = Redis.from_url(valkey_url)
    connection.flushall()
    yield connection
    connection.close()


@pytest.fixture
def dispatcher(redis: Redis, valkey_url: str) -> Iterator[Dispatcher]:
    made = Dispatcher(valkey_url)
    yield made
    made.close()


def jobs(redis: Redis, device: str = "cpu") -> list[Job]:
    return Queue(f"judge-{device}", connection=redis, serializer=JSONSerializer).get_jobs()


def test_a_job_is_what_the_worker_expects(redis: Redis, dispatcher: Dispatcher) -> None:
    judgement_id = uuid4()

    assert dispatcher.enqueue(judgement_id, 2, "npu")

    (job,) = jobs(redis, "npu")
    assert job.id == f"judgement-{judgement_id}-2"
    assert job.func_name == "judge.worker.judge"
    assert list(job.args) == [str(judgement_id), 2]
    assert job.serializer is JSONSerializer


def test_the_named_function_is_there() -> None:
    module, _, name = dispatch.JOB.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


def test_whether_a_job_is_still_waiting(redis: Redis, dispatcher: Dispatcher) -> None:
    judgement_id = uuid4()

    assert dispatcher.waiting(judgement_id, 1) is False
    dispatcher.enqueue(judgement_id, 1, "cpu")
    assert dispatcher.waiting(judgement_id, 1) is True
    jobs(redis)[0].set_status(JobStatus.FAILED)
    assert dispatcher.waiting(judgement_id, 1) is False
    redis.flushall()
    assert dispatcher.waiting(judgement_id, 1) is False


def test_without_redis_nothing_is_dispatched() -> None:
    dispatcher = Dispatcher(None)

    assert not dispatcher.enabled
    assert dispatcher.enqueue(uuid4(), 1, "cpu") is False
    assert dispatcher.waiting(uuid4(), 1) is None
    assert dispatcher.ping() is None
    dispatcher.close()


def test_a_redis_that_is_away_raises_nothing_and_is_left_in_peace() -> None:
    dispatcher = Dispatcher("unix:///nowhere/valkey.sock")

    assert dispatcher.enqueue(uuid4(), 1, "cpu") is False
    assert dispatcher.ping() is False
    assert dispatcher.waiting(uuid4(), 1) is None
    dispatcher.close()


def test_job_ids_differ_by_attempt() -> None:
    judgement_id = uuid4()

    assert job_id(judgement_id, 1) != job_id(judgement_id, 2)


# --- in the service -----------------------------------------------------------------------


@pytest.fixture
def queued(make_world: MakeWorld, redis: Redis, valkey_url: str) -> World:
    """A service with a Redis, two judgements deep."""
    return make_world(redis_url=valkey_url, queue_depth=2)


def test_submitting_wakes_a_worker(queued: World, redis: Redis) -> None:
    submission = queued.submit(queued.person("alice"))

    (job,) = jobs(redis)
    path = f"/api/v1/worker/judgements/{job.args[0]}/claim"
    body = {"worker": "w", "device": "cpu"}
    claim = queued.client.post(path, headers=queued.worker_headers, json=body)
    assert claim.json()["submission_id"] == str(submission)


def test_redis_holds_a_few_and_gets_more_as_they_go(queued: World, redis: Redis) -> None:
    alice = queued.person("alice")
    for _ in range(4):
        queued.submit(alice)
    assert len(jobs(redis)) == 2

    claim = queued.claim()
    assert len(jobs(redis)) == 3, "one of them for a judgement that is claimed already"
    queued.finish(claim)
    queued.claim()
    assert len(jobs(redis)) == 4


def test_a_retry_is_a_job_of_its_own(queued: World, redis: Redis) -> None:
    queued.submit(queued.person("alice"))
    claim = queued.claim()
    queued.report(claim, "release", {"reason": "x"})

    assert [job.id.rpartition("-")[2] for job in jobs(redis)] == ["1", "2"]


def test_readiness_tells_of_redis(queued: World, make_world: MakeWorld) -> None:
    without = make_world()
    down = make_world(redis_url="unix:///nowhere/valkey.sock")

    assert queued.client.get("/readyz").json()["redis"] == "ok"
    assert without.client.get("/readyz").json()["redis"] == "none"
    response = down.client.get("/readyz")
    assert (response.status_code, response.json()["redis"]) == (200, "down")


def test_everything_works_while_redis_is_down(make_world: MakeWorld) -> None:
    world = make_world(redis_url="unix:///nowhere/valkey.sock")
    alice = world.person("alice")

    submission = world.submit(alice)
    claim = world.claim()
    assert world.report(claim, "heartbeat").status_code == 200
    assert world.finish(claim).status_code == 200
    assert world.detail(submission).verdict == "AC"
    assert world.cancel(world.submit(alice), alice).status_code == 200


def test_with_the_queue_deep_enough_handing_in_takes_nothing(
    redis: Redis, valkey_url: str, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(redis_url=valkey_url, queue_depth=2)
    alice = world.person("alice")
    taken = []
    take = queueing.take_for_redis

    def counted(session: Session, device: str, now: datetime, depth: int) -> list[tuple[UUID, int]]:
        taken.append(take(session, device, now, depth))
        return taken[-1]

    monkeypatch.setattr(queueing, "take_for_redis", counted)
    for _ in range(4):
        world.submit(alice)
    assert [len(found) for found in taken] == [1, 1]

    world.claim()
    assert [len(found) for found in taken] == [1, 1, 1]
    assert len(jobs(redis)) == 3
