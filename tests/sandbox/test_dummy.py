"""The stand-in: the same interface, no isolation."""

import os
import select
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.base import Command, SandboxError
from sandbox.dummy import Dummy
from sandbox.outcome import Status
from tests.sandbox.conftest import LIMITS, dies, eventually, python, shell

DUMMY = Dummy()


def test_it_says_that_it_isolates_nothing() -> None:
    assert DUMMY.describe() == {"backend": "dummy", "isolation": "none"}


def test_a_program_and_its_files() -> None:
    command = shell(
        "cat d/in >out; echo o; echo e >&2; exit 5", files={"d/in": b"x"}, collect=["out", "no"]
    )
    outcome = DUMMY.run(command, LIMITS)
    assert (outcome.status, outcome.exit_code) == (Status.NONZERO_EXIT, 5)
    assert (outcome.stdout, outcome.stderr, outcome.files) == (b"o\n", b"e\n", {"out": b"x"})


def test_its_work_directory_is_removed() -> None:
    work = DUMMY.run(shell("pwd"), LIMITS).stdout.decode().strip()
    assert "opjudge-dummy-" in work
    assert not Path(work).exists()


def test_signals_limits_and_environment() -> None:
    outcome = DUMMY.run(shell("kill -9 $$"), LIMITS)
    assert (outcome.status, outcome.signal, outcome.exit_code) == (Status.SIGNALLED, 9, 137)
    assert DUMMY.run(shell("sleep 1000"), replace(LIMITS, wall_s=0.1)).status is Status.WALL_LIMIT
    assert DUMMY.run(shell("yes"), LIMITS).status is Status.OUTPUT_LIMIT
    os.environ["OPJUDGE_LEAK"] = "1"
    assert b"LEAK" not in DUMMY.run(shell("env"), LIMITS).stdout
    del os.environ["OPJUDGE_LEAK"]


def test_stop_resume_and_the_end_of_the_session(closing: list[int]) -> None:
    r, w = os.pipe()
    closing += [r, w]
    os.set_blocking(r, False)
    code = f"import os\nwhile True: os.write({w}, b'x')"
    resident = DUMMY.start(python(code, share=[w]), LIMITS)

    def drain() -> int:
        return len(os.read(r, 1 << 20)) if select.select([r], [], [], 0)[0] else 0

    assert eventually(lambda: drain() > 0)
    resident.stop()
    drain()
    assert drain() == 0
    resident.resume()
    assert eventually(lambda: drain() > 0)
    closing.append(os.pidfd_open(resident.pid))
    assert resident.end().status is Status.OK
    assert dies(closing[-1], 0)
    assert not threading.enumerate()[1:]


def test_the_harness_is_found_without_mounts() -> None:
    argv, files = ("a.py", "1", "a.py"), {"a.py": b"def solve(x): ..."}
    outcome = DUMMY.run(Command(argv, files, module="sandbox.harness.source"), LIMITS)
    assert outcome.status is Status.OK, outcome


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(SandboxError, match="no-such-program"):
        DUMMY.run(Command(["/no-such-program"]), LIMITS)
