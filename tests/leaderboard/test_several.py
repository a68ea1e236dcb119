"""Several web processes on one database: what one of them changes, readers of the others see."""

import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis

from judge.verdict import Status
from leaderboard.events import EventHub
from leaderboard.relay import CHANNEL, Relay
from leaderboard.settings import Settings
from tests.judge.machinery import Valkey, until, valkey
from tests.leaderboard import clusters
from tests.leaderboard.conftest import WORKER_TOKEN, postgres_url
from tests.leaderboard.test_events import Source
from tests.leaderboard.test_streams import Stream
from tests.leaderboard.world import API, PROBLEM, World

Start = Callable[..., World]
# So long that nothing is seen by looking without having been told.
NEVER_S = 3600


@pytest.fixture
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("v")) as server:
        yield server


@pytest.fixture
def start(
    postgres_socket: str, queue: Valkey, make_settings: Callable[..., Settings], folder: Path
) -> Iterator[Start]:
    """Starts web processes together, on one new database of PostgreSQL; returns a world each."""
    name = f"several_{uuid.uuid4().hex}"
    clusters.postgres_execute(postgres_socket, [f"CREATE DATABASE {name}"])
    known = {
        "OPJUDGE_DATA_DIR": str(folder / "shared"),
        "OPJUDGE_DATABASE_URL": postgres_url(postgres_socket, name),
        "OPJUDGE_REDIS_URL": queue.url,
        "OPJUDGE_PROBLEMS_DIR": str(make_settings().problems_dir),
        "OPJUDGE_WORKER_TOKEN": WORKER_TOKEN,
        "OPJUDGE_REQUIRE_CERTIFICATE": "false",
        "OPJUDGE_CANARY_EVERY_S": "0",
        "OPJUDGE_PASSWORD_TIME_COST": "1",
        "OPJUDGE_PASSWORD_MEMORY_KIB": "64",
        "OPJUDGE_PORT": "0",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with ExitStack() as stack:

        def make(count: int, **variables: str) -> list[World]:
            environment = known | {f"OPJUDGE_{k.upper()}": v for k, v in variables.items()}
            processes = [stack.enter_context(web_process(environment)) for _ in range(count)]
            clients = [httpx2.Client(base_url=address(p), trust_env=False) for p in processes]
            worker = {"Authorization": f"Bearer {WORKER_TOKEN}"}
            return [
                World(stack.enter_context(client), time.monotonic, worker)  # type: ignore[arg-type]
                for client in clients
            ]

        yield make  # type: ignore[misc]


@contextmanager
def web_process(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-m", "leaderboard"]
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def address(process: "subprocess.Popen[str]") -> str:
    """Where it listens, once it does."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        found = re.search(r"running on (http://[0-9.:]+)", line)
        if found:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found[1]
    raise AssertionError(seen)


@contextmanager
def reading(world: World, path: str, **headers: str) -> Iterator[Stream]:
    stream = Stream(f"{world.client.base_url}{API}{path}".replace("//api", "/api"), headers)
    yield stream
    with suppress(OSError):  # it may have ended by itself
        stream.leave()
    stream.join()


def test_readers_of_every_process_are_told_at_once(start: Any) -> None:
    one, other = start(2, stream_refresh_s=str(NEVER_S))
    ada = one.person("ada")
    board = f"/standings/{PROBLEM}/cpu/events"

    with reading(one, board) as here, reading(other, board) as there:
        revision = here.next_revision()
        assert there.next_revision() == revision
        submission = one.submit(ada)
        with reading(other, f"/submissions/{submission}/events") as status:
            assert status.next_detail().status is Status.QUEUED
            claim = other.claim()
            assert status.until(Status.BUILDING)
            one.finish(claim)
            assert status.until(Status.JUDGED)
        assert here.next_revision() == there.next_revision() == revision + 1


def test_a_reader_goes_on_at_another_process_where_it_stopped(start: Any) -> None:
    one, other = start(2, stream_refresh_s=str(NEVER_S))
    ada = one.person("ada")
    path = f"/standings/{PROBLEM}/cpu/events"
    with reading(one, path) as stream:
        known = stream.next_revision()
    one.submit(ada)
    claim = one.claim()
    with reading(other, path, **{"Last-Event-ID": str(known)}) as stream:
        one.finish(claim)
        assert stream.next_revision() == known + 1, "not told again what it knew"
    with reading(one, path, **{"Last-Event-ID": str(known)}) as stream:
        assert stream.next_revision() == known + 1, "and told what it missed"


def test_with_redis_away_streams_are_late_and_miss_nothing(start: Any, queue: Valkey) -> None:
    one, other = start(2, stream_refresh_s="0.2")
    ada = one.person("ada")
    queue.kill()
    with reading(other, f"/standings/{PROBLEM}/cpu/events") as there:
        revision = there.next_revision()
        one.submit(ada)
        one.finish(one.claim())
        assert there.next_revision() == revision + 1
        # Another start of the queue, and all is as it was.
        queue.start()
        one.submit(ada)
        one.finish(other.claim(), score=None, verdict="WA")
    assert one.get("/submissions").json()["items"] == other.get("/submissions").json()["items"]


# --- the relay alone ----------------------------------------------------------------------


class Told:
    """Notes what a relay tells its process."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.all = 0

    def some(self, *topics: str) -> None:
        self.topics += topics

    def everything(self) -> None:
        self.all += 1


@contextmanager
def relaying(url: str | None) -> Iterator[tuple[Relay, Told]]:
    told = Told()
    relay = Relay(url, told.some, told.everything)
    relay.start()
    try:
        yield relay, told
    finally:
        relay.stop()


def test_what_one_says_all_hear_once(queue: Valkey) -> None:
    with relaying(queue.url) as (one, here), relaying(queue.url) as (_, there):
        until(lambda: here.all and there.all, "both subscriptions")
        one.publish("a", "b")
        one.publish("c")
        until(lambda: there.topics[-1:] == ["c"], "the news")
        assert there.topics == here.topics == ["a", "b", "c"]


def test_after_redis_was_away_everything_is_looked_at(queue: Valkey) -> None:
    with relaying(queue.url) as (one, _), relaying(queue.url) as (_, there):
        until(lambda: there.all == 1, "the subscription")
        queue.kill()
        one.publish("lost")
        queue.start()
        until(lambda: there.all == 2, "another look at everything")
        one.publish("found")
        until(lambda: "found" in there.topics, "news again")


@pytest.mark.parametrize(
    "message", [b"", b"nonsense", b"[]", b"{}", b"7", b'["x", 1, null]', b"\xff", b"[" * 9000]
)
def test_what_makes_no_sense_is_passed_over(queue: Valkey, message: bytes) -> None:
    with relaying(queue.url) as (_, told), Redis.from_url(queue.url) as attacker:
        until(lambda: told.all, "the subscription")
        attacker.publish(CHANNEL, message)
        attacker.publish(CHANNEL, b'["somebody", "after"]')
        until(lambda: told.topics, "what came after it")
        assert told.topics == ["after"]


def test_without_redis_it_tells_its_own_process() -> None:
    with relaying(None) as (relay, told):
        relay.publish("a")
    assert told.topics == ["a"]
    assert threading.active_count() == 1 or not any(
        thread.name.startswith("relay") for thread in threading.enumerate()
    )


def test_looking_at_everything_reaches_every_stream() -> None:
    import asyncio

    async def main() -> list[int]:
        hub, source = EventHub(NEVER_S, pause_s=0, queue_s=(0.0, 0.01)), Source()
        hub.open()
        seen: list[int] = []
        async for state in hub.follow("k", ["t"], source):
            seen.append(state)
            source.value += 1
            hub.publish_all()
            if state == 2:
                break
        return seen

    assert asyncio.run(asyncio.wait_for(main(), 20)) == [0, 1, 2]
