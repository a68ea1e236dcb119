"""Containers under a runtime with a kernel of its own, such as gVisor's ``runsc``: for builds.

The host sees none of their processes, so a program there can neither be stopped between calls nor
given memory of the judge's; but it can be run to its end within limits. Its files lie in the places
that the host made, and are read when the container is dead. The runtime's own processes are in the
container's control group and count, with an allowance.
"""

import contextlib
import os
import platform
import signal
import time
from typing import Any

from sandbox.base import Command, Resident, Sandbox, SandboxError
from sandbox.cgroup import Group
from sandbox.descriptors import collect, lay_out, read_at_most
from sandbox.docker_config import Plan, Wanted, apart
from sandbox.docker_engine import engine, launch, remove
from sandbox.docker_places import Folder, Places
from sandbox.docker_resident import group_of
from sandbox.docker_start import labels
from sandbox.held import KILL_TIMEOUT_S, classify
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.process import Handle

_TICK_S = 0.02


class Apart(Sandbox):
    """Runs programs to their end. Raises SandboxError, with the remedy, if the runtime does not.

    Args:
        url: the engine; see `sandbox.docker_engine.engine`.
    """

    name = "docker"

    def __init__(self, plan: Plan, url: str | None) -> None:
        self._plan, self._url = plan, url
        tried = self.run(Command(["/bin/sh", "-c", "cat in >out"], {"in": b"x"}, ["out"]), Limits())
        if tried.files != {"out": b"x"}:
            said = (tried.stdout + tried.stderr).decode(errors="replace").strip()[-500:]
            raise SandboxError(
                f"a program under the runtime {plan.runtime!r} cannot use its files: "
                f"{tried.status}: {said or 'no message'}; see that the runtime works "
                f"(docker run --runtime {plan.runtime} ...) and that engine and worker are in the "
                "same mount namespace"
            )

    def run(self, command: Command, limits: Limits) -> Outcome:
        if command.share:
            raise SandboxError(f"nothing can be shared with a program under {self._plan.runtime!r}")
        with contextlib.ExitStack() as undo:
            folder = Folder()
            undo.callback(folder.close)
            places = Places(folder.path, limits)
            undo.callback(places.remove)
            undo.callback(places.close)
            lay_out(places.work, command.files)
            client = undo.enter_context(engine(self._url))
            config = apart(self._plan, Wanted(command, limits, folder.path, labels(folder)))
            started = time.monotonic()
            ident = launch(client, config, folder.name)
            undo.callback(remove, client, ident)
            run = _Run(client, ident, places, limits)
            run.watch(started)
            return run.outcome(command, time.monotonic() - started)

    def start(self, command: Command, limits: Limits) -> Resident:
        raise SandboxError(
            f"no program can stay under the runtime {self._plan.runtime!r}: it has a kernel of its "
            "own, so programs cannot be stopped from outside, nor share memory with the judge"
        )

    def describe(self) -> dict[str, str]:
        return {
            "backend": self.name,
            "runtime": str(self._plan.runtime),
            "image": self._plan.image,
            "seccomp": "the runtime's",
            "landlock": "none",
            "kernel": f"the runtime's, on {platform.release()}",
        }


class _Run:
    """One container that runs."""

    def __init__(self, client: Any, ident: str, places: Places, limits: Limits) -> None:
        self._client, self._ident, self._places, self._limits = client, ident, places, limits
        self._verdict: Status | None = None
        self._peak_bytes, self._cpu_s = 0, 0.0

    def watch(self, started: float) -> None:
        """Return when it has ended, killed by us if it was over a limit."""
        pid = int(self._client.inspect_container(self._ident)["State"]["Pid"])
        if pid == 0:  # it has ended
            return
        try:
            kernel, group = Handle(pid), group_of(pid)
        except OSError:
            return
        with contextlib.closing(kernel):
            while self._verdict is None:
                self._verdict = self._excess(group, time.monotonic() - started)
                if kernel.wait(_TICK_S):
                    return
            kernel.send(signal.SIGKILL)
            if not kernel.wait(KILL_TIMEOUT_S):
                raise SandboxError(f"process {pid} of the runtime survived SIGKILL")

    def _excess(self, group: Group, wall_s: float) -> Status | None:
        limits = self._limits
        # Read as 0 once the container is dead, and with it the group.
        self._peak_bytes = max(self._peak_bytes, group.peak_bytes())
        self._cpu_s = max(self._cpu_s, group.cpu_s())
        if group.refused_processes() > 0:
            return Status.VIOLATION
        if self._said_too_much():
            return Status.OUTPUT_LIMIT
        if self._cpu_s > limits.cpu_s:
            return Status.CPU_LIMIT
        return Status.WALL_LIMIT if wall_s > limits.wall_s else None

    def _said_too_much(self) -> bool:
        outputs = (self._places.stdout, self._places.stderr)
        return max(os.fstat(fd).st_size for fd in outputs) > self._limits.output_bytes

    def outcome(self, command: Command, wall_s: float) -> Outcome:
        """What became of it. Call when it has ended."""
        code: int | None = int(self._client.wait(self._ident)["StatusCode"])
        killed = self._client.inspect_container(self._ident)["State"]["OOMKilled"]
        verdict = Status.MEMORY_LIMIT if killed else self._verdict
        if verdict is None and self._said_too_much():
            verdict = Status.OUTPUT_LIMIT
        code = None if verdict else code
        status, number = classify(code, full=self._places.full())
        return Outcome(
            status=verdict or status,
            exit_code=code,
            signal=number,
            stdout=read_at_most(self._places.stdout, self._limits.output_bytes),
            stderr=read_at_most(self._places.stderr, self._limits.output_bytes),
            wall_s=wall_s,
            cpu_s=self._cpu_s,
            peak_bytes=self._peak_bytes,
            files=collect(self._places.work, command.collect, self._limits.file_bytes),
        )
