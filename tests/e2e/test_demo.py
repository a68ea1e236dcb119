"""`opjudge demo`: checks every verdict, and leaves nothing behind."""

import json
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.stack import OPJUDGE, PATIENT_S, environment, write_problems
from tests.judge.machinery import gone, until

pytestmark = pytest.mark.slow


def demo(folder: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    command = [*OPJUDGE, "demo", "--exit", "--problems-dir", str(folder / "problems"), *argv]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment(folder, "nobody") | {"TMPDIR": tempfile.gettempdir()},
        timeout=PATIENT_S,
    )


def test_every_verdict_is_as_expected(tmp_path: Path) -> None:
    write_problems(tmp_path / "problems")
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 2 verdicts are as the packages expect" in done.stdout
    assert "row_scale on cpu" in done.stdout
    assert "accepted/numpy_mul.py" in done.stdout


def test_a_verdict_that_is_not_as_expected_fails_it(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems")
    wrong = problems / "row_scale/submissions/wrong_answer/plus_one.py"
    wrong.rename(problems / "row_scale/submissions/accepted/plus_one.py")
    done = demo(tmp_path, "--json", "--data-dir", str(tmp_path / "kept"))
    assert done.returncode == 1, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["ok"] is False
    complaints = {s["path"]: s["complaint"] for s in document["submissions"]}
    assert complaints["accepted/plus_one.py"] == "got WA, expected AC"
    assert complaints["accepted/numpy_mul.py"] == ""
    assert (tmp_path / "kept" / "opjudge.db").exists()


def test_it_stays_up_until_it_is_stopped(tmp_path: Path) -> None:
    write_problems(tmp_path / "problems")
    (tmp_path / "problems/row_scale/submissions/wrong_answer/plus_one.py").unlink()
    command = [*OPJUDGE, "demo", "--problems-dir", str(tmp_path / "problems")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(tmp_path, "nobody")
    ) as process:
        assert process.stdout is not None
        try:
            until(lambda: "Ctrl-C ends" in next(process.stdout or iter(())), "the end", PATIENT_S)
            everything = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
            assert len(everything) > 3
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENT_S) == 0
            assert gone(everything)
        finally:
            process.kill()
