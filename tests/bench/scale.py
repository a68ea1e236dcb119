"""Does the service slow down as its history grows? 10 thousand to a million submissions.

On SQLite and on PostgreSQL, with 100,000 people and 500 problems. Latencies are those of one client
on this machine, in ms: of pages looked at before (warm), of boards nobody looked at since the
server started (cold), and of handing in 100 times a second, counted from when each was due. Beside
each stands what a request cost the web process in CPU time: neighbours can spoil only the former.
"""

import asyncio
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.bench.figures import say
from tests.bench.history import DEVICE, PROBLEMS, History, settle
from tests.bench.http import Connection, multipart, timed_ms
from tests.bench.service import Place, furnish, make_boards, serving
from tests.leaderboard import clusters

SIZES = (10_000, 100_000, 1_000_000)
RATE = 100.0
_CONNECTIONS = 32
_SOURCE = b"import torch\n\n\ndef solve(x, y, eps):\n    torch.mul(x, 1 + eps, out=y)\n"


def bench(quick: bool) -> dict[str, Any]:
    """Every size on both databases; with `quick` without the largest one."""
    sizes = SIZES[:2] if quick else SIZES
    found: dict[str, Any] = {name: {} for name in ("sqlite", "postgresql")}
    for name, measured in found.items():
        for size in sizes:
            with database(name) as place:
                measured[str(size)] = measure(place, size, quick)
                say(f"{name}, {size}: {measured[str(size)]}")
    return {**found, "growth": growth(found, str(sizes[0]), str(sizes[-1]))}


def growth(found: dict[str, Any], smallest: str, largest: str) -> dict[str, float]:
    """The larger factor of the two databases, from the smallest history to the largest."""
    keys = {"board": "board_p99_ms", "board_p50": "board_p50_ms", "board_cpu": "board_cpu_ms",
            "board_cold": "board_cold_p99_ms", "board_cold_cpu": "board_cold_cpu_ms",
            "list_cpu": "list_cpu_ms", "detail_cpu": "detail_cpu_ms", "submit_cpu": "submit_cpu_ms",
            "submit": "submit_p99_ms"}  # fmt: skip
    return {
        name: round(max(of[largest][key] / of[smallest][key] for of in found.values()), 2)
        for name, key in keys.items()
    }


@contextmanager
def database(name: str) -> Iterator[Place]:
    """A place with an empty database, on disk, durable."""
    with tempfile.TemporaryDirectory(prefix="opjudge-bench-") as folder:
        if name == "sqlite":
            yield Place(Path(folder))
            return
        bin_dir = clusters.postgres_bin()
        if bin_dir is None:
            raise RuntimeError("PostgreSQL is not installed")
        with clusters.postgres(bin_dir, durable=True) as socket_dir:
            clusters.postgres_execute(socket_dir, ["CREATE DATABASE bench"])
            yield Place(Path(folder), f"postgresql://judge@/bench?host={socket_dir}")


def measure(place: Place, size: int, quick: bool) -> dict[str, float]:
    begin = time.perf_counter()
    history = furnish(place, size, PROBLEMS)
    say(f"  {size} submissions written in {time.perf_counter() - begin:.0f} s")
    begin = time.perf_counter()
    make_boards(place)
    rebuilt = time.perf_counter() - begin
    settle(place.settings().database)
    with serving(place) as served:
        figures = asyncio.run(_measured(served.url, served.process, history, quick))
    return {**figures, "first_start_s": round(rebuilt, 1)}


async def _measured(
    url: str, process: psutil.Process, history: History, quick: bool
) -> dict[str, float]:
    connection = Connection(url)
    rounds = 500 if quick else 3000
    boards = [f"/api/v1/standings/{slug}/{DEVICE}" for slug in history.hottest]
    figures: dict[str, float] = {}

    async def series(paths: list[str], count: int) -> list[float]:
        return [
            await timed_ms(connection, path)
            for path, _ in zip(cycle(paths), range(count), strict=False)
        ]

    async def note(name: str, work: Awaitable[list[float]]) -> None:
        before = _cpu_s(process)
        took = await work
        figures[f"{name}_cpu_ms"] = round(1000 * (_cpu_s(process) - before) / len(took), 2)
        for q in (50, 99):
            figures[f"{name}_p{q}_ms"] = round(float(np.percentile(took, q)), 2)

    # The readiness probe is what the first request of all would pay for.
    await timed_ms(connection, "/readyz")
    await note("board_cold", series(boards, len(boards)))
    pages = [f"/boards/{slug}/{DEVICE}" for slug in history.hottest[:10]]
    details = [f"/api/v1/submissions/{i}" for i in history.submissions]
    warm = {"board": boards, "board_page": pages, "list": _lists(history), "detail": details}
    for name, paths in warm.items():
        await series(paths, len(paths))
        await note(name, series(paths, rounds))
    await note("problems", series(["/"], 10))
    await note("board_304", _unchanged(connection, boards[0], rounds))
    connection.close()
    await note("submit", _submit(url, history, 5 if quick else 20))
    figures["web_rss_mb"] = round(process.memory_info().rss / 2**20, 1)
    return figures


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _lists(history: History) -> list[str]:
    index = "/api/v1/submissions"
    hot, rare = history.hottest[0], history.hottest[-1]
    queries = ["", f"?problem={hot}", f"?problem={rare}", "?before=5000"]
    queries += [f"?user={name}" for name in history.active]
    queries += [f"?user={name}&problem={hot}" for name in history.active]
    return [index + query for query in queries]


async def _unchanged(connection: Connection, path: str, rounds: int) -> list[float]:
    reader = await connection.send("GET", path)
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    await reader.readexactly(int(fields[b"content-length"]))
    took, tag = [], fields[b"etag"].decode()
    for _ in range(rounds):
        start = time.perf_counter()
        status, _ = await connection.request("GET", path, {"If-None-Match": tag})
        took.append((time.perf_counter() - start) * 1000)
        if status != 304:
            raise RuntimeError(f"{path} changed while nobody handed anything in: {status}")
    return took


async def _submit(url: str, history: History, seconds: float) -> list[float]:
    """Hand in at a steady rate, whatever the answers take."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(Connection(url))
    took: list[float] = []

    async def hand_in(number: int, due: float) -> None:
        token = history.tokens[number % len(history.tokens)]
        fields = {"problem": history.hottest[number % 60], "device": DEVICE, "mode": "ranked",
                  "id": str(uuid.uuid4())}  # fmt: skip
        kind, body = multipart(fields, "solution.py", _SOURCE + b"# %d\n" % number)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        connection = await free.get()
        status, answer = await connection.request("POST", "/api/v1/submissions", headers, body)
        free.put_nowait(connection)
        took.append((time.perf_counter() - due) * 1000)
        if status != 201:
            raise RuntimeError(f"POST /submissions: {status} {answer[:200]!r}")

    await _steadily(hand_in, RATE, seconds)
    # The first second opens the connections.
    return took[int(RATE) :]


async def _steadily(
    act: Callable[[int, float], Awaitable[None]], rate: float, seconds: float
) -> None:
    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(act(number, due))  # type: ignore[arg-type]
