"""What the README's threat model says of each token and of the logs, from outside."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from judge import wire
from judge.verdict import Status
from leaderboard.settings import Settings
from tests.judge.machinery import until
from tests.leaderboard.conftest import WORKER_TOKEN, MakeWorld
from tests.leaderboard.world import (
    API,
    PASSWORD,
    SOURCE,
    Person,
    World,
    assert_problem,
    make_result,
)

OTHER_TOKEN = "another worker token"


# --- a worker's token ---------------------------------------------------------------------


def test_a_workers_token_is_nobodys_on_the_board(world: World) -> None:
    submission = world.submit(world.person("ada"))
    worker = Person("worker", world.worker_headers)

    for response in (
        world.post_submission(worker),
        world.cancel(submission, worker),
        world.get(f"/submissions/{submission}/source", worker),
    ):
        assert_problem(response, 403, "missing-scope")
    detail = world.detail(submission, worker)
    world.finish(world.claim())
    detail = world.detail(submission, worker)
    assert detail.result is not None
    assert (detail.result.log, detail.result.stdout) == ("", "")


def test_a_stolen_workers_token_is_worthless_once_it_was_replaced(make_world: MakeWorld) -> None:
    old = make_world()
    old.submit(old.person("ada"))
    claim = old.claim()

    new = make_world(worker_token=OTHER_TOKEN)

    for world in (old, new):
        world.worker_headers = {"Authorization": f"Bearer {WORKER_TOKEN}"}
        assert_problem(world.post_claim(), 401, "invalid-token")
        assert_problem(world.finish(claim), 401, "invalid-token")
    new.worker_headers = {"Authorization": f"Bearer {OTHER_TOKEN}"}
    assert new.finish(claim).status_code == 200, "what is being judged meanwhile is not lost"


# --- a contestant's token -----------------------------------------------------------------


def test_a_contestants_token_decides_no_verdict_and_reads_no_package(world: World) -> None:
    ada = world.person("ada")
    submission = world.submit(ada)
    claim = world.claim()

    world.worker_headers = dict(ada.headers)
    refused = [
        world.post_claim(),
        world.finish(claim),
        world.report(claim, "heartbeat"),
        world.report(claim, "progress", wire.Progress(status=Status.TIMING)),
        world.report(claim, "release", {"reason": "x"}),
        world.client.get(f"{API}/worker/packages/{claim.package_hash}", headers=ada.headers),
    ]
    for response in refused:
        assert_problem(response, 403, "missing-scope")
    assert world.detail(submission).status is Status.BUILDING


def test_nobodys_source_and_log_are_somebody_elses(world: World) -> None:
    ada, eve = world.person("ada"), world.person("eve")
    submission = world.submit(ada)
    world.finish(world.claim())

    assert_problem(world.get(f"/submissions/{submission}/source", eve), 403, "not-yours")
    assert_problem(world.cancel(submission, eve), 403, "not-yours")
    seen = world.get(f"/submissions/{submission}", eve).text
    assert "the log" not in seen
    assert "printed" not in seen


def test_a_logged_out_token_is_worthless_at_once(world: World) -> None:
    ada = world.person("ada")
    assert world.client.delete(f"{API}/tokens/current", headers=ada.headers).status_code == 204
    assert_problem(world.post_submission(ada), 401, "invalid-token")


# --- logs ---------------------------------------------------------------------------------


@contextmanager
def web_process(settings: Settings, folder: Path) -> Iterator[tuple[str, Path]]:
    """A server as it is started by people; its URL, and the file of all that it prints."""
    printed = folder / "printed"
    known = {
        "OPJUDGE_DATA_DIR": str(folder / "process"),
        "OPJUDGE_PROBLEMS_DIR": str(settings.problems_dir),
        "OPJUDGE_WORKER_TOKEN": WORKER_TOKEN,
        "OPJUDGE_REQUIRE_CERTIFICATE": "false",
        "OPJUDGE_CANARY_EVERY_S": "0",
        "OPJUDGE_PASSWORD_TIME_COST": "1",
        "OPJUDGE_PORT": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": "/usr/bin:/bin",
    }
    argv = [sys.executable, "-m", "leaderboard"]
    with (
        printed.open("wb") as file,
        subprocess.Popen(argv, env=known, stdout=file, stderr=file) as process,
    ):
        try:
            found = until(
                lambda: re.search(r"running on (http://[0-9.:]+)", printed.read_text()), "a server"
            )
            assert found is not None
            yield found[1], printed
        finally:
            process.terminate()
            process.wait(30)


def test_no_secret_is_logged_whatever_happens(
    make_settings: Callable[..., Settings], folder: Path
) -> None:
    with (
        web_process(make_settings(), folder) as (url, printed),
        httpx2.Client(base_url=url, trust_env=False) as client,
    ):
        worker = {"Authorization": f"Bearer {WORKER_TOKEN}"}
        world = World(client, time.monotonic, worker)  # type: ignore[arg-type]
        ada = world.person("ada")
        wrong = {"name": "ada", "password": "quite the wrong one"}
        assert client.post(f"{API}/tokens", json=wrong).status_code == 401
        assert client.post(f"{API}/tokens", content=b'{"password": "half a json').status_code == 422
        made_up = Person("x", {"Authorization": "Bearer opj_made-up-token"})
        assert world.post_submission(made_up).status_code == 401
        world.submit(ada)
        claim = world.claim()
        assert world.finish(claim, artifact_hash="not a hash").status_code == 422
        assert world.report(claim, "result", {}, token="not the lease").status_code == 422
        world.finish(claim)
    text = printed.read_text()
    assert "submission=" in text, "it does log"
    secrets = {
        "password": PASSWORD,
        "wrong password": wrong["password"],
        "malformed password": "half a json",
        "person's token": ada.headers["Authorization"].removeprefix("Bearer "),
        "made-up token": "opj_made-up-token",
        "worker's token": WORKER_TOKEN,
        "lease": claim.lease_token,
        "seed": claim.seed,
        "source": SOURCE.decode().splitlines()[1].strip(),
    }
    assert [name for name, secret in secrets.items() if secret in text] == []


def test_results_are_made_only_by_whoever_holds_the_lease(world: World) -> None:
    submission = world.submit(world.person("ada"))
    claim = world.claim()
    forged = make_result(claim.package_hash, seed=claim.seed)
    assert_problem(world.report(claim, "result", forged, token="guess"), 409, "lease-lost")
    assert world.detail(submission).verdict is None
