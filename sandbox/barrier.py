"""The moment between a sandbox being complete and its program running.

The program's process says hello on a socket and waits. The kernel attaches the sender's process id
to the hello, so the host knows the very process the program will be: it opens the work directory,
lays files in it, sets limits, joins the control group, writes the Landlock rules, and then says go.
If the host dies first, the waiting process reads end-of-file and nothing is ever run.
"""

import contextlib
import os
import resource
import socket
import struct
import subprocess
from typing import Self

from sandbox import cgroup, jail, landlock
from sandbox.base import Command, SandboxError
from sandbox.descriptors import lay_out, memory_file, open_directory, read_at_most
from sandbox.limits import Limits
from sandbox.process import Handle, Threads, parent_of, private_bytes
from sandbox.resident import BubblewrapResident, BubblewrapTree

_HELLO_TIMEOUT_S = 20.0
_UCRED = struct.Struct("3i")


class Barrier:
    """A sandbox on its way: what the host has in hand before there is a process.

    Use as a context manager: on leaving, what no sandbox has taken over is closed.

    Args:
        grouped: whether the sandbox gets a control group, where the host has them.
        limited: whether the kernel's limits per process are set.
        abi: of Landlock, to make rules for; 0 for none.

    Attributes:
        ours, theirs: the two ends; `theirs` is for the sandbox and to be closed once it has it.
        stdout, stderr, status: memory files for what the program prints and how it ends.
        rules: Landlock rules, empty until the sandbox is met.
    """

    def __init__(self, *, grouped: bool, limited: bool, abi: int) -> None:
        self._grouped, self._limited = grouped, limited
        self.rules = landlock.Ruleset(abi) if abi else None
        self.ours, self.theirs = socket.socketpair()
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.ours.settimeout(_HELLO_TIMEOUT_S)
        self.stdout, self.stderr, self.status = map(memory_file, ("stdout", "stderr", "status"))
        self._met = False

    def meet(
        self,
        command: Command,
        limits: Limits,
        *,
        launched: subprocess.Popen[bytes] | None,
        users: int = 0,
    ) -> BubblewrapResident:
        """Wait for the hello, tie the waiting process down, and let it go.

        Args:
            launched: the bwrap that was started for it; None if a template makes the sandbox, which
                then lives no longer than `ours` stays open.
            users: processes of other sandboxes that may count as this one's user's.

        Raises SandboxError.
        """
        with contextlib.ExitStack() as undo:
            pid = self._hello()
            program, init = Handle(pid), Handle(parent_of(pid))
            last = Handle(init.pid if launched is None else launched.pid)
            for handle in (program, init, last):
                undo.callback(handle.close)
            work = open_directory(f"/proc/{pid}/root{jail.WORK}")
            undo.callback(os.close, work)
            lay_out(work, command.files)
            threads = Threads(pid)
            undo.callback(threads.close)
            group = cgroup.create(limits) if self._grouped else None
            if group is not None:
                undo.callback(group.close)
                group.add(pid)
            if self._limited:
                _restrict(pid, limits, users)
            if command.cores:
                os.sched_setaffinity(pid, command.cores)
            if self.rules is not None:
                self.rules.fill(pid)
            leash = undo.enter_context(self.ours.dup()) if launched is None else None
            # Once it may go, it may be gone.
            inherited_bytes = 0 if launched else private_bytes(pid)
            self.ours.sendall(b"\n")
            undo.pop_all()
        self._met = True
        tree = BubblewrapTree(
            program=program,
            init=init,
            threads=threads,
            stdout=self.stdout,
            stderr=self.stderr,
            last=last,
            launched=launched,
            inherited_bytes=inherited_bytes,
            leash=leash,
            group=group,
            work=work,
            status=self.status,
        )
        return BubblewrapResident(tree, command, limits)

    def _hello(self) -> int:
        """The host's process id of the process that waits inside."""
        try:
            data, ancillary, _, _ = self.ours.recvmsg(1, socket.CMSG_SPACE(_UCRED.size))
        except TimeoutError as error:
            raise SandboxError(f"no sandbox started in {_HELLO_TIMEOUT_S:.0f} s") from error
        for level, kind, value in ancillary:
            if data and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                return int(_UCRED.unpack(value[: _UCRED.size])[0])
        message = read_at_most(self.stderr, 4096).decode(errors="replace").strip()
        raise SandboxError(f"the sandbox could not be built: {message or 'no message'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what no sandbox has taken over; whoever waits inside ends."""
        for end in (self.ours, self.theirs):
            end.close()
        if self.rules is not None:
            self.rules.close()
        if not self._met:
            for fd in (self.stdout, self.stderr, self.status):
                os.close(fd)


def _restrict(pid: int, limits: Limits, users: int) -> None:
    """Set the limits the kernel keeps per process; children inherit them."""
    # Processes are counted per user namespace; the kernel does not apply that limit to root, the
    # control group does.
    most = limits.processes + users + 4
    # A judge that is not root may let programs go first (`judge.cores`) up to their own limit,
    # which is below the judge's; root needs none.
    own = (("nproc", most, most), ("rtprio", 1, 1))
    for name, soft, hard in (*limits.per_process(), *own):
        kind = getattr(resource, f"RLIMIT_{name.upper()}")
        ceiling = resource.prlimit(pid, kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.prlimit(pid, kind, (soft, hard))
