"""Server-sent events over real connections, and shutting down while they are open."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import httpx2
import pytest
import uvicorn

from judge import wire
from judge.verdict import Status
from leaderboard.serve import Server, make_server
from leaderboard.settings import Settings
from tests.leaderboard.conftest import WORKER_TOKEN
from tests.leaderboard.world import API, PROBLEM, Person, World

_WAIT_S = 30


@dataclass
class Live:
    """A service behind a real socket. `world` speaks to it over HTTP."""

    server: Server
    thread: threading.Thread
    world: World
    url: str

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(_WAIT_S)
        assert not self.thread.is_alive(), "the server does not stop"


class Stream:
    """An open event stream, read by a thread of its own."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.events: SimpleQueue[httpx2.ServerSentEvent | None] = SimpleQueue()
        self._left = False
        self._socket: socket.socket | None = None
        self._client = httpx2.Client(timeout=_WAIT_S)
        self._url = url
        self._headers = headers
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def next(self) -> httpx2.ServerSentEvent | None:
        """The next event, None at the end of the stream."""
        return self.events.get(timeout=_WAIT_S)

    def next_detail(self) -> wire.SubmissionDetail:
        event = self.next()
        assert event is not None
        assert event.event == "status"
        return wire.SubmissionDetail.model_validate_json(event.data)

    def next_revision(self) -> int:
        event = self.next()
        assert event is not None
        assert event.event == "changed"
        assert event.id == str(wire.BoardChanged.model_validate_json(event.data).revision)
        return int(event.id)

    def until(self, status: Status) -> wire.SubmissionDetail:
        """Read on to this status: what came between may have been left out."""
        while True:
            detail = self.next_detail()
            if detail.status is status:
                return detail

    def _read(self) -> None:
        with (
            self._client,
            self._client.stream("GET", self._url, headers=self._headers) as response,
        ):
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-cache"
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            try:
                for event in httpx2.EventSource(response):
                    self.events.put(event)
            except (httpx2.TransportError, OSError):
                assert self._left
        self.events.put(None)

    def leave(self) -> None:
        """Hang up."""
        self._left = True
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        self._thread.join(_WAIT_S)
        assert not self._thread.is_alive(), "the stream does not end"


