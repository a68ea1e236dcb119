"""Judged submissions a minute, from handing in to the last verdict, and what more workers bring.

`embedded` is `opjudge up`: SQLite, and its own Valkey. `compose` has the servers of compose.yaml as
processes of this machine: PostgreSQL that waits for the disk, a Valkey with its append-only file,
web server and workers. In both the submissions are handed in first, all at once, in test mode; the
clock runs from the first to the last verdict's arrival, with the workers warm.

Workers on one machine share its cores: what a second one brings here is what the machine has left,
not what a second machine would.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from judge.client import Client, Upload
from judge.package import bundled_problems
from judge.verdict import Mode, Verdict
from judge.wire import Credentials, TokenRequest
from tests.bench.figures import say
from tests.bench.service import Place, serving
from tests.leaderboard import clusters

PROBLEM = "vector_add"
SUBMISSION = "accepted/torch_add.py"
_PATIENCE_S = 600.0
_OPJUDGE = (sys.executable, "-m", "judge.cli")


def bench(quick: bool) -> dict[str, Any]:
    """30 submissions (8 with `quick`) with each number of workers."""
    count, workers = (8, (1, 2)) if quick else (30, (1, 2, 4))
    found: dict[str, Any] = {"cores": os.cpu_count(), "submissions": count}
    for name, service in (("embedded", embedded), ("compose", composed)):
        by_workers = {}
        for number in workers:
            with (
                tempfile.TemporaryDirectory(prefix="opjudge-bench-") as folder,
                service(Path(folder)) as (url, known),
            ):
                by_workers[str(number)] = measured(Path(folder), url, known, number, count)
            say(f"{name}, {number} workers: {by_workers[str(number)]} judged a minute")
        found[name] = {"judged_per_min": by_workers["1"], "workers": by_workers}
    return found


def measured(
    folder: Path, url: str, environment: Mapping[str, str], workers: int, count: int
) -> float:
    """Judged submissions a minute."""
    text = (bundled_problems() / PROBLEM / "submissions" / SUBMISSION).read_text()
    with ExitStack() as stack:
        client = stack.enter_context(logged_in(url))
        for number in range(workers):
            stack.enter_context(worker(folder / f"worker{number}", environment))
        # One each, so that every worker is up and warm.
        for number in range(2 * workers):
            hand_in(client, f"{text}\n# warm {number}\n")
        await_verdicts(client, 2 * workers)
        ours = [hand_in(client, f"{text}\n# {number}\n") for number in range(count)]
        await_verdicts(client, 2 * workers + count)
        details = [client.submission(each) for each in ours]
    wrong = [detail.verdict for detail in details if detail.verdict is not Verdict.AC]
    if wrong:
        raise RuntimeError(f"the bench's submission got {wrong}")
    begun = min(detail.submitted_at for detail in details)
    ended = max(detail.judged_at for detail in details if detail.judged_at)
    return round(60 * count / (ended - begun).total_seconds(), 1)


def hand_in(client: Client, text: str) -> UUID:
    upload = Upload("solution.py", text.encode())
    return client.submit(uuid4(), upload, problem=PROBLEM, device="cpu", mode=Mode.TEST).id


def await_verdicts(client: Client, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = client.submissions(limit=100).items
        if sum(item.status.final for item in found) == count:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} submissions were not judged in {_PATIENCE_S:.0f} s")
        time.sleep(0.2)


@contextmanager
def logged_in(url: str) -> Iterator[Client]:
    credentials = Credentials(name="bench", password="throughput bench")
    with Client(url) as stranger:
        stranger.register(credentials)
        request = TokenRequest(**credentials.model_dump(), label="bench")
        token = stranger.create_token(request)
    with Client(url, token.token) as client:
        yield client


@contextmanager
def worker(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    with running([*_OPJUDGE, "worker", "--data-dir", str(folder)], environment):
        yield


@contextmanager
def embedded(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """URL, and what a worker's environment must say."""
    argv = [*_OPJUDGE, "up", "--json", "--no-worker", "--port", "0", "--data-dir", f"{folder}/data"]
    with running(argv, {}, stdout=subprocess.PIPE) as process:
        document = first_document(process)
        token = (folder / "data" / "worker.token").read_text().strip()
        known = {"OPJUDGE_WORKER_TOKEN": token, "OPJUDGE_REDIS_URL": document["queue"]}
        yield document["url"], {"OPJUDGE_URL": document["url"], **known}


@contextmanager
def composed(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The same on PostgreSQL and a Valkey of its own."""
    bin_dir = clusters.postgres_bin()
    if bin_dir is None:
        raise RuntimeError("install PostgreSQL: its programs initdb and pg_ctl are needed")
    with clusters.postgres(bin_dir, durable=True) as socket, clusters.valkey(durable=True) as queue:
        clusters.postgres_execute(socket, ["CREATE DATABASE opjudge"])
        database = f"postgresql://judge@/opjudge?host={socket}"
        (folder / "problems").symlink_to(bundled_problems())
        place = Place(folder, database, queue)
        with serving(place) as served:
            yield (
                served.url,
                {
                    "OPJUDGE_URL": served.url,
                    "OPJUDGE_REDIS_URL": queue,
                    "OPJUDGE_WORKER_TOKEN": place.environment()["OPJUDGE_WORKER_TOKEN"],
                },
            )


@contextmanager
def running(
    argv: list[str], environment: Mapping[str, str], stdout: int = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[str]"]:
    """A process of ours; told to stop at the end, and waited for."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("OPJUDGE_")}
    with subprocess.Popen(
        argv,
        env={**variables, **environment},
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


def first_document(process: "subprocess.Popen[str]") -> dict[str, str]:
    text = ""
    assert process.stdout is not None
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            found: dict[str, str] = json.loads(text)
            return found
    raise RuntimeError(f"opjudge up did not start: {text}")
