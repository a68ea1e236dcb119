"""Isolation by Docker: a hardened container per program; the engine builds it, we watch it.

How a program starts. The engine starts a script of ours as an unprivileged user; see
`sandbox.docker_gate`. While the process that will become the program waits there, the host opens
its directories, puts the files in and takes hold of it by descriptor, then says go. Descriptors
cannot pass through the engine: the first program run is then `sandbox.harness.receive`, which is
given them over a socket and becomes the real one. The host needs root for all of this: the
program's user is another than any worker's.
"""

import contextlib
import functools
import os
import platform
import secrets
from collections.abc import Sequence
from pathlib import Path

from sandbox import landlock
from sandbox.base import Command, Resident, Sandbox, SandboxError
from sandbox.descriptors import lay_out, open_directory
from sandbox.docker_config import (
    PLACES,
    ROOTS_HOME,
    Devices,
    Handed,
    Layers,
    Plan,
    container,
    needs_python,
)
from sandbox.docker_engine import (
    OWNER_LABEL,
    TOKEN_LABEL,
    engine,
    find_image,
    launch,
    main_process,
    owner,
    reap,
    remove,
)
from sandbox.docker_gate import OUTPUTS, Gate, meet, sweep
from sandbox.docker_resident import DockerResident, DockerTree, group_of
from sandbox.limits import Limits
from sandbox.outcome import Outcome
from sandbox.process import Handle, Threads

_FOLDER_MODE = 0o777
_SHARED_KERNEL = (None, "runc", "crun", "nvidia", "ascend")


