"""Thousands who watch one board: how late is the news, what do they cost, who is left out?

Every event is a result handed in over the worker's API; every one changes the board that all
clients follow, the worst case there is. How late a client learns of one is counted from before it
is handed in to the first message about that revision or a later one.
"""

import asyncio
import resource
import signal
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import psutil
import uvloop

from judge import wire
from judge.verdict import Language, Mode
from leaderboard import boards, judgements
from leaderboard.models import Submission, User
from leaderboard.services import build
from tests.bench.figures import say
from tests.bench.history import DEVICE, slug, write_problems
from tests.bench.http import Connection
from tests.bench.service import WORKER_TOKEN, Place, make_boards, serving
from tests.leaderboard.world import make_result

CLIENTS = 5_000
RATE = 20.0
_API = "/api/v1"
_OPENING = 100
_HEADERS = {"Authorization": f"Bearer {WORKER_TOKEN}", "Content-Type": "application/json"}


@dataclass
class Watcher(asyncio.Protocol):
    """One client of the stream; notes when it learnt of which revision."""

    request: bytes
    started: "asyncio.Future[None]"
    ended: "asyncio.Future[None]"
    revisions: list[int] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(self.request)

    def data_received(self, data: bytes) -> None:
        at = data.rfind(b"\nid: ")
        if at < 0:
            return
        self.revisions.append(int(data[at + 5 : data.index(b"\n", at + 5)]))
        self.moments.append(time.perf_counter())
        if not self.started.done():
            self.started.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


def bench(quick: bool) -> dict[str, Any]:
    """5,000 clients (1,000 with `quick`), 20 results a second, then SIGTERM."""
    clients, seconds = (1_000, 10) if quick else (CLIENTS, 30)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="opjudge-bench-") as folder:
        place = Place(Path(folder))
        queue_up(place, int(RATE * seconds))
        with serving(place) as served:
            found = uvloop.run(_watched(served.url, served.process, clients))
            found["exit_code"] = served.process.wait(30)
            found["clean_exit"] = not any("Traceback" in line for line in served.log)
    return found


def queue_up(place: Place, count: int) -> None:
    """A board, and as many people with a submission each that waits for it."""
    write_problems(place.folder / "problems", 1)
    make_boards(place)
    services = build(place.settings())
    package = services.catalog.package(slug(0))
    now = services.clock()
    with services.db.write() as session:
        for i in range(count):
            user = User(name=f"person{i}", key=f"person{i}", created_at=now)
            session.add(user)
            session.flush()
            submission = Submission(
                id=uuid4(), user_id=user.id, problem=package.slug, device=DEVICE,
                mode=Mode.RANKED, language=Language.PYTHON, filename="solution.py",
                source_hash=f"{i:064x}", submitted_at=now,
            )  # fmt: skip
            session.add(submission)
            session.flush()
            judgements.enqueue(session, submission, package.hash, now)
    assert not boards.rebuild_all(services.db, services.catalog, now)
    services.db.close()


async def _watched(url: str, process: psutil.Process, clients: int) -> dict[str, Any]:
    worker = Connection(url)
    claims = await _claim_all(worker)
    before = process.memory_info().rss
    watchers = await _connect(url, clients)
    after = process.memory_info().rss
    say(f"{clients} clients connected, {len(claims)} results to come")
    first = watchers[0].revisions[-1]
    # The first connection was closed for being idle meanwhile.
    sent, cpu = await _hand_in(Connection(url), process, claims)
    last = first + len(sent)
    # News that is late is late, not lost: wait for it before counting.
    deadline = time.perf_counter() + 10
    while any(w.revisions[-1] < last for w in watchers) and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)
    start = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    await asyncio.gather(*(w.ended for w in watchers))
    process.wait(30)
    exit_s = time.perf_counter() - start
    delays = _delays_ms(watchers, first, sent)
    messages = [len(w.revisions) - 1 for w in watchers]
    return {
        "clients": clients,
        "events_per_s": round((len(sent) - 1) / (sent[-1] - sent[0]), 1),
        "delivery_p50_ms": round(float(np.percentile(delays, 50)), 1),
        "delivery_p99_ms": round(float(np.percentile(delays, 99)), 1),
        "delivery_max_ms": round(float(delays.max()), 1),
        "bytes_per_client": round((after - before) / clients),
        "web_rss_mb": round(after / 2**20, 1),
        "web_cpu_share": round(cpu / (sent[-1] - sent[0]), 2),
        "starved": sum(w.revisions[-1] < last for w in watchers),
        "messages_per_client": {"min": min(messages), "max": max(messages)},
        "exit_s": round(exit_s, 2),
    }


async def _claim_all(worker: Connection) -> list[wire.Claim]:
    claims: list[wire.Claim] = []
    body = b'{"worker": "bench", "device": "%s"}' % DEVICE.encode()
    while True:
        status, answer = await worker.request("POST", f"{_API}/worker/claims", _HEADERS, body)
        if status == 204:
            return claims
        claims.append(wire.Claim.model_validate_json(answer))


async def _connect(url: str, count: int) -> list[Watcher]:
    host, port = str(urlsplit(url).hostname), int(urlsplit(url).port or 0)
    path = f"{_API}/standings/{slug(0)}/{DEVICE}/events"
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    watchers: list[Watcher] = []
    while len(watchers) < count:
        opened = [
            Watcher(request, loop.create_future(), loop.create_future())
            for _ in range(min(_OPENING, count - len(watchers)))
        ]
        for watcher in opened:
            await loop.create_connection(partial(_itself, watcher), host, port)
        await asyncio.gather(*(watcher.started for watcher in opened))
        watchers += opened
    return watchers


def _itself(watcher: Watcher) -> Watcher:
    return watcher


async def _hand_in(
    worker: Connection, process: psutil.Process, claims: list[wire.Claim]
) -> tuple[list[float], float]:
    """When each result was handed in, and the CPU seconds the server used meanwhile."""
    results = [_result(claim, i) for i, claim in enumerate(claims)]
    times = process.cpu_times()
    begin = time.perf_counter()
    sent = []
    for i, (claim, body) in enumerate(zip(claims, results, strict=True)):
        await asyncio.sleep(max(0.0, begin + i / RATE - time.perf_counter()))
        sent.append(time.perf_counter())
        path = f"{_API}/worker/judgements/{claim.judgement_id}/result"
        headers = {**_HEADERS, "Lease-Token": claim.lease_token}
        status, answer = await worker.request("POST", path, headers, body)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {answer[:200]!r}")
    now = process.cpu_times()
    return sent, now.user + now.system - times.user - times.system


def _result(claim: wire.Claim, number: int) -> bytes:
    value = 1.0 + number / 100
    score = wire.Interval(value=value, low=value * 0.999, high=value * 1.001)
    hash = claim.submission_id.hex
    result = make_result(claim.package_hash, score=score, artifact_hash=hash, seed=claim.seed)
    return result.model_dump_json().encode()


def _delays_ms(watchers: list[Watcher], first: int, sent: list[float]) -> "np.ndarray[Any, Any]":
    """For every client and event, how late it was; endless where it never came."""
    events = np.arange(first + 1, first + 1 + len(sent))
    found = []
    for watcher in watchers:
        moments = np.asarray([*watcher.moments, np.inf])
        found.append(moments[np.searchsorted(watcher.revisions, events)] - np.asarray(sent))
    return np.concatenate(found) * 1000
