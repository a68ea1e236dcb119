"""`opjudge up` as users start it, with a small fast problem, and the command line beside it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from judge.client import Client
from judge.verdict import Status
from judge.wire import SubmissionDetail
from tests.fixtures import write_package
from tests.judge.machinery import PATIENCE_S, gone, until

OPJUDGE = (sys.executable, "-m", "judge.cli")
PATIENT_S = 240.0
NUMPY = "#!OPJUDGE problem=row_scale arrays=numpy mode=benchmark\nimport numpy as np\nimport time\n"
BASELINE = f"{NUMPY}def solve(x, y, eps):\n    np.multiply(x, np.float32(1 + eps), out=y)\n"
WRONG = f"{NUMPY}def solve(x, y, eps):\n    y[:] = x + 1\n"
SLOW = f"{NUMPY}def solve(x, y, eps):\n    time.sleep(0.2)\n    np.multiply(x, np.float32(1 + eps), out=y)\n"  # noqa: E501


def write_problems(folder: Path) -> Path:
    """A folder with one problem: y = x * (1 + eps)."""
    write_package(
        folder / "row_scale",
        ("cost:", "limits: {time_limit_s: 2.0, memory_mib: 256}\ncost:"),
        files={
            "baseline.py": BASELINE,
            "submissions/accepted/torch_mul.py": None,
            "submissions/accepted/numpy_mul.py": BASELINE,
            "submissions/wrong_answer/plus_one.py": WRONG,
        },
    )
    return folder


class Stack:
    """A running `opjudge up`."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]", url: str) -> None:
        self.folder, self.process, self.url = folder, process, url

    # --- the command line ---

    def run(self, *argv: str, user: str = "ada", code: int | None = 0) -> str:
        """Run a command as that user; returns stdout."""
        done = subprocess.run(
            [*OPJUDGE, *argv],
            capture_output=True,
            text=True,
            check=False,
            env=environment(self.folder, user, self.url),
            timeout=PATIENT_S,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def json(self, *argv: str, user: str = "ada", code: int | None = 0) -> Any:
        return json.loads(self.run(*argv, "--json", user=user, code=code))

    def register(self, user: str = "ada") -> None:
        self.run("register", user, user=user)

    def write(self, text: str) -> str:
        path = self.folder / f"{uuid4().hex}.py"
        path.write_text(text)
        return str(path)

    def submit(self, text: str, *argv: str) -> SubmissionDetail:
        """Send in without waiting."""
        document = self.run("submit", self.write(text), "--no-watch", "--json", *argv)
        return SubmissionDetail.model_validate_json(document)

    def look(self, submission: SubmissionDetail) -> SubmissionDetail:
        with Client(self.url) as client:
            return client.submission(submission.id)

    def judged(self, submission: SubmissionDetail) -> SubmissionDetail:
        until(lambda: self.look(submission).status.final, "a verdict", PATIENT_S)
        return self.look(submission)

    def being_judged(self, submission: SubmissionDetail) -> None:
        """Wait until its program runs."""
        until(
            lambda: self.look(submission).status in (Status.CHECKING, Status.TIMING),
            "the judging",
            PATIENT_S,
        )

    # --- processes ---

    def child(self, what: str) -> psutil.Process:
        """The server, the worker or Valkey."""
        words = {"server": "leaderboard", "worker": "worker", "valkey": "valkey-server"}[what]

        def find() -> psutil.Process | None:
            for child in psutil.Process(self.process.pid).children():
                # Valkey rewrites its command line.
                if any(word.endswith(words) for word in [child.name(), *child.cmdline()]):
                    return child
            return None

        found = until(find, what)
        assert found is not None
        return found

    def everything(self) -> list[int]:
        """Every process of the stack but the first."""
        return [p.pid for p in psutil.Process(self.process.pid).children(recursive=True)]

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def environment(folder: Path, user: str, url: str = "") -> dict[str, str]:
    """Nothing of the developer's own, and a service that is quick to notice things."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("OPJUDGE_")}
    return ours | {
        "XDG_CONFIG_HOME": str(folder / "homes" / user),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OPJUDGE_PASSWORD": "correct horse battery",
        "OPJUDGE_LEASE_S": "3",
        "OPJUDGE_REQUIRE_CERTIFICATE": "false",
        "OPJUDGE_CANARY_EVERY_S": "0",
        "OPJUDGE_RECONCILE_S": "0.3",
        "OPJUDGE_PASSWORD_TIME_COST": "1",
        "OPJUDGE_PASSWORD_MEMORY_KIB": "64",
        **({"OPJUDGE_URL": url} if url else {}),
    }


@contextmanager
def running(folder: Path, *argv: str) -> Iterator[Stack]:
    """`opjudge up` on a free port; killed with all that is left of it when the test is over."""
    problems = folder / "problems"
    if not problems.exists():
        write_problems(problems)
    command = [*OPJUDGE, "up", "--json", "--port", "0", "--data-dir", str(folder / "data")]
    command += ["--problems-dir", str(problems), *argv]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(folder, "nobody")
    )
    with process:
        try:
            stack = Stack(folder, process, str(_first_document(process)["url"]))
            yield stack
        finally:
            left = [process.pid, *stack.everything()] if process.poll() is None else []
            process.kill()
            until(lambda: gone(left), "the end of everything")


def _first_document(process: "subprocess.Popen[str]") -> dict[str, Any]:
    text = ""
    assert process.stdout is not None
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            document: dict[str, Any] = json.loads(text)
            assert "url" in document, document
            return document
    raise AssertionError(f"opjudge up said nothing useful: {text!r}")
