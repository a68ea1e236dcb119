"""A program living in a bubblewrap sandbox: its limits and its end."""

import json
import os
import signal
import socket
import subprocess
from dataclasses import dataclass

from sandbox.base import Command, SandboxError
from sandbox.cgroup import Group
from sandbox.descriptors import collect, read_at_most
from sandbox.held import KILL_TIMEOUT_S, Held, Tree, classify
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.process import Handle, Usage, tree_usage

_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own


@dataclass(frozen=True, slots=True)
class BubblewrapTree(Tree):
    """See `Tree`.

    Attributes:
        last: what writes the exit code and ends after all else: the bwrap outside, or process 1
            of a sandbox made by a template.
        launched: the bwrap outside, to be reaped by its maker; None if a template made it.
        inherited_bytes: private memory that the program had from its template when it began.
        leash: process 1 of a sandbox made by a template ends when this is closed.
        group: the control group, None where the limits are polled.
        work: the private work directory.
        status: a memory file, written by `last` only; like `stdout` and `stderr`.
    """

    last: Handle
    launched: subprocess.Popen[bytes] | None
    inherited_bytes: int
    leash: socket.socket | None
    group: Group | None
    work: int
    status: int

    def writable(self) -> tuple[int, ...]:
        return (self.work,)

    def stored_bytes(self) -> int:
        """What is in the work directory, and so in memory."""
        stored = os.fstatvfs(self.work)
        return (stored.f_blocks - stored.f_bfree) * stored.f_frsize

    def close(self) -> None:
        """Close every descriptor and remove the control group."""
        for fd in (self.work, self.stdout, self.stderr, self.status):
            os.close(fd)
        self.threads.close()
        for handle in (self.program, self.init, self.last):
            handle.close()
        if self.leash is not None:
            self.leash.close()
        if self.group is not None and not self.group.close():
            raise SandboxError(f"control group {self.group.directories[0]} cannot be removed")


class BubblewrapResident(Held[BubblewrapTree]):
    """See `Resident`."""

    def __init__(self, tree: BubblewrapTree, command: Command, limits: Limits) -> None:
        super().__init__(tree, command, limits)
        self.polled = tree.group is None
        self._maker = os.getpid()
        # Of our own: the owner may close its descriptors before the end.
        self._shared = [os.dup(fd) for fd in command.share] if self.polled else []
        self.lent_bytes = self._filled_bytes()

    def _end(self, ended_itself: bool, wall_s: float) -> Outcome:
        tree = self.tree
        if ended_itself and self._verdict is None:
            # It has the exit code to write, and ends as soon as it has.
            tree.last.wait(KILL_TIMEOUT_S)
        self._kill()
        while self._shared:
            os.close(self._shared.pop())
        code = self._exit_code() if ended_itself and self._verdict is None else None
        status, number = classify(code, full=os.fstatvfs(tree.work).f_bfree == 0)
        return Outcome(
            status=self._verdict or status,
            exit_code=code,
            signal=number,
            stdout=read_at_most(tree.stdout, self.limits.output_bytes),
            stderr=read_at_most(tree.stderr, self.limits.output_bytes),
            wall_s=wall_s,
            cpu_s=self._cpu_s,
            peak_bytes=self._peak_bytes,
            files=collect(tree.work, self._collect, self.limits.file_bytes),
        )

    def _kill(self) -> None:
        """Kill everything inside and see it gone: process 1 ends last, and bwrap (if any) after."""
        self.tree.init.send(signal.SIGKILL)
        for what in (self.tree.init, self.tree.last):
            if not what.wait(KILL_TIMEOUT_S):
                raise SandboxError(f"process {what.pid} of the sandbox survived SIGKILL")
        launched = self.tree.launched
        if launched is not None and os.getpid() == self._maker:
            launched.wait()
        elif launched is not None:
            # Not our child: its maker reaps it. Keep Popen from trying.
            launched.returncode = 0

    def _exit_code(self) -> int | None:
        for line in read_at_most(self.tree.status, 1 << 16).splitlines():
            code = json.loads(line).get("exit-code")
            if code is not None:
                return int(code)
        return None

    def _used(self) -> Status | None:
        group = self.tree.group
        if group is not None:
            self._peak_bytes, self._cpu_s = group.peak_bytes(), group.cpu_s()
            over_memory = group.memory_kills() > 0
            over_processes = group.refused_processes() > 0
        else:
            init, inherited = self.tree.init.pid, self.tree.inherited_bytes
            usage = tree_usage(init, inherited)
            used_bytes = self._used_bytes(usage)
            if used_bytes > self.limits.memory_bytes:
                used_bytes = self._used_bytes(tree_usage(init, inherited, exact=True))
            self._peak_bytes = max(self._peak_bytes, used_bytes)
            self._cpu_s = max(self._cpu_s, usage.cpu_s)
            over_memory = used_bytes > self.limits.memory_bytes
            over_processes = usage.threads > self.limits.processes
        if over_memory:
            return Status.MEMORY_LIMIT
        return Status.VIOLATION if over_processes else None

    def _filled_bytes(self) -> int:
        """How much of what the host shares with the program is filled, by either."""
        return sum(os.fstat(fd).st_blocks for fd in self._shared) * _BLOCK_BYTES

    def _used_bytes(self, usage: Usage) -> int:
        """Memory that is the program's, from what its processes use.

        Pages of the host's shared memory and of files in the work directory show as shared pages
        too, but are counted where they lie, touched by a process now or not.
        """
        stored, filled = self.tree.stored_bytes(), self._filled_bytes()
        own = max(0, usage.shared_bytes - stored - filled)
        return usage.private_bytes + own + stored + max(0, filled - self.lent_bytes)
