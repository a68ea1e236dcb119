"""Keeps a few programs running: starts again what dies, stops them in reverse, leaves none behind.

One thread, which waits with the stop signals blocked; the programs die with it, however it dies.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from judge.errors import UserError
from judge.processes import die_with_parent

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_EVERY_S = 0.3
_START_LIMIT_S = 60.0
_LONGEST_PAUSE_S = 10.0
_STABLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Program:
    """A child: what to run, and how long it may take to stop."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_s: float = 5.0


@dataclass(slots=True)
class _Child:
    """A program as it runs now, and when it is to be started again if it does not."""

    program: Program
    process: subprocess.Popen[bytes]
    started_s: float
    pause_s: float = 0.0
    again_s: float | None = None


class Stopped(Exception):
    """A stop signal arrived."""


class Supervisor:
    """Keeps programs running. Use as a context manager: leaving it stops them all.

    Args:
        logs: folder that gets one log file per program.
        tell: told in one line what a person should know.
    """

    def __init__(self, logs: Path, tell: Callable[[str], None]) -> None:
        self._logs = logs
        self._tell = tell
        self._children: dict[str, _Child] = {}

    def start(self, program: Program) -> None:
        self._children[program.name] = _Child(program, self._spawn(program), time.monotonic())

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        self._logs.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()

        def prepare() -> None:
            die_with_parent(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

        with self.log(program.name).open("ab") as log:
            return subprocess.Popen(
                list(program.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **program.environment},
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which keeps order
                preexec_fn=prepare,
            )

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def await_ready(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a program answers. Raises UserError if it dies or stays silent."""
        deadline = time.monotonic() + _START_LIMIT_S
        while not ready():
            status = self._children[name].process.poll()
            if status is not None or time.monotonic() > deadline:
                what = "does not answer" if status is None else f"ended with status {status}"
                raise UserError(
                    f"the {name} {what}; the end of {self.log(name)}:\n{self._tail(name)}",
                    code="did-not-start",
                )
            pause(0.05)

    def supervise(self) -> None:
        """Start again what ends, until a stop signal arrives (then raises Stopped)."""
        while True:
            pause(_LOOK_EVERY_S)
            for child in self._children.values():
                status = child.process.poll()
                if status is not None:
                    self._revive(child, status, time.monotonic())

    def _revive(self, child: _Child, status: int, now_s: float) -> None:
        """Start an ended program again: at once if it ran well, later and later if it does not."""
        name = child.program.name
        if child.again_s is None:
            lasted = now_s - child.started_s > _STABLE_S
            wait_s = 0.0 if lasted else child.pause_s
            child.again_s = now_s + wait_s
            child.pause_s = min(max(0.5, 2 * wait_s), _LONGEST_PAUSE_S)
            last = self._tail(name).rpartition("\n")[2]
            self._tell(f"the {name} ended with status {status} and is started again: {last}")
        if now_s >= child.again_s:
            child.process, child.started_s = self._spawn(child.program), now_s
            child.again_s = None

    def _tail(self, name: str) -> str:
        text = self.log(name).read_text(encoding="utf-8", errors="replace").rstrip()
        return "\n".join(text.splitlines()[-8:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # In reverse: a worker gives back what it is judging while there still is a service.
        for child in reversed(self._children.values()):
            child.process.terminate()
            try:
                child.process.wait(child.program.stop_s)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def pause(seconds: float) -> None:
    """Wait. Raises Stopped as soon as a stop signal is there (they are blocked meanwhile)."""
    if signal.sigtimedwait(STOP_SIGNALS, seconds) is not None:
        raise Stopped
