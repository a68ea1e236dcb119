"""compose.yaml as an operator uses it: up, a verdict, deaths, a verdict, down."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.base import SandboxError
from sandbox.docker_engine import engine
from tests.compose_engine import BASE, REPOSITORY, SERVERS, ComposeEngine, compose_engine
from tests.e2e.stack import BASELINE, OPJUDGE, SLOW, environment, write_problems
from tests.judge.machinery import gone, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENT_S = 240.0
URL = "http://127.0.0.1:8000"
SECRETS = ("database_password", "redis_password", "worker_token")
SERVICES = ("db", "queue", "web", "worker")
# A service that is quick to notice things.
QUICK = """\
services:
  web:
    environment:
      OPJUDGE_LEASE_S: "3"
      OPJUDGE_RECONCILE_S: "0.3"
      OPJUDGE_PASSWORD_TIME_COST: "1"
      OPJUDGE_REQUIRE_CERTIFICATE: "false"
      OPJUDGE_CANARY_EVERY_S: "0"
"""


def most_rtprio() -> int:
    """What an engine on this machine may give: root without CAP_SYS_RESOURCE may give no more."""
    raised = subprocess.run(["prlimit", "--rtprio=2", "true"], capture_output=True, check=False)
    return 2 if raised.returncode == 0 else 0


class Composed:
    """A project of compose.yaml, and the command line beside it."""

    def __init__(self, found: ComposeEngine, folder: Path) -> None:
        self.engine, self.folder = found, folder
        (folder / "quick.yaml").write_text(QUICK)
        (folder / "secrets").mkdir(mode=0o700)
        for number, name in enumerate(SECRETS):
            (folder / "secrets" / name).write_text(f"secret/{number}@ {os.urandom(16).hex()}\n")
        write_problems(folder / "problems")

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def compose(self, *argv: str, code: int = 0) -> str:
        files = ["-f", str(REPOSITORY / "compose.yaml"), "-f", str(self.folder / "quick.yaml")]
        ours = {
            "DOCKER_HOST": self.engine.url,
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
            "COMPOSE_PROJECT_NAME": "opjudge",
            "BASE_IMAGE": BASE,
            "POSTGRES_IMAGE": SERVERS,
            "VALKEY_IMAGE": SERVERS,
            "OPJUDGE_SECRETS": str(self.folder / "secrets"),
            "OPJUDGE_PROBLEMS": str(self.folder / "problems"),
            "WORKER_RTPRIO": str(most_rtprio()),
        }
        variables = {k: v for k, v in os.environ.items() if not k.startswith("OPJUDGE_")} | ours
        return called(
            ["docker-compose", "--project-directory", str(REPOSITORY), *files, *argv],
            variables,
            code,
        )

    def opjudge(self, *argv: str, code: int | None = 0) -> Any:
        """A contestant's command, somewhere the published port can be reached.

        Args:
            code: None for whatever comes of it; then nothing if that is no JSON.
        """
        command = [*self.engine.inside, *OPJUDGE, *argv, "--json"]
        text = called(command, environment(self.folder, "ada", URL), code)
        return json.loads(text or "{}")

    def submit(self, text: str) -> str:
        (self.folder / "solution.py").write_text(text)
        submitted = self.opjudge("submit", str(self.folder / "solution.py"), "--no-watch")
        return str(submitted["id"])

    def look(self, submission: str) -> dict[str, Any]:
        found: dict[str, Any] = self.opjudge("status", submission, code=None)
        return found

    def judged(self, submission: str) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            found = self.look(submission)
            return found if found.get("status") == "judged" else None

        found = until(final, "a verdict", PATIENT_S)
        assert found is not None
        return found

    def inspect(self, service: str) -> dict[str, Any]:
        with engine(self.engine.url) as client:
            found: dict[str, Any] = client.inspect_container(f"opjudge_{service}_1")
            return found

    def crash(self, service: str) -> None:
        """As the kernel does to what takes too much memory; the engine starts it again."""
        pid = int(self.inspect(service)["State"]["Pid"])
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone([pid]), f"the end of {service}")

    def python(self, service: str, code: str) -> str:
        argv = ["docker", "--host", self.engine.url, "exec", f"opjudge_{service}_1"]
        return called([*argv, "python3", "-c", code], dict(os.environ))


def called(argv: list[str], variables: dict[str, str], code: int | None = 0) -> str:
    done = subprocess.run(
        argv, env=variables, capture_output=True, text=True, check=False, timeout=PATIENT_S
    )
    assert code is None or done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    try:
        with compose_engine() as found:
            project = Composed(found, tmp_path_factory.mktemp("compose"))
            project.compose("build")
            try:
                project.compose("up", "--detach")
                project.opjudge("register", "ada")
                yield project
            finally:
                project.compose("down", "--volumes")
    except SandboxError as error:
        pytest.fail(str(error))


def test_what_is_up_judges_whatever_dies_meanwhile(composed: Composed) -> None:
    ready = "import urllib.request as u; print(u.urlopen('http://web:8000/readyz').read().decode())"
    assert json.loads(composed.python("worker", ready))["redis"] == "ok"
    assert composed.judged(composed.submit(BASELINE))["verdict"] == "AC"

    slow = composed.submit(SLOW)
    until(lambda: composed.look(slow).get("status") in ("checking", "timing"), "judging", PATIENT_S)
    composed.crash("worker")
    judged = composed.judged(slow)
    assert (judged["verdict"], judged["attempt"]) == ("AC", 2)

    waiting = composed.submit(SLOW + "# once more\n")
    for service in ("web", "queue", "db"):
        composed.crash(service)
    assert composed.judged(waiting)["verdict"] == "AC"
    assert {item["verdict"] for item in composed.opjudge("submissions")["items"]} == {"AC"}


def test_secrets_show_nowhere_and_a_worker_cannot_reach_the_database(composed: Composed) -> None:
    shown = [json.dumps(composed.inspect(service)) for service in SERVICES]
    listed = [
        Path(f"/proc/{composed.inspect(service)['State']['Pid']}/{file}").read_text()
        for service in SERVICES
        for file in ("cmdline", "environ")
    ]
    logged = composed.compose("logs", "--no-color")
    for name in SECRETS:
        assert composed.secret(name) not in "".join([*shown, *listed, logged])

    look_up = "import socket; print(socket.getaddrinfo('{}', 1)[0][4])"
    assert composed.python("web", look_up.format("db"))
    unreachable = ["docker", "--host", composed.engine.url, "exec", "opjudge_worker_1"]
    called([*unreachable, "python3", "-c", look_up.format("db")], dict(os.environ), code=1)
    folder = "import os; print(os.listdir('/run/secrets'))"
    assert "database" not in composed.python("worker", folder)


def test_down_leaves_no_container(composed: Composed) -> None:
    pids = [int(composed.inspect(service)["State"]["Pid"]) for service in SERVICES]
    composed.compose("down")
    with engine(composed.engine.url) as client:
        assert client.containers(all=True) == []
    assert gone(pids)
