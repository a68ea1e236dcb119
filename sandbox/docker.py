"""Isolation by Docker: a hardened container per program; the engine builds it, we watch it.

How a program starts. The engine starts a script of ours as an unprivileged user; see
`sandbox.docker_gate`. While the process that will become the program waits there, the host takes
hold of it by descriptor, hides /proc from it, writes its Landlock rules and puts the files in, then
says go. Descriptors cannot pass through the engine: the first program run is then
`sandbox.harness.receive`, which is given them over a socket and becomes the real one.

The host needs root for all of this: it mounts the places that can be written, enters the
container's mount namespace, and stops a program of another user. Whoever may use the engine's
socket is root on that host in any case.
"""

import contextlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sandbox import landlock
from sandbox.base import Command, Resident, Sandbox, SandboxError
from sandbox.descriptors import lay_out
from sandbox.docker_apart import Apart
from sandbox.docker_config import Devices, Handed, Layers, Plan
from sandbox.docker_engine import engine, find_image, find_runtime, reap
from sandbox.docker_gate import send
from sandbox.docker_places import sweep
from sandbox.docker_pool import Pool
from sandbox.docker_resident import DockerResident
from sandbox.docker_start import Starter
from sandbox.limits import Limits
from sandbox.outcome import Outcome

SHARED_KERNEL = ("runc", "crun", "nvidia", "ascend")
"""Runtimes whose programs run on the host's kernel, so that they can be stopped and share pages."""


class Docker(Sandbox):
    """Runs programs in containers of the local Docker engine.

    Args:
        image: name, digest or id of an image that is there; it needs sh, cat and env, and g++ for
            C++ submissions. It is trusted: contestants never supply one.
        url: the engine; by default where ``DOCKER_HOST`` says, or the usual socket.
        hide: host directories to cover inside even where they lie under the mounted Python.
        runtime: the engine's runtime for these containers; by default its own choice.
        build_runtime: the runtime for builds, which may have a kernel of its own (``runsc``); by
            default the same.
        devices: accelerators to show to programs that stay; builds and probes see none.
        warm: how many containers wait for programs of the harness, once `refill` was called.
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
        build_runtime: str | None = None,
        devices: Devices | None = None,
        warm: int = 3,
        layers: Layers | None = None,
    ) -> None:
        need_root()
        need_fitting(runtime, build_runtime)
        self._url = url
        with engine(url) as client:
            self._image = find_image(client, image)
            self._runtime = find_runtime(client, runtime)
            if build_runtime is not None:
                find_runtime(client, build_runtime)
            reap(client)
        sweep()
        plan = Plan(self._image["image"], runtime, tuple(hide), Devices(), layers or Layers())
        self._plan = plan
        self._plain = Starter(plan, url)
        self._starter = Starter(replace(plan, devices=devices or Devices()), url)
        self._pool = Pool(self._starter, warm)
        self._build_runtime = build_runtime or self._runtime
        self._builder: Sandbox = self
        if build_runtime is not None:
            self._builder = Apart(replace(plan, runtime=build_runtime), url)

    def run(self, command: Command, limits: Limits) -> Outcome:
        return _start(self._plain, command, limits).to_its_end()

    def start(self, command: Command, limits: Limits) -> Resident:
        warm = self._pool.start(command, limits)
        return warm or _start(self._starter, command, limits)

    @property
    def builder(self) -> Sandbox:
        return self._builder

    def refill(self, environment: Mapping[str, str]) -> None:
        self._pool.refill(environment)

    def close(self) -> None:
        self._pool.close()

    def describe(self) -> dict[str, str]:
        with engine(self._url) as client:
            version, info = client.version(), client.info()
        layers = self._plan.layers
        abi = landlock.abi() if layers.landlock else 0
        network = "" if layers.network else " net"
        return {
            "backend": self.name,
            "version": str(version["Version"]),
            "runtime": self._runtime,
            "build_runtime": self._build_runtime,
            **self._image,
            "namespaces": f"pid ipc uts mount cgroup{network}",
            "seccomp": "base" if layers.seccomp else "none",
            "landlock": f"ABI {abi}" if abi else "none",
            "cgroup": f"v{info.get('CgroupVersion', '1')}",
            "user": "nobody",
            "kernel": platform.release(),
        }


def need_root() -> None:
    """Raise SandboxError, with the reason, for a worker that is not root."""
    if os.geteuid() != 0:
        raise SandboxError(
            "the docker back end needs root, to mount what a program can write, to hide /proc from "
            "it and to stop it, since it is another user; the group docker is not enough, though "
            "it is as good as root: run the worker as root, or use the bubblewrap back end"
        )


def need_fitting(runtime: str | None, build_runtime: str | None) -> None:
    """Raise SandboxError for runtimes that cannot do what they are named for."""
    if build_runtime in SHARED_KERNEL:
        raise SandboxError(
            f"a runtime for builds alone is one with a kernel of its own, not {build_runtime!r}: "
            "leave OPJUDGE_DOCKER_BUILD_RUNTIME out"
        )
    if runtime is not None and runtime not in SHARED_KERNEL:
        raise SandboxError(
            f"the runtime {runtime!r} has a kernel of its own (or is unknown here): timed programs "
            "cannot be stopped from outside there, nor share memory with the judge; "
            f"use one of {', '.join(SHARED_KERNEL)}, and {runtime!r} for builds alone "
            "(OPJUDGE_DOCKER_BUILD_RUNTIME)"
        )


def _start(starter: Starter, command: Command, limits: Limits) -> DockerResident:
    """Start a program and let it go."""
    if any(fd < 3 for fd in command.share):
        raise ValueError("descriptors 0, 1 and 2 cannot be shared")
    with contextlib.ExitStack() as undo:
        rules = starter.rules()
        fds, handed = list(command.share), Handed(tuple(command.share))
        if rules is not None:
            undo.callback(rules.close)
            fds.append(rules.fd)
            # Closed again before the program starts: any number will do.
            number = max(command.share, default=2) + 1
            handed = Handed((*command.share, number), number)
        tree = starter.hold(command, limits, rules, handed)
        with contextlib.ExitStack() as failed:
            resident = DockerResident(tree, command, limits)
            failed.callback(resident.end)
            lay_out(tree.places.work, command.files)
            tree.gate.open()
            if fds:
                with tree.gate.receiver(tree.program) as connection:
                    send(connection, b"\0", fds, last=True)
            failed.pop_all()
    return resident
