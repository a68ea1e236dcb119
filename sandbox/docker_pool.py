"""Containers started ahead: the interpreter runs in them, torch is imported, and they are stopped.

Each is used for one submission. A forked child of the worker has the same list, so whoever takes a
container first leaves a mark on the host; the others let go of it.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from sandbox import jail
from sandbox.base import Command, SandboxError
from sandbox.descriptors import lay_out
from sandbox.docker_config import Handed, resource_limits
from sandbox.docker_engine import engine, update
from sandbox.docker_gate import SOCKET, expect, send
from sandbox.docker_resident import DockerResident, DockerTree
from sandbox.docker_start import Starter
from sandbox.harness.warm import MESSAGE_BYTES, READY
from sandbox.limits import DESCRIPTORS, Limits

MODULE, LIBRARY = "sandbox.harness", "torch"
"""What the containers are warm for: this module, asked to import this library."""

WAITING = Limits(wall_s=3600.0, cpu_s=3600.0, memory_bytes=8 << 30, file_bytes=1 << 30)
"""What a container that waits may use: the most that any program can be given in it."""


class Waiting:
    """One container; made at once, ready after `settle`.

    Args:
        environment: what its program's environment has beyond the usual.
    """

    def __init__(self, starter: Starter, environment: Mapping[str, str]) -> None:
        self._starter = starter
        with contextlib.ExitStack() as undo:
            rules = starter.rules()
            if rules is not None:
                undo.callback(rules.close)
            argv = (SOCKET, str(int(rules is not None)), LIBRARY)
            command = Command(argv, environment=environment, module="sandbox.harness.warm")
            self.environment = jail.environment(command)
            tree = starter.hold(command, WAITING, rules, Handed(later=True))
            with contextlib.ExitStack() as failed:
                self._resident = DockerResident(tree, command, WAITING)
                failed.callback(self._resident.end)
                tree.gate.open()
                self._connection = tree.gate.receiver(tree.program)
                failed.callback(self._connection.close)
                if rules is not None:
                    send(self._connection, b"\0", [rules.fd], last=False)
                failed.pop_all()

    def settle(self) -> None:
        """Return once it is ready, and stopped. Raises SandboxError if it cannot get ready."""
        try:
            expect(self._connection, self._resident.tree.program, READY)
        except SandboxError as error:
            said = self._resident.end().stderr.decode(errors="replace").strip()[-500:]
            raise SandboxError(f"no warm start: {error}: {said}") from error
        self._resident.stop()

    def taken(self) -> bool:
        """Whether some process has it."""
        return self._mark.exists()

    def take(self) -> bool:
        """Have it for this process alone; False if another was first."""
        try:
            self._mark.mkdir()
        except OSError:
            return False
        return True

    @property
    def _mark(self) -> Path:
        return self._resident.tree.folder.path / "taken"

    def become(self, command: Command, limits: Limits) -> DockerResident:
        """Run the command in it, within its own limits. Raises SandboxError if it cannot."""
        tree = self._resident.tree
        with contextlib.ExitStack() as failed:
            failed.callback(self.close)
            self._lower(tree, replace(limits, processes=limits.processes + 1))
            tree.places.resize(limits)
            lay_out(tree.places.work, command.files)
            resident = DockerResident(tree, command, limits)
            resident.resume()
            with self._connection:
                send(self._connection, message(command, limits), command.share, last=True)
            failed.pop_all()
        return resident

    def _lower(self, tree: DockerTree, limits: Limits) -> None:
        """Give the container other limits: by way of the engine that takes 70 ms."""
        try:
            tree.group.set_limits(limits)
        except PermissionError:
            with engine(self._starter.url) as client:
                update(client, tree.ident, limits.memory_bytes, limits.processes)
        except OSError as error:
            raise SandboxError(f"a container's limits cannot be lowered: {error}") from error

    def close(self) -> None:
        """Destroy it."""
        self._connection.close()
        self._resident.end()

    def let_go(self) -> None:
        """Leave it to who has taken it."""
        self._connection.close()
        self._resident.tree.let_go()


def message(command: Command, limits: Limits) -> bytes:
    """All that a warm program has to be told; limits of its own it lowers itself."""
    own = list(resource_limits(limits, command.share))
    return json.dumps([command.module, list(command.argv), list(command.share), own]).encode()


def suits(command: Command, limits: Limits) -> bool:
    """Whether a warm program can become this one."""
    if (command.module, *command.argv[-1:]) != (MODULE, LIBRARY) or command.cores:
        return False
    # Limits can only be lowered.
    if any(getattr(limits, name) > getattr(WAITING, name) for name in Limits.__slots__):
        return False
    return max(command.share, default=0) < DESCRIPTORS // 2 and (
        len(message(command, limits)) <= MESSAGE_BYTES
    )


class Pool:
    """Up to `size` containers that wait."""

    def __init__(self, starter: Starter, size: int) -> None:
        self._starter, self._size = starter, size
        self._waiting: list[Waiting] = []

    def refill(self, environment: Mapping[str, str]) -> None:
        """Have as many as wanted for programs with this environment, and no others.

        Raises SandboxError.
        """
        wanted = jail.environment(Command((), environment=environment))
        self._drop(lambda waiting: waiting.taken() or waiting.environment != wanted)
        fresh: list[Waiting] = []
        try:
            while len(self._waiting) + len(fresh) < self._size:
                fresh.append(Waiting(self._starter, environment))
            for waiting in fresh:
                waiting.settle()
        except SandboxError:
            for waiting in fresh:
                waiting.close()
            raise
        self._waiting += fresh

    def start(self, command: Command, limits: Limits) -> DockerResident | None:
        """The command running in one of them; None if it has to be started cold."""
        waiting = self._first(command) if suits(command, limits) else None
        if waiting is None:
            return None
        try:
            return waiting.become(command, limits)
        except SandboxError:
            # It may hold more memory than allowed now, or have died; a cold start tells what is
            # wrong with the command itself.
            return None

    def close(self) -> None:
        """Destroy all that wait."""
        self._drop(lambda _: True)

    def _first(self, command: Command) -> Waiting | None:
        """One with the environment of the command, taken off the list."""
        for waiting in list(self._waiting):
            if waiting.environment == jail.environment(command):
                self._waiting.remove(waiting)
                if waiting.take():
                    return waiting
                waiting.let_go()
        return None

    def _drop(self, unwanted: Callable[[Waiting], bool]) -> None:
        for waiting in list(filter(unwanted, self._waiting)):
            self._waiting.remove(waiting)
            if waiting.take():
                waiting.close()
            else:
                waiting.let_go()
