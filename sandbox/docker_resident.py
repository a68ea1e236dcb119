"""A program living in a container: its limits and its end."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import SandboxError
from sandbox.cgroup import ROOT, Group, GroupV1, GroupV2, own_groups
from sandbox.descriptors import collect, read_at_most
from sandbox.docker_gate import Gate
from sandbox.docker_places import Folder, Places
from sandbox.held import KILL_TIMEOUT_S, Held, Tree, classify
from sandbox.outcome import Outcome, Status
from sandbox.process import stat_fields

_PARENT_FIELD, _EXIT_FIELD = 1, 49  # in /proc/<pid>/stat, counted from the state as 0


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
class DockerTree(Tree):
    """See `Tree`.

    Attributes:
        ident: the engine's name for the container.
        group: the engine's control group.
        places: what a program can write.
        gate: holds the container alive.
        folder: the container's, on the host.
        remove: sees to it that the engine has forgotten the container.
    """

    ident: str
    group: Group
    places: Places
    gate: Gate
    folder: Folder
    remove: Callable[[str], None]

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

    def writable(self) -> tuple[int, ...]:
        return (self.places.work,)

    def close(self) -> None:
        """Close every descriptor and remove the container and its directory."""
        self.let_go()
        self.remove(self.ident)
        self.places.remove()
        self.folder.close()

    def let_go(self) -> None:
        """Close every descriptor: another process has taken the container over."""
        self.threads.close()
        for held in (self.program, self.init, self.gate, self.places):
            held.close()


class DockerResident(Held[DockerTree]):
    """See `Resident`."""

    def _end(self, ended_itself: bool, wall_s: float) -> Outcome:
        tree, code, number = self.tree, None, None
        status = self._verdict or Status.OK
        if ended_itself and self._verdict is None:
            code = tree.exit_code()
            if code is None:
                # Its record is gone with process 1: somebody killed the whole container.
                code = 128 + signal.SIGKILL
            status, number = classify(code, full=tree.places.full())
        tree.init.send(signal.SIGKILL)
        # Process 1 ends last.
        if not tree.init.wait(KILL_TIMEOUT_S):
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
            files=collect(tree.places.work, self._collect, self.limits.file_bytes),
        )

    def _used(self) -> Status | None:
        group = self.tree.group
        # Read as 0 once the container is dead, and with it the group.
        self._peak_bytes = max(self._peak_bytes, group.peak_bytes())
        self._cpu_s = max(self._cpu_s, group.cpu_s())
        if group.memory_kills() > 0:
            return Status.MEMORY_LIMIT
        if group.refused_processes() > 0:
            return Status.VIOLATION
        return None