class Docker(Sandbox):
    """Runs programs in containers of the local Docker engine.

    Args:
        image: name, digest or id of an image that is there; it needs sh, cat and env, and g++ for
            C++ submissions. It is trusted: contestants never supply one.
        url: the engine; by default where ``DOCKER_HOST`` says, or the usual socket.
        hide: host directories to cover inside even where they lie under the mounted Python.
        runtime: the engine's runtime for these containers; by default its own choice.
        devices: accelerators to show inside.
        layers: defences, for the tests of the tests.

    Removes what workers that are gone have left behind. Raises SandboxError, with the remedy, where
    it cannot work.
    """

    name = "docker"

    def __init__(
        self,
        image: str,
        *,
        url: str | None = None,
        hide: Sequence[Path] = (),
        runtime: str | None = None,
        devices: Devices | None = None,
        layers: Layers | None = None,
    ) -> None:
        if os.geteuid() != 0:
            raise SandboxError(
                "the docker back end needs root, to stop programs of another user: "
                "run the worker as root, or use the bubblewrap back end"
            )
        if runtime not in _SHARED_KERNEL:
            raise SandboxError(
                f"the runtime {runtime!r} has a kernel of its own (or is unknown here): its "
                "programs cannot be stopped from outside nor share memory with the judge; "
                f"use one of {', '.join(filter(None, _SHARED_KERNEL))}"
            )
        self._url = url
        with engine(url) as client:
            found = find_image(client, image)
            reap(client)
        sweep()
        self._plan = Plan(found, runtime, tuple(hide), devices or Devices(), layers or Layers())

    def run(self, command: Command, limits: Limits) -> Outcome:
        return self._start(command, limits).to_its_end()

    def start(self, command: Command, limits: Limits) -> Resident:
        return self._start(command, limits)

    def describe(self) -> dict[str, str]:
        with engine(self._url) as client:
            version, info = client.version(), client.info()
        layers = self._plan.layers
        abi = landlock.abi() if layers.landlock else 0
        network = "" if layers.network else " net"
        return {
            "backend": self.name,
            "version": str(version["Version"]),
            "runtime": self._plan.runtime or str(info["DefaultRuntime"]),
            "image": self._plan.image,
            "namespaces": f"pid ipc uts mount cgroup{network}",
            "seccomp": "base" if layers.seccomp else "none",
            "landlock": f"ABI {abi}, programs with Python" if abi else "none",
            "cgroup": f"v{info.get('CgroupVersion', '1')}",
            "user": "nobody",
            "kernel": platform.release(),
        }

    def _start(self, command: Command, limits: Limits) -> DockerResident:
        if any(fd < 3 for fd in command.share):
            raise ValueError("descriptors 0, 1 and 2 cannot be shared")
        with contextlib.ExitStack() as undo:
            rules = self._rules(command)
            with contextlib.closing(rules) if rules else contextlib.nullcontext():
                tree = self._hold(*self._create(command, limits, rules, undo), undo)
                lay_out(tree.places[0], command.files)
                resident = DockerResident(tree, command, limits)
                fds = list(command.share)
                if rules is not None:
                    rules.fill(tree.program.pid, PLACES)
                    fds.append(rules.fd)
                tree.gate.open()
                if fds:
                    tree.gate.hand_over(tree.program, fds)
            undo.pop_all()
        return resident

    def _create(
        self,
        command: Command,
        limits: Limits,
        rules: landlock.Ruleset | None,
        undo: contextlib.ExitStack,
    ) -> tuple[str, int, Gate]:
        """A container whose program waits: its id, its process 1, and the gate."""
        mine = owner(os.getpid())
        name = f"opjudge-{os.getpid()}-{secrets.token_hex(8)}"
        handed = Handed(tuple(command.share))
        if rules is not None:
            # Closed again before the program starts: any number will do.
            number = max(command.share, default=2) + 1
            handed = Handed((*command.share, number), number)
        gate = Gate(name, mine, sharing=bool(handed.numbers))
        undo.callback(gate.close)
        labels = {OWNER_LABEL: mine, TOKEN_LABEL: name}
        config = container(self._plan, command, limits, gate.shown, labels, handed)
        with engine(self._url) as client:
            ident = launch(client, config, name)
            undo.callback(self._remove, ident)
            return ident, main_process(client, ident), gate

    def _rules(self, command: Command) -> landlock.Ruleset | None:
        """An empty rule set, where the kernel has Landlock and there is a Python to take it on."""
        abi = landlock.abi() if self._plan.layers.landlock and needs_python(command) else 0
        return landlock.Ruleset(abi) if abi else None

    def _hold(self, ident: str, init: int, gate: Gate, undo: contextlib.ExitStack) -> DockerTree:
        """Take hold of everything about a container whose program still waits."""
        try:
            keeper = Handle(init)
            undo.callback(keeper.close)
            places = []
            for place in PLACES:
                places.append(open_directory(f"/proc/{init}/root{place}"))
                undo.callback(os.close, places[-1])
            settle(f"/proc/{init}/root", places)
            pid, stdout, stderr = _meet(init)
            for fd in (stdout, stderr):
                undo.callback(os.close, fd)
            program = Handle(pid)
            undo.callback(program.close)
            threads = Threads(pid)
            undo.callback(threads.close)
            group = group_of(init)
        except OSError as error:
            raise SandboxError(f"the container ended while it was started: {error}") from error
        forget = functools.partial(self._remove, ident)
        return DockerTree(
            program, keeper, threads, stdout, stderr, group, tuple(places), gate, forget
        )

    def _remove(self, ident: str) -> None:
        with engine(self._url) as client:
            remove(client, ident)


def _meet(init: int) -> tuple[int, int, int]:
    """The waiting process and descriptors of its two outputs. The caller closes them."""
    folder = open_directory(f"/proc/{init}/root{OUTPUTS}")
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, folder)
        pid = meet(init, folder)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        stdout = os.open("stdout", flags, dir_fd=folder)
        return pid, stdout, os.open("stderr", flags, dir_fd=folder)


def settle(root: str, places: Sequence[int]) -> None:
    """Give the mounted directories their modes: some engines give them those of the image's own."""
    for fd in places:
        os.fchmod(fd, _FOLDER_MODE)
    cover = open_directory(root + ROOTS_HOME)
    try:
        # Only where it is ours to change; the image's own is read-only.
        if os.fstat(cover).st_dev != os.stat(root).st_dev:
            os.fchmod(cover, 0o755)
    finally:
        os.close(cover)
