"""Warm starts: a sandbox that has the usual libraries imported, and makes others by forking.

Importing torch takes more than a second and 200 MB; a fork of a process that has done it takes some
milliseconds, and shares the memory. See `sandbox.harness.template` for what happens inside. The
template is trusted: it runs nothing but our own code, and each program it makes is shut into
namespaces of its own, without capabilities, before the host lets it go. Program and host meet at
the same barrier as after a cold start.
"""

import contextlib
import importlib.util
import os
import socket
import threading
from collections.abc import Callable, Mapping

from sandbox import jail
from sandbox.barrier import Barrier
from sandbox.base import Command, Launch, Resident, SandboxError
from sandbox.harness.template import READY, Request
from sandbox.limits import DESCRIPTORS, Limits
from sandbox.resident import BubblewrapResident

_LIBRARIES = tuple(name for name in ("torch",) if importlib.util.find_spec(name))
_LIMITS = Limits(wall_s=1e9, cpu_s=1e9, memory_bytes=4 << 30, processes=256)
_READY_TIMEOUT_S = 60.0
# Descriptors are moved about inside, where the limit on their numbers is in force already.
_HIGHEST_SHARED = DESCRIPTORS // 4
_OTHERS = 64  # processes and threads of sandboxes alive at the same time


class Template:
    """A running template. May be used, but not closed, by a forked child of its maker.

    Args:
        start: starts the template's own sandbox.
        environment: of the template and of all it makes.
        seccomp, network: layers of what it makes; see `sandbox.bubblewrap.Layers`.

    Returns once the libraries are imported. Raises SandboxError.
    """

    def __init__(
        self,
        start: Callable[[Command, Limits], Resident],
        environment: Mapping[str, str],
        *,
        seccomp: bool,
        network: bool,
    ) -> None:
        self._seccomp, self._network = seccomp, network
        self._environment = dict(environment)
        self._kept = tuple(
            str(path)
            for path in jail.interpreter_paths()
            if any(path.is_relative_to(place) for place in jail.PRIVATE)
        )
        self._maker = os.getpid()
        self._asking = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = Command(
                argv=(str(theirs.fileno()), *_LIBRARIES),
                module="sandbox.harness.template",
                share=(theirs.fileno(),),
                environment=self._environment,
            )
            try:
                self._resident = start(command, _LIMITS)
            except SandboxError:
                self._requests.close()
                raise
        self._wait()

    def _wait(self) -> None:
        self._requests.settimeout(_READY_TIMEOUT_S)
        try:
            if self._requests.recv(len(READY)) == READY:
                return
        except TimeoutError:
            pass
        self._requests.close()
        words = self._resident.end().stderr.decode(errors="replace").strip()
        raise SandboxError(f"no template for warm starts: {words[-500:] or 'no message'}")

    def ready(self, environment: Mapping[str, str]) -> bool:
        """Whether it is alive and makes programs with this environment."""
        return self._environment == dict(environment) and self._resident.alive()

    def fits(self, command: Command) -> bool:
        """Whether it can make this program's sandbox. Threads may ask at the same time."""
        alike = Command(command.argv, environment=self._environment)
        if (
            command.module is None
            or max(command.share, default=0) >= _HIGHEST_SHARED
            or jail.environment(command) != jail.environment(alike)
        ):
            return False
        with self._asking:
            return self._resident.alive()

    def begin(
        self, command: Command, limits: Limits, barrier: Barrier
    ) -> Launch[BubblewrapResident]:
        """Have the program forked off; it is met when it is asked for. Raises SandboxError."""
        with contextlib.ExitStack() as undo:
            undo.enter_context(barrier)
            fds = [barrier.theirs.fileno(), barrier.stdout, barrier.stderr, barrier.status]
            if barrier.rules is not None:
                fds.append(barrier.rules.fd)
            request = Request(
                module=command.module or "",
                arguments=tuple(command.argv),
                share=tuple(command.share),
                file_bytes=limits.file_bytes,
                inodes=limits.inodes,
                kept=self._kept,
                seccomp=self._seccomp,
                landlock=barrier.rules is not None,
                network=self._network,
            )
            try:
                socket.send_fds(self._requests, [request.encode()], [*fds, *command.share])
            except OSError as error:
                raise SandboxError(f"the template for warm starts is gone: {error}") from error
            barrier.theirs.close()
            undo.pop_all()

        def resident() -> BubblewrapResident:
            with barrier:
                return barrier.meet(command, limits, launched=None, users=_OTHERS)

        return Launch(resident, barrier.close)

    def close(self) -> None:
        """Destroy it, and with it every sandbox it made."""
        self._requests.close()
        if os.getpid() == self._maker:
            self._resident.end()
