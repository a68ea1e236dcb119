"""A program living in a container: stopping, continuing, judging it against its limits."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import Command, Resident, SandboxError
from sandbox.cgroup import ROOT, Group, GroupV1, GroupV2, own_groups
from sandbox.descriptors import collect, read_at_most
from sandbox.docker_gate import Gate
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.process import Handle, Threads, stat_fields

_KILL_TIMEOUT_S = 10.0
_TICK_S = 0.02
_PARENT_FIELD, _EXIT_FIELD = 1, 49  # in /proc/<pid>/stat, counted from the state as 0
_BY_SIGNAL: dict[int, Status] = {
    signal.SIGXCPU: Status.CPU_LIMIT,
    signal.SIGXFSZ: Status.FILE_LIMIT,
}


def group_of(pid: int, root: Path = ROOT, proc: Path = Path("/proc")) -> Group:
    """The control group that the engine made for a process; it is never ours to remove.

    Raises SandboxError if it cannot be read, for then no limit could be told from a crash.
    """
    groups = own_groups((proc / str(pid) / "cgroup").read_text())
    group: Group
    if "memory" in groups and "pids" in groups:
        paths = {n: root / n / groups[n].lstrip("/") for n in ("memory", "pids", "cpuacct")}
        group = GroupV1(paths["memory"], paths["pids"], paths["cpuacct"])
    else:
        group = GroupV2(root / groups.get("", "/").lstrip("/"))
    missing = [directory for directory in group.directories if not directory.is_dir()]
    if missing:
        raise SandboxError(
            f"the container's control group {missing[0]} cannot be seen: "
            "run the worker on the host of the Docker engine, not in a container"
        )
    return group


@dataclass(frozen=True, slots=True)
class Tree:
    """One running container, as held by the host. By descriptor, so a forked child can use it.

    Attributes:
        program: the contestant-reachable process.
        init: the container's process 1; when it is gone, everything inside is.
        group: the engine's control group.
        places: the directories a program can write, the work directory first.
        stdout, stderr: files on a tmpfs of their own.
        gate: holds the container alive.
        remove: sees to it that the engine has forgotten the container.
    """

    program: Handle
    init: Handle
    threads: Threads
    group: Group
    places: tuple[int, ...]
    stdout: int
    stderr: int
    gate: Gate
    remove: Callable[[], None]

    def exit_code(self) -> int | None:
        """How the program ended, 128 + signal if signalled; None if its record is gone.

        Its parent waits for nobody, so the record stays until the container is killed.
        """
        try:
            fields = stat_fields(self.program.pid)
        except OSError:
            return None
        if fields[0] != "Z" or int(fields[_PARENT_FIELD]) != self.init.pid:
            return None
        code = os.waitstatus_to_exitcode(int(fields[_EXIT_FIELD]))
        return code if code >= 0 else 128 - code

    def stored(self) -> tuple[int, bool]:
        """Bytes in files, and whether some place is full."""
        found = [os.fstatvfs(fd) for fd in self.places]
        used = sum((s.f_blocks - s.f_bfree) * s.f_frsize for s in found)
        return used, any(s.f_bfree == 0 for s in found)

    def close(self) -> None:
        """Close every descriptor and remove the container and its directory."""
        for fd in (*self.places, self.stdout, self.stderr):
            os.close(fd)
        self.threads.close()
        for handle in (self.program, self.init):
            handle.close()
        self.gate.close()
        self.remove()


class DockerResident(Resident):
    """See `Resident`. May be used by a forked child of the process that started it."""

    def __init__(self, tree: Tree, command: Command, limits: Limits) -> None:
        self.tree = tree
        self.pid = tree.program.pid
        self.limits = limits
        self._collect = tuple(command.collect)
        self._started = time.monotonic()
        self._verdict: Status | None = None
        self._peak_bytes = 0
        self._cpu_s = 0.0
        self._outcome: Outcome | None = None
        self._pidfd = tree.program.fd

    def stop(self) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)
        except ProcessLookupError:
            return
        self.tree.threads.wait_stopped()

    def resume(self) -> None:
        # Inside the timing window: no context manager.
        try:  # noqa: SIM105
            signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def alive(self) -> bool:
        return self.tree.program.alive()

    def check(self) -> None:
        if self._outcome is None and self._verdict is None and self.alive():
            self._verdict = self._excess(time.monotonic() - self._started)
            if self._verdict is not None:
                self.tree.init.send(signal.SIGKILL)
                # So that `alive` tells the truth from here on.
                self.tree.program.wait(_KILL_TIMEOUT_S)

    def end(self) -> Outcome:
        if self._outcome is None:
            self._outcome = self._end()
            self.tree.close()
        return self._outcome

    def _end(self) -> Outcome:
        tree = self.tree
        ended_itself = not self.alive()
        wall_s = time.monotonic() - self._started
        # The engine removes the control group once the container is dead: this is the last look.
        self._verdict = self._verdict or self._excess(0.0 if ended_itself else wall_s)
        code, number = None, None
        if self._verdict is not None:
            status = self._verdict
        elif ended_itself:
            status, code, number = self._classify(tree.exit_code())
        else:
            status = Status.OK
        tree.init.send(signal.SIGKILL)
        # Process 1 ends last.
        if not tree.init.wait(_KILL_TIMEOUT_S):
            raise SandboxError(f"process {tree.init.pid} of the sandbox survived SIGKILL")
        return Outcome(
            status=status,
            exit_code=code,
            signal=number,
            stdout=read_at_most(tree.stdout, self.limits.output_bytes),
            stderr=read_at_most(tree.stderr, self.limits.output_bytes),
            wall_s=wall_s,
            cpu_s=self._cpu_s,
            peak_bytes=self._peak_bytes,
            files=collect(tree.places[0], self._collect, self.limits.file_bytes),
        )

    def _classify(self, code: int | None) -> tuple[Status, int, int | None]:
        """Status, exit code and signal of a program that ended by itself."""
        if code is None:
            # Its record is gone with process 1: somebody killed the whole container.
            code = 128 + signal.SIGKILL
        if code == 0:
            return Status.OK, code, None
        number = code - 128 if code > 128 else None
        status = Status.NONZERO_EXIT if number is None else _BY_SIGNAL.get(number, Status.SIGNALLED)
        if self.tree.stored()[1]:
            status = Status.FILE_LIMIT
        return status, code, number

    def _excess(self, wall_s: float) -> Status | None:
        """The limit that is exceeded, if one is; notes what is used on the way."""
        limits, tree = self.limits, self.tree
        # Read as 0 once the container is dead, and with it the group.
        self._peak_bytes = max(self._peak_bytes, tree.group.peak_bytes())
        self._cpu_s = max(self._cpu_s, tree.group.cpu_s())
        if tree.group.memory_kills() > 0:
            return Status.MEMORY_LIMIT
        if tree.group.refused_processes() > 0:
            return Status.VIOLATION
        printed = (os.fstat(fd).st_size for fd in (tree.stdout, tree.stderr))
        if max(printed) > limits.output_bytes:
            return Status.OUTPUT_LIMIT
        if tree.stored()[0] > limits.file_bytes:
            return Status.FILE_LIMIT
        if self._cpu_s > limits.cpu_s:
            return Status.CPU_LIMIT
        return Status.WALL_LIMIT if wall_s > limits.wall_s else None


def run_to_end(resident: DockerResident) -> Outcome:
    """Watch a program until it ends or is over a limit."""
    with resident:
        while not resident.tree.program.wait(_TICK_S):
            resident.check()
        return resident.end()
