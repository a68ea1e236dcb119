"""A program living in a bubblewrap sandbox: stopping, continuing, judging it against its limits."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass

from sandbox.base import Command, Resident, SandboxError
from sandbox.cgroup import Group
from sandbox.descriptors import collect, read_at_most
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.process import Handle, Threads, Usage, tree_usage

_KILL_TIMEOUT_S = 10.0
_TICK_S = 0.02
_TICK_POLLED_S = 0.005
_BY_SIGNAL: dict[int, Status] = {
    signal.SIGXCPU: Status.CPU_LIMIT,
    signal.SIGXFSZ: Status.FILE_LIMIT,
}


@dataclass(frozen=True, slots=True)
class Tree:
    """One running sandbox, as held by the host. All by descriptor, so a forked child can use it.

    Attributes:
        launched, outer: the bwrap outside, which reports the exit code and dies with its maker.
        program: the contestant-reachable process.
        init: process 1 of the inner pid namespace; when it is gone, everything inside is.
        group: the control group, None where the limits are polled.
        work: the private work directory.
        stdout, stderr, status: memory files; the last is written by the outer bwrap only.
    """

    launched: subprocess.Popen[bytes]
    outer: Handle
    program: Handle
    init: Handle
    threads: Threads
    group: Group | None
    work: int
    stdout: int
    stderr: int
    status: int

    def usage(self) -> Usage:
        """What the tree uses now, tmpfs included where nothing else accounts for it."""
        usage = tree_usage(self.init.pid)
        stored = os.fstatvfs(self.work)
        stored_bytes = (stored.f_blocks - stored.f_bfree) * stored.f_frsize
        return Usage(usage.memory_bytes + stored_bytes, usage.cpu_s, usage.threads)

    def close(self) -> None:
        """Close every descriptor and remove the control group."""
        for fd in (self.work, self.stdout, self.stderr, self.status):
            os.close(fd)
        self.threads.close()
        for handle in (self.program, self.init, self.outer):
            handle.close()
        if self.group is not None and not self.group.close():
            raise SandboxError(f"control group {self.group.directories[0]} cannot be removed")


class BubblewrapResident(Resident):
    """See `Resident`. May be used by a forked child of the process that started it."""

    def __init__(self, tree: Tree, command: Command, limits: Limits) -> None:
        self.tree = tree
        self.pid = tree.program.pid
        self.polled = tree.group is None
        self.limits = limits
        self._collect = tuple(command.collect)
        self._started = time.monotonic()
        self._maker = os.getpid()
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
        self._verdict = self._verdict or self._excess(0.0 if ended_itself else wall_s)
        if ended_itself and self._verdict is None:
            # The outer bwrap has the exit code to write; it ends as soon as it has.
            tree.outer.wait(_KILL_TIMEOUT_S)
        self._kill()
        code = self._exit_code() if ended_itself and self._verdict is None else None
        status, number = self._classify(code)
        return Outcome(
            status=status,
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
        """Kill everything inside and see it gone: process 1 ends last, and bwrap after it."""
        self.tree.init.send(signal.SIGKILL)
        for what in (self.tree.init, self.tree.outer):
            if not what.wait(_KILL_TIMEOUT_S):
                raise SandboxError(f"process {what.pid} of the sandbox survived SIGKILL")
        if os.getpid() == self._maker:
            self.tree.launched.wait()
        else:
            # Not our child: its maker reaps it. Keep Popen from trying.
            self.tree.launched.returncode = 0

    def _exit_code(self) -> int | None:
        for line in read_at_most(self.tree.status, 1 << 16).splitlines():
            code = json.loads(line).get("exit-code")
            if code is not None:
                return int(code)
        return None

    def _classify(self, code: int | None) -> tuple[Status, int | None]:
        """Status and signal from why we killed it, else from how it ended."""
        if self._verdict is not None:
            return self._verdict, None
        if code is None or code == 0:
            return Status.OK, None
        number = code - 128 if code > 128 else None
        status = Status.NONZERO_EXIT if number is None else _BY_SIGNAL.get(number, Status.SIGNALLED)
        if os.fstatvfs(self.tree.work).f_bfree == 0:
            status = Status.FILE_LIMIT
        return status, number

    def _excess(self, wall_s: float) -> Status | None:
        """The limit that is exceeded, if one is; notes what is used on the way."""
        limits = self.limits
        group = self.tree.group
        if group is not None:
            self._peak_bytes = group.peak_bytes()
            self._cpu_s = group.cpu_s()
            over_memory = group.memory_kills() > 0
            over_processes = group.refused_processes() > 0
        else:
            usage = self.tree.usage()
            self._peak_bytes = max(self._peak_bytes, usage.memory_bytes)
            self._cpu_s = max(self._cpu_s, usage.cpu_s)
            over_memory = usage.memory_bytes > limits.memory_bytes
            over_processes = usage.threads > limits.processes
        if over_memory:
            return Status.MEMORY_LIMIT
        if over_processes:
            return Status.VIOLATION
        printed = (os.fstat(fd).st_size for fd in (self.tree.stdout, self.tree.stderr))
        if max(printed) > limits.output_bytes:
            return Status.OUTPUT_LIMIT
        if self._cpu_s > limits.cpu_s:
            return Status.CPU_LIMIT
        return Status.WALL_LIMIT if wall_s > limits.wall_s else None


def run_to_end(resident: BubblewrapResident) -> Outcome:
    """Watch a program until it ends or is over a limit."""
    tick_s = _TICK_S if resident.tree.group is not None else _TICK_POLLED_S
    with resident:
        while not resident.tree.program.wait(tick_s):
            resident.check()
        return resident.end()