@pytest.fixture
def live(make_settings: Callable[..., Settings]) -> Iterator[Live]:
    server = make_server(make_settings(port=0, stream_refresh_s=600))
    server.config.log_level = "critical"
    # Bound and listening before the server runs: whoever connects early waits, and nobody polls.
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    services = server.config.app.state.services  # type: ignore[union-attr]
    with httpx2.Client(base_url=url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {WORKER_TOKEN}"}
        world = World(client, services.clock, headers)  # type: ignore[arg-type]
        found = Live(server, thread, world, url)
        yield found
    found.stop()


@contextmanager
def open_stream(
    live: Live, path: str, person: Person | None = None, last_id: str | None = None
) -> Iterator[Stream]:
    headers = dict(person.headers) if person else {}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    stream = Stream(f"{live.url}{API}{path}", headers)
    yield stream
    stream.join()


def test_a_submission_is_followed_to_its_end(live: Live) -> None:
    world = live.world
    alice = world.person("alice")
    submission = world.submit(alice)

    with open_stream(live, f"/submissions/{submission}/events", alice) as stream:
        first = stream.next_detail()
        assert (first.status, first.queue_position) == (Status.QUEUED, 0)
        claim = world.claim()
        assert stream.until(Status.BUILDING).queue_position is None
        world.report(claim, "progress", wire.Progress(status=Status.TIMING, done=1, total=3))
        timing = stream.until(Status.TIMING)
        assert timing.progress is not None
        assert timing.progress.done == 1
        world.finish(claim)
        judged = stream.until(Status.JUDGED)
        assert judged.result is not None
        assert judged.result.log == "the log"
        assert all(r.candidate_samples_ns == () for r in judged.result.runs), "no raw samples"
        assert stream.next() is None, "the stream ends with the final state"


def test_others_follow_without_the_log(live: Live) -> None:
    world = live.world
    submission = world.submit(world.person("alice"))

    with open_stream(live, f"/submissions/{submission}/events") as stream:
        stream.next_detail()
        world.finish(world.claim())
        result = stream.until(Status.JUDGED).result
        assert result is not None
        assert (result.log, result.stdout) == ("", "")
        assert stream.next() is None


def test_moving_up_in_the_queue_is_told(live: Live) -> None:
    world = live.world
    alice = world.person("alice")
    world.submit(alice)
    second = world.submit(alice)

    with open_stream(live, f"/submissions/{second}/events") as stream:
        assert stream.next_detail().queue_position == 1
        world.claim()
        assert stream.next_detail().queue_position == 0
        world.cancel(second, alice)
        assert stream.until(Status.CANCELLED)
        assert stream.next() is None


def test_a_final_submission_is_told_once(live: Live) -> None:
    world = live.world
    alice = world.person("alice")
    submission = world.submit(alice)
    world.cancel(submission, alice)

    with open_stream(live, f"/submissions/{submission}/events") as stream:
        assert stream.next_detail().status is Status.CANCELLED
        assert stream.next() is None


def test_the_board_is_told_when_it_changes_and_not_what_is_on_it(live: Live) -> None:
    world = live.world
    alice = world.person("alice")

    with open_stream(live, f"/standings/{PROBLEM}/cpu/events") as stream:
        first = stream.next_revision()
        assert first == world.board().revision
        world.submit(alice)
        world.finish(world.claim())
        assert stream.next_revision() == first + 1 == world.board().revision
        live.stop()
        assert stream.next() is None


def test_whoever_comes_back_is_not_told_the_same_again(live: Live) -> None:
    world = live.world
    alice = world.person("alice")
    path = f"/standings/{PROBLEM}/cpu/events"
    with open_stream(live, path) as stream:
        known = stream.next_revision()
        stream.leave()
    with open_stream(live, path, last_id=str(known)) as stream:
        world.submit(alice)
        world.finish(world.claim())
        assert stream.next_revision() == known + 1, "the first thing told is news"
        stream.leave()
    with open_stream(live, path, last_id=str(known)) as stream:
        assert stream.next_revision() == known + 1, "and nothing that was missed is lost"
        stream.leave()


def test_a_final_submission_ends_the_stream_of_whoever_knows_it(live: Live) -> None:
    world = live.world
    alice = world.person("alice")
    submission = world.submit(alice)
    world.cancel(submission, alice)
    path = f"/submissions/{submission}/events"
    with open_stream(live, path) as stream:
        event = stream.next()
        assert event is not None
        assert stream.next() is None
    with open_stream(live, path, last_id=event.id) as stream:
        assert stream.next() is None


def test_a_reader_who_does_not_read_holds_up_nobody(live: Live) -> None:
    world = live.world
    path = f"{API}/standings/{PROBLEM}/cpu/events"
    host, _, port = live.url.removeprefix("http://").partition(":")
    with socket.socket() as sleeper:
        # The smallest buffer there is, so that the server has to wait for this reader.
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sleeper.connect((host, int(port)))
        sleeper.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with open_stream(live, f"/standings/{PROBLEM}/cpu/events") as stream:
            revision = stream.next_revision()
            for i in range(3):
                world.judge(world.person(f"person{i}"), 2.0 + i)
                revision += 1
                while stream.next_revision() < revision:
                    pass
            live.stop()
            assert stream.next() is None


def test_open_streams_do_not_hold_up_a_shutdown(live: Live) -> None:
    world = live.world
    submission = world.submit(world.person("alice"))

    paths = (f"/submissions/{submission}/events", f"/standings/{PROBLEM}/cpu/events")
    streams = [Stream(f"{live.url}{API}{path}", {}) for path in paths * 3]
    for stream in streams:
        assert stream.next() is not None
    live.stop()

    for stream in streams:
        assert stream.next() is None, "ended properly, not broken off"
        stream.join()
    assert live.world.client is not None


def test_sigterm_ends_the_process_with_a_stream_open(
    make_settings: Callable[..., Settings], folder: Path
) -> None:
    settings = make_settings()
    environment = {
        **os.environ,
        "OPJUDGE_DATA_DIR": str(folder / "process"),
        "OPJUDGE_PROBLEMS_DIR": str(settings.problems_dir),
        "OPJUDGE_REQUIRE_CERTIFICATE": "false",
        "OPJUDGE_PORT": "0",
    }
    argv = [sys.executable, "-m", "leaderboard"]
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = "".join(_until(process.stderr, "running on"))
        url = re.findall(r"http://[0-9.:]+", log)[-1]
        stream = Stream(f"{url}{API}/standings/{PROBLEM}/cpu/events", {})
        assert stream.next() is not None
        process.send_signal(signal.SIGTERM)
        assert stream.next() is None
        stream.join()
        rest = process.stderr.read()
        assert process.wait(_WAIT_S) in (0, -signal.SIGTERM)
    assert "Traceback" not in rest, rest
    assert "Application shutdown complete" in rest
    assert (folder / "process" / "worker.token").is_file()


def _until(lines: Iterable[str], words: str) -> Iterator[str]:
    for line in lines:
        yield line
        if words in line:
            return


def test_the_server_is_configured_for_streams(make_settings: Callable[..., Settings]) -> None:
    server = make_server(make_settings(host="127.0.0.1", port=0))

    assert isinstance(server, uvicorn.Server)
    assert server.config.timeout_graceful_shutdown is not None
    server.config.app.state.services.db.close()  # type: ignore[union-attr]
