"""The worker as a process: woken by Redis or polling, stopped and killed at every moment."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError
from rq import Callback, Queue
from rq import Worker as RQWorker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from judge.dispatch import Dispatcher, Hint, RedisWorker
from judge.package import Package, load_package, pack
from judge.settings import WorkerSettings
from judge.spool import Spool, Undelivered
from judge.wire import Heartbeat
from judge.worker import judge
from tests.fixtures import write_package
from tests.judge.machinery import PATIENCE_S, Valkey, gone, living, until, valkey
from tests.judge.samples import JUDGEMENT_ID, make_claim, make_result
from tests.judge.stub import Answer, Reply, Seen, StubApi, refuse, say, serving

CLAIMS = "POST /worker/claims"
J = f"/worker/judgements/{JUDGEMENT_ID}"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return load_package(write_package(tmp_path / "original" / "row_scale"))


@pytest.fixture
def api(package: Package) -> StubApi:
    """A service with nothing to judge."""
    api = StubApi()
    api.on(f"GET /worker/packages/{package.hash}", Reply(200, pack(package)))
    api.on(CLAIMS, Reply(204))
    api.on(f"POST {J}/heartbeat", say(Heartbeat(lease_s=30.0)))
    for what in ("progress", "result", "release"):
        api.on(f"POST {J}/{what}", Reply(204))
    return api


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def start(api: StubApi, data: Path) -> Iterator[Start]:
    """Starts workers; kills what a failed test leaves behind."""
    with ExitStack() as stack:
        url = stack.enter_context(serving(api))

        def start(
            behaviour: str = "accept", redis_url: str | None = None, name: str = ""
        ) -> "subprocess.Popen[bytes]":
            home = data / name
            argv = [sys.executable, "-m", "tests.judge.worker_process", url, str(home), behaviour]
            process = subprocess.Popen(argv + ([redis_url] if redis_url else []))
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def redis() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as server:
        yield server


def claims(package: Package, *attempts: int) -> list[Answer]:
    """That many claims, then nothing."""
    found = [say(make_claim(package_hash=package.hash, attempt=n)) for n in attempts]
    return [*found, Reply(204)]


def results(api: StubApi) -> list[str]:
    return [seen.json["message"] for seen in api.requests(f"POST {J}/result")]


def stop(process: "subprocess.Popen[bytes]") -> int:
    process.terminate()
    return process.wait(PATIENCE_S)


def judging(data: Path, attempt: int = 1) -> int:
    """The process id of whoever judges this attempt."""
    path = data / f"judging-{attempt}"
    until(path.exists, f"attempt {attempt}")
    return int(path.read_text())


def enqueue(redis: Valkey, attempt: int) -> None:
    with Redis.from_url(redis.url) as connection:
        Queue("judge-cpu", connection=connection, serializer=JSONSerializer).enqueue_call(
            "judge.worker.judge",
            args=(str(JUDGEMENT_ID), attempt),
            job_id=f"judgement-{JUDGEMENT_ID}-{attempt}",
        )


def test_without_redis_it_polls(api: StubApi, package: Package, start: Start) -> None:
    api.on(CLAIMS, *claims(package, 1, 2))
    process = start()
    until(lambda: len(results(api)) == 2, "two results")
    assert stop(process) == 0
    assert results(api) == ["attempt 1", "attempt 2"]
    assert api.requests(CLAIMS)[0].json == {"worker": "test", "device": "cpu"}
    assert api.seen[0].headers["authorization"] == "Bearer worker-token"


def test_a_stop_gives_back_what_is_being_judged(
    api: StubApi, package: Package, start: Start, data: Path
) -> None:
    api.on(CLAIMS, *claims(package, 1))
    process = start("wait")
    child = judging(data)
    assert stop(process) == 0
    assert gone([child])
    (released,) = api.requests(f"POST {J}/release")
    assert released.json == {"reason": "worker-stopping", "stopping": True}
    assert results(api) == []


@pytest.mark.parametrize("with_redis", [False, True])
def test_a_drain_finishes_what_is_being_judged_and_takes_no_more(
    api: StubApi, package: Package, start: Start, data: Path, redis: Valkey, with_redis: bool
) -> None:
    if with_redis:
        api.on(f"POST {J}/claim", *claims(package, 1))
        enqueue(redis, 1)
    else:
        api.on(CLAIMS, *claims(package, 1, 2))
    worker = start("wait-for-go", redis.url if with_redis else None)
    judging(data)
    worker.send_signal(signal.SIGUSR2)
    (data / "go").touch()
    assert worker.wait(PATIENCE_S) == 0
    assert results(api) == ["attempt 1"]
    assert api.requests(f"POST {J}/release") == []


def test_a_drain_may_still_be_cut_short(
    api: StubApi, package: Package, start: Start, data: Path
) -> None:
    api.on(CLAIMS, *claims(package, 1))
    worker = start("wait")
    judging(data)
    worker.send_signal(signal.SIGUSR2)
    assert stop(worker) == 0
    (released,) = api.requests(f"POST {J}/release")
    assert released.json["stopping"] is True


def test_an_idle_worker_drains_at_once(api: StubApi, start: Start) -> None:
    worker = start()
    until(lambda: api.requests(CLAIMS), "the first question")
    worker.send_signal(signal.SIGUSR2)
    assert worker.wait(PATIENCE_S) == 0


def test_a_service_that_wants_another_worker_ends_it(api: StubApi, start: Start) -> None:
    api.on(CLAIMS, refuse(426, "wire-version"))
    assert start().wait(PATIENCE_S) != 0


def test_what_a_newer_service_adds_to_a_claim_is_left_out(
    api: StubApi, package: Package, start: Start
) -> None:
    """So workers may be upgraded after the service, one by one."""
    claim = make_claim(package_hash=package.hash).model_dump(mode="json")
    newer = json.dumps(claim | {"colour": "blue"}).encode()
    heartbeat = json.dumps({"lease_s": 30.0, "mood": "good"}).encode()
    api.on(CLAIMS, Reply(200, newer), Reply(204))
    api.on(f"POST {J}/heartbeat", Reply(200, heartbeat))
    worker = start()
    until(lambda: results(api) == ["attempt 1"], "the result")
    assert stop(worker) == 0


def test_nothing_survives_a_killed_worker(
    api: StubApi, package: Package, start: Start, data: Path
) -> None:
    api.on(CLAIMS, *claims(package, 1))
    process = start("wait")
    child = judging(data)
    assert living(child)
    process.kill()
    process.wait()
    until(lambda: gone([child]), "the end of the child")
    assert results(api) == []


def test_a_child_that_crashes_is_not_the_end(api: StubApi, package: Package, start: Start) -> None:
    api.on(CLAIMS, *claims(package, 1, 2))
    process = start("crash-once")
    until(lambda: results(api), "the second result")
    assert stop(process) == 0
    assert results(api) == ["attempt 2"]


def test_a_lost_lease_ends_the_judging_and_the_next_one_is_served(
    api: StubApi, package: Package, start: Start
) -> None:
    quick = [say(make_claim(package_hash=package.hash, attempt=n, lease_s=0.1)) for n in (1, 2)]
    api.on(CLAIMS, *quick, Reply(204))
    api.on(f"POST {J}/heartbeat", refuse(409, "lease-lost"))
    process = start("wait-once")
    until(lambda: results(api), "the second result")
    assert stop(process) == 0
    assert results(api) == ["attempt 2"]
    assert api.requests(f"POST {J}/release") == []


def test_a_service_that_is_away_is_asked_again(
    api: StubApi, package: Package, start: Start
) -> None:
    api.on(CLAIMS, Reply(503), Reply(500), *claims(package, 1))
    process = start()
    until(lambda: results(api), "a result")
    assert stop(process) == 0


def test_a_service_that_refuses_the_worker_ends_it(api: StubApi, start: Start) -> None:
    api.on(CLAIMS, refuse(401, "invalid-token"))
    assert start().wait(PATIENCE_S) != 0
    assert len(api.requests(CLAIMS)) == 1


def test_what_was_not_delivered_is_delivered_by_the_next_worker(
    api: StubApi, start: Start, data: Path
) -> None:
    spool = Spool(data / "worker" / "spool")
    result = make_result(message="kept")
    spool.put(Undelivered(judgement_id=JUDGEMENT_ID, lease_token="old", result=result))
    api.on(f"POST {J}/result", Reply(503), Reply(204))
    process = start()
    until(lambda: len(results(api)) == 2, "two tries")
    until(lambda: list(spool) == [], "an empty spool")
    assert stop(process) == 0
    assert [s.headers["lease-token"] for s in api.requests(f"POST {J}/result")] == ["old", "old"]


# --- what a judging leaves behind ---------------------------------------------------------


@pytest.fixture
def left(data: Path) -> Iterator[Callable[[], int]]:
    """The process id of what was left; it is ended after the test."""
    path = data / "left"
    yield lambda: int(path.read_text())
    if path.exists():
        os.kill(int(path.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("by_redis", [False, True])
def test_a_judging_that_leaves_a_process_does_not_count_and_is_the_last(
    by_redis: bool,
    api: StubApi,
    package: Package,
    start: Start,
    redis: Valkey,
    data: Path,
    left: Callable[[], int],
) -> None:
    if by_redis:
        api.on(f"POST {J}/claim", *claims(package, 1, 2))
        enqueue(redis, 1)
        enqueue(redis, 2)
    else:
        api.on(CLAIMS, *claims(package, 1, 2))
    assert start("leave", redis.url if by_redis else None).wait(PATIENCE_S) == 1
    (released,) = api.requests(f"POST {J}/release")
    assert f"in quarantine: process {left()} (sleep)" in released.json["reason"]
    assert released.json["stopping"] is False
    assert results(api) == []
    # Not with the same machine under another process, either.
    assert start("accept").wait(PATIENCE_S) == 1
    assert results(api) == []
    (data / "worker" / "quarantine").unlink()
    api.on(CLAIMS, *claims(package, 3))
    process = start("accept")
    until(lambda: results(api), "the third result")
    assert stop(process) == 0


def test_nobody_would_notice_without_looking(
    api: StubApi,
    package: Package,
    start: Start,
    left: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPJUDGE_TEST_BLIND", "1")
    api.on(CLAIMS, *claims(package, 1, 2))
    process = start("leave")
    until(lambda: len(results(api)) == 2, "two results")
    assert living(left())
    assert stop(process) == 0


def test_what_a_crashed_child_leaves_is_found_by_its_parent(
    api: StubApi, package: Package, start: Start, left: Callable[[], int], data: Path
) -> None:
    api.on(CLAIMS, *claims(package, 1, 2))
    assert start("leave-and-crash").wait(PATIENCE_S) == 1
    assert f"process {left()} (sleep)" in (data / "worker" / "quarantine").read_text()
    assert results(api) == []


def test_two_workers_side_by_side_do_not_disturb_each_other(
    api: StubApi, package: Package, start: Start, data: Path
) -> None:
    api.on(CLAIMS, *claims(package, *range(1, 21)))
    workers = [start("accept", name=name) for name in ("one", "two")]
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as web:  # fmt: skip
        until(lambda: len(results(api)) == 20, "all results")
        web.terminate()
    assert [stop(worker) for worker in workers] == [0, 0]
    assert not list(data.rglob("quarantine"))


# --- with Redis ---------------------------------------------------------------------------


def test_a_job_wakes_it(api: StubApi, package: Package, start: Start, redis: Valkey) -> None:
    api.on(f"POST {J}/claim", say(make_claim(package_hash=package.hash)))
    enqueue(redis, 1)
    process = start(redis_url=redis.url)
    until(lambda: results(api), "a result")
    assert stop(process) == 0


def test_whoever_writes_to_redis_runs_nothing_in_a_worker(
    api: StubApi, package: Package, start: Start, redis: Valkey, tmp_path: Path
) -> None:
    """RQ runs what a job names; this worker asks for a judgement, whatever the job says."""
    api.on(f"POST {J}/claim", say(make_claim(package_hash=package.hash)))
    touched = tmp_path / "touched"
    with Redis.from_url(redis.url) as connection:
        queue = Queue("judge-cpu", connection=connection, serializer=JSONSerializer)
        foreign = (("os.system", f"touch {touched}"), ("os.mkdir", str(touched)))
        for name, argument in foreign:
            queue.enqueue_call(name, args=(argument,), on_failure=Callback("os.abort"))
        senseless: list[tuple[object, ...]] = [(), (1, 2, 3), ("no uuid", 1), ({"a": []}, None)]
        for arguments in senseless:
            queue.enqueue_call("judge.worker.judge", args=arguments)
    enqueue(redis, 1)
    process = start(redis_url=redis.url)
    until(lambda: results(api), "the result of the one true job")
    assert stop(process) == 0
    assert not touched.exists()


def test_rq_would_have_run_it(redis: Valkey, tmp_path: Path) -> None:
    """What the test above would miss if RQ were as careful itself."""
    touched = tmp_path / "touched"
    with Redis.from_url(redis.url) as connection:
        queue = Queue("judge-cpu", connection=connection, serializer=JSONSerializer)
        job = queue.enqueue_call("os.mkdir", args=(str(touched),), on_failure=Callback("os.abort"))
        believed = Job.fetch(job.id, connection=connection, serializer=JSONSerializer)
        hint = Hint.fetch(job.id, connection=connection, serializer=JSONSerializer)
    assert believed.func is os.mkdir
    assert repr(believed.failure_callback) == repr(os.abort)
    assert hint.func is judge
    callbacks = (hint.failure_callback, hint.success_callback, hint.stopped_callback)
    assert callbacks == (None, None, None)


def test_a_job_for_what_is_done_already_is_dropped(
    api: StubApi, package: Package, start: Start, redis: Valkey
) -> None:
    claim = say(make_claim(package_hash=package.hash, attempt=2))
    api.on(f"POST {J}/claim", refuse(409, "already-claimed"), claim)
    enqueue(redis, 1)
    enqueue(redis, 2)
    process = start(redis_url=redis.url)
    until(lambda: results(api), "the second result")
    assert stop(process) == 0
    assert results(api) == ["attempt 2"]


def test_work_that_redis_never_heard_of_is_found(
    api: StubApi, package: Package, start: Start, redis: Valkey
) -> None:
    api.on(CLAIMS, Reply(204), Reply(204), *claims(package, 1))
    process = start(redis_url=redis.url)
    until(lambda: results(api), "a result")
    assert stop(process) == 0


def test_a_stop_while_waiting_for_redis_is_prompt(
    api: StubApi, start: Start, redis: Valkey
) -> None:
    process = start(redis_url=redis.url)
    until(lambda: len(api.requests(CLAIMS)) > 1, "a second poll")
    assert stop(process) == 0


def test_a_stop_gives_back_what_a_job_is_judging(
    api: StubApi, package: Package, start: Start, redis: Valkey, data: Path
) -> None:
    api.on(f"POST {J}/claim", say(make_claim(package_hash=package.hash)))
    enqueue(redis, 1)
    process = start("wait", redis.url)
    horse = judging(data)
    assert stop(process) == 0
    assert gone([horse])
    (released,) = api.requests(f"POST {J}/release")
    assert released.json["stopping"] is True


def test_nothing_survives_a_killed_worker_with_redis_either(
    api: StubApi, package: Package, start: Start, redis: Valkey, data: Path
) -> None:
    api.on(f"POST {J}/claim", say(make_claim(package_hash=package.hash)))
    enqueue(redis, 1)
    process = start("wait", redis.url)
    horse = judging(data)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: gone([horse]), "the end of the work-horse")


def test_redis_away_means_polling(
    api: StubApi, package: Package, start: Start, redis: Valkey
) -> None:
    redis.kill()
    api.on(CLAIMS, Reply(204), *claims(package, 1))
    process = start(redis_url=redis.url)
    until(lambda: results(api), "a result")
    assert stop(process) == 0


def test_redis_may_come_and_go(api: StubApi, package: Package, start: Start, redis: Valkey) -> None:
    process = start(redis_url=redis.url)
    until(lambda: len(api.requests(CLAIMS)) > 1, "a second poll")
    redis.kill()
    api.on(CLAIMS, *claims(package, 1))
    until(lambda: len(results(api)) == 1, "a result without Redis")
    api.on(f"POST {J}/claim", say(make_claim(package_hash=package.hash, attempt=2)))
    redis.start()
    enqueue(redis, 2)
    until(lambda: len(results(api)) == 2, "a result by Redis")
    assert stop(process) == 0
    assert results(api) == ["attempt 1", "attempt 2"]


def test_redis_may_die_in_the_middle_of_a_judging(
    api: StubApi, package: Package, start: Start, redis: Valkey
) -> None:
    def claim(_seen: Seen) -> Reply:
        redis.kill()
        return say(make_claim(package_hash=package.hash))

    api.on(f"POST {J}/claim", claim)
    enqueue(redis, 1)
    process = start(redis_url=redis.url)
    until(lambda: results(api), "the result")
    api.on(CLAIMS, *claims(package, 2))
    until(lambda: len(results(api)) == 2, "the next result")
    assert stop(process) == 0
    assert results(api) == ["attempt 1", "attempt 2"]


def test_a_redis_that_dies_while_rq_watches_does_not_end_the_watching(
    redis: Valkey, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    """RQ looks after a job every ten seconds; quitting then would leave two judging at once."""
    settings = WorkerSettings(worker_token="t", redis_url=redis.url, data_dir=data)
    calls: list[str] = []

    def away(*_args: object) -> None:
        calls.append("away")
        raise ConnectionError("Redis is away")

    monkeypatch.setattr(RQWorker, "maintain_heartbeats", away)
    with Redis.from_url(redis.url) as connection:
        worker = RedisWorker(cast(Dispatcher, None), connection, settings)
        worker.maintain_heartbeats(cast(Job, None), cast(Execution, None))
    assert calls == ["away"]


def test_no_thread_waits_for_commands_by_redis(redis: Valkey, data: Path) -> None:
    settings = WorkerSettings(worker_token="t", redis_url=redis.url, data_dir=data)
    with Redis.from_url(redis.url) as connection:
        worker = RedisWorker(cast(Dispatcher, None), connection, settings)
        before = threading.active_count()
        worker.work(burst=True, logging_level="ERROR")
        assert worker.pubsub_thread is None
        assert threading.active_count() == before
