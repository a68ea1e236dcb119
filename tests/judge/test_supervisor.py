"""The supervisor: starts again, stops in order, leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from judge.errors import UserError
from judge.supervisor import STOP_SIGNALS, Program, Stopped, Supervisor, pause
from tests.judge.machinery import PATIENCE_S, descendants, gone, living, until

Run = Callable[[str], "subprocess.Popen[str]"]
NOTE_PID = "echo $$ >> $1/pids; "


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with ExitStack() as stack:

        def run(script: str) -> "subprocess.Popen[str]":
            argv = [sys.executable, "-m", "tests.judge.supervisor_process", str(tmp_path), script]
            process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        yield run


def pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_what_is_killed_is_started_again(run: Run, tmp_path: Path) -> None:
    process = run(NOTE_PID + "exec sleep 1000")
    (first,) = until(lambda: pids(tmp_path), "a start")
    os.kill(first, signal.SIGKILL)
    until(lambda: len(pids(tmp_path)) == 2, "another start")
    process.terminate()
    told = process.communicate(timeout=PATIENCE_S)[0]
    assert "the script ended with status -9 and is started again" in told
    assert gone(pids(tmp_path))


def test_what_keeps_failing_is_started_less_and_less_often(run: Run, tmp_path: Path) -> None:
    process = run(NOTE_PID + "date +%s.%N >> $1/times; exit 3")
    times = tmp_path / "times"
    until(lambda: times.exists() and len(times.read_text().split()) >= 4, "four starts")
    process.terminate()
    process.wait(PATIENCE_S)
    stamps = [float(t) for t in times.read_text().split()]
    waits = [after - before for before, after in pairwise(stamps)]
    assert waits[1] > 0.5
    assert waits[2] > 1.0


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_every_stop_signal_stops_everything(run: Run, tmp_path: Path, number: int) -> None:
    process = run(NOTE_PID + "exec sleep 1000")
    until(lambda: pids(tmp_path), "a start")
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 0
    assert gone(pids(tmp_path))


def test_what_does_not_stop_is_killed(run: Run, tmp_path: Path) -> None:
    process = run("trap '' TERM; " + NOTE_PID + "while true; do sleep 0.1; done")
    until(lambda: pids(tmp_path), "a start")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert gone(pids(tmp_path))


def test_a_killed_supervisor_takes_its_programs_along(run: Run, tmp_path: Path) -> None:
    process = run(NOTE_PID + "exec sleep 1000")
    (child,) = until(lambda: pids(tmp_path), "a start")
    assert descendants(process.pid) == [child]
    process.kill()
    until(lambda: gone([child]), "the end of the program")


def test_programs_do_not_hear_the_terminals_signals(run: Run, tmp_path: Path) -> None:
    run(NOTE_PID + "exec sleep 1000")
    (child,) = until(lambda: pids(tmp_path), "a start")
    assert os.getsid(child) == child
    assert living(child)


# --- in this process ----------------------------------------------------------------------


@pytest.fixture
def blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("blocked")
def test_a_signal_ends_a_pause_at_once() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    with pytest.raises(Stopped):
        pause(PATIENCE_S)


@pytest.mark.usefixtures("blocked")
def test_a_program_that_dies_at_the_start_is_shown_with_its_last_words(tmp_path: Path) -> None:
    script = Program("script", ["sh", "-c", "echo the reason; exit 7"])
    with Supervisor(tmp_path, print) as supervisor:
        supervisor.start(script)
        with pytest.raises(UserError, match=r"(?s)status 7.*the reason"):
            supervisor.await_ready("script", lambda: False)


@pytest.mark.usefixtures("blocked")
def test_programs_start_with_no_signal_blocked(tmp_path: Path) -> None:
    # No shell: it would clear the mask itself.
    script = Program("script", ["grep", "SigBlk", "/proc/self/status"])
    with Supervisor(tmp_path, print) as supervisor:
        supervisor.start(script)
        until(lambda: "SigBlk" in supervisor.log("script").read_text(), "its status")
        assert supervisor.log("script").read_text().split()[1] == "0" * 16


def says_up(log: Path) -> bool:
    return "up" in log.read_text()


@pytest.mark.usefixtures("blocked")
def test_the_last_started_is_stopped_first(tmp_path: Path) -> None:
    script = 'trap "echo $1 >> $2; exit" TERM; echo up; while true; do sleep 0.05; done'
    order = tmp_path / "order"
    with Supervisor(tmp_path, print) as supervisor:
        for name in ("first", "second", "third"):
            supervisor.start(Program(name, ["sh", "-c", script, "sh", name, str(order)]))
            log = supervisor.log(name)
            until(partial(says_up, log), name)
    assert order.read_text().split() == ["third", "second", "first"]
