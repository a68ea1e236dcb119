"""The real web server for benches, as a process of its own."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from leaderboard.app import start
from leaderboard.services import build
from leaderboard.settings import Settings
from tests.bench.history import History, fill, write_problems

WORKER_TOKEN = "a worker token for benches"


@dataclass(frozen=True)
class Place:
    """Where a service keeps what it has.

    Attributes:
        database_url: None for SQLite in the folder.
        redis_url: None for none.
    """

    folder: Path
    database_url: str | None = None
    redis_url: str | None = None

    def settings(self) -> Settings:
        return Settings(
            data_dir=self.folder / "data",
            problems_dir=self.folder / "problems",
            database_url=self.database_url,
            worker_token=WORKER_TOKEN,
            require_certificate=False,
        )

    def environment(self) -> dict[str, str]:
        known = {
            "OPJUDGE_DATA_DIR": str(self.folder / "data"),
            "OPJUDGE_PROBLEMS_DIR": str(self.folder / "problems"),
            "OPJUDGE_WORKER_TOKEN": WORKER_TOKEN,
            "OPJUDGE_REQUIRE_CERTIFICATE": "false",
            "OPJUDGE_CANARY_EVERY_S": "0",
            # One client asks for a thousand people here; it is counted all the same.
            "OPJUDGE_API_RATE": "1000000/minute",
            "OPJUDGE_API_ADDRESS_RATE": "1000000/minute",
            "OPJUDGE_PORT": "0",
            "OPJUDGE_LEASE_S": "3600",
        }
        if self.database_url:
            known["OPJUDGE_DATABASE_URL"] = self.database_url
        if self.redis_url:
            known["OPJUDGE_REDIS_URL"] = self.redis_url
        return {**os.environ, **known}


def furnish(place: Place, count: int, problems: int, tokens: int = 1000) -> History:
    """Make the problems and a database with a history; the boards are made by the server."""
    write_problems(place.folder / "problems", problems)
    services = build(place.settings())
    services.db.migrate()
    services.catalog.publish(services.db, services.clock())
    hashes = {p.slug: p.package_hash for p in services.catalog.summaries()}
    services.db.close()
    return fill(place.settings().database, hashes, count, tokens)


def make_boards(place: Place) -> None:
    """What the first start does."""
    services = build(place.settings())
    start(services)
    services.db.close()


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        log: what it wrote to stderr so far, by lines.
    """

    url: str
    process: psutil.Process
    log: list[str]


@contextmanager
def serving(place: Place) -> Iterator[Served]:
    """`python -m leaderboard`. Killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "leaderboard"],
        env=place.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            log: list[str] = []
            for line in process.stderr:
                log.append(line)
                found = re.search(r"running on (http://[0-9.:]+)", line)
                if found:
                    break
            else:
                raise RuntimeError("the server did not start:\n" + "".join(log[-20:]))
            # Somebody has to read on, or the server stands still when the pipe is full.
            reading = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
            reading.start()
            yield Served(found[1], psutil.Process(process.pid), log)
        finally:
            process.kill()
            process.wait()
