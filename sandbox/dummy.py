"""No isolation at all: the sandbox interface over a plain subprocess, for unit tests only."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from sandbox import jail
from sandbox.base import Command, Resident, Sandbox, SandboxError
from sandbox.descriptors import collect, memory_file, read_at_most, safe_name
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.process import Handle, Threads

_TICK_S = 0.02


class Dummy(Sandbox):
    """Runs the program with this user's full rights. Of the limits, only wall time, output and the
    size of one file are enforced. The work directory is a temporary one, not ``/work``."""

    name = "dummy"

    def run(self, command: Command, limits: Limits) -> Outcome:
        with self.start(command, limits) as resident:
            while not resident.wait(_TICK_S):
                resident.check()
            return resident.end()

    def start(self, command: Command, limits: Limits) -> "DummyResident":
        return DummyResident(command, limits)

    def describe(self) -> dict[str, str]:
        return {"backend": self.name, "isolation": "none"}


class DummyResident(Resident):
    """A plain child process in a session of its own."""

    def __init__(self, command: Command, limits: Limits) -> None:
        self._command, self._limits = command, limits
        self._verdict: Status | None = None
        self._outcome: Outcome | None = None
        self._work = Path(tempfile.mkdtemp(prefix=f"opjudge-dummy-{os.getpid()}-"))
        self._outputs = [memory_file(name) for name in ("stdout", "stderr")]
        try:
            for name, data in command.files.items():
                path = self._work / safe_name(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._child = self._spawn()
        except (OSError, ValueError) as error:
            self._release()
            raise SandboxError(f"cannot start {jail.command_line(command)[0]}: {error}") from error
        self._started = time.monotonic()
        self.pid = self._child.pid
        self._handle = Handle(self.pid)
        self._threads = Threads(self.pid)

    def stop(self) -> None:
        if self.alive():
            self._handle.send(signal.SIGSTOP)
            self._threads.wait_stopped()

    def resume(self) -> None:
        self._handle.send(signal.SIGCONT)

    def alive(self) -> bool:
        return self._handle.alive()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; False if it did not come in time."""
        return self._handle.wait(timeout_s)

    def check(self) -> None:
        if self._outcome is None and self._verdict is None and self.alive():
            self._verdict = self._excess()
            if self._verdict is not None:
                self._handle.send(signal.SIGKILL)

    def end(self) -> Outcome:
        if self._outcome is None:
            self._outcome = self._end()
        return self._outcome

    def _spawn(self) -> subprocess.Popen[bytes]:
        size = self._limits.file_bytes

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            if self._command.cores:
                os.sched_setaffinity(0, self._command.cores)

        root, work = str(jail.package_root()), str(self._work)
        return subprocess.Popen(
            [word.replace(jail.HARNESS_ROOT, root) for word in jail.command_line(self._command)],
            cwd=self._work,
            env=jail.environment(self._command) | dict.fromkeys(("HOME", "TMPDIR"), work),
            stdin=subprocess.DEVNULL,
            stdout=self._outputs[0],
            stderr=self._outputs[1],
            pass_fds=tuple(self._command.share),
            start_new_session=True,
            preexec_fn=limit,
        )

    def _excess(self) -> Status | None:
        if any(os.fstat(fd).st_size > self._limits.output_bytes for fd in self._outputs):
            return Status.OUTPUT_LIMIT
        if time.monotonic() - self._started > self._limits.wall_s:
            return Status.WALL_LIMIT
        return None

    def _end(self) -> Outcome:
        ended_itself = not self.alive()
        self._verdict = self._verdict or self._excess()
        wall_s = time.monotonic() - self._started
        self._kill()
        code = self._child.returncode if ended_itself and self._verdict is None else None
        number = -code if code is not None and code < 0 else None
        outcome = Outcome(
            status=self._verdict or _status(code),
            exit_code=128 + number if number else code,
            signal=number,
            stdout=read_at_most(self._outputs[0], self._limits.output_bytes),
            stderr=read_at_most(self._outputs[1], self._limits.output_bytes),
            wall_s=wall_s,
            cpu_s=0.0,
            peak_bytes=0,
            files=self._collect(),
        )
        self._threads.close()
        self._handle.close()
        self._release()
        return outcome

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._handle.wait(_TICK_S * 500)
        try:
            self._child.wait(0)
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"process {self.pid} survived SIGKILL") from error

    def _collect(self) -> dict[str, bytes]:
        directory = os.open(self._work, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return collect(directory, self._command.collect, self._limits.file_bytes)
        finally:
            os.close(directory)

    def _release(self) -> None:
        for fd in self._outputs:
            os.close(fd)
        shutil.rmtree(self._work, ignore_errors=True)


def _status(code: int | None) -> Status:
    if code in (None, 0):
        return Status.OK
    return Status.SIGNALLED if code is not None and code < 0 else Status.NONZERO_EXIT
