"""What a container is: the engine's request, as data."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import jail
from sandbox.base import Command, SandboxError
from sandbox.docker_gate import OUTPUTS, SCRIPT, SHOWN, SOCKET
from sandbox.docker_seccomp import profile
from sandbox.identity import NOBODY
from sandbox.limits import DESCRIPTORS, Limits

PLACES = (jail.WORK, "/tmp", "/dev/shm")  # noqa: S108 - the container's own
"""Where a program can write. Each has the whole quota; their sum is watched."""

ROOTS_HOME = "/root"
"""Private to root in an image, but Python may lie beneath it: then it is covered by another."""

_RECEIVER = f"{jail.HARNESS_ROOT}/sandbox/harness/receive.py"
_PAGE_BYTES = 4096
_INODES = 1 << 15
_EMPTY = "ro,noexec,nosuid,nodev,size=4096,mode=0755"

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Devices:
    """Accelerators to show inside.

    Attributes:
        nodes: device files, such as ``/dev/davinci0``.
        requests: device requests as the engine's API has them, such as
            ``{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}``.
        mounts: host directories of driver libraries, shown read-only in the same place.
    """

    nodes: tuple[str, ...] = ()
    requests: tuple[Json, ...] = ()
    mounts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Layers:
    """Which defences are on. All are; tests switch one off to show that an attack then works."""

    network: bool = False
    seccomp: bool = True
    landlock: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same for every container of a sandbox."""

    image: str
    runtime: str | None = None
    hide: tuple[Path, ...] = ()
    devices: Devices = field(default_factory=Devices)
    layers: Layers = field(default_factory=Layers)


@dataclass(frozen=True, slots=True)
class Handed:
    """Descriptors that the program's process is given.

    Attributes:
        numbers: what they are called inside, in the order in which they are sent.
        rules: the number of the Landlock rules among them, -1 if there are none.
    """

    numbers: tuple[int, ...] = ()
    rules: int = -1


def needs_python(command: Command) -> bool:
    """Whether Python is shown inside: descriptors are received by a program in Python."""
    return jail.needs_python(command) or bool(command.share)


def container(
    plan: Plan,
    command: Command,
    limits: Limits,
    gate: Path,
    labels: Mapping[str, str],
    handed: Handed,
) -> dict[str, object]:
    """The body of the engine's request for a container.

    Args:
        gate: the host directory of the start.
        handed: what will be handed over once it runs.
    """
    return {
        "Image": plan.image,
        "Entrypoint": ["/bin/sh", "-c", SCRIPT, "sh", *_words(command, handed)],
        "Cmd": [],
        "Env": [],
        "User": f"{NOBODY}:{NOBODY}",
        "WorkingDir": jail.WORK,
        "Hostname": "sandbox",
        "NetworkDisabled": not plan.layers.network,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": dict(labels),
        "HostConfig": _host_config(plan, command, limits, gate),
    }


def _words(command: Command, handed: Handed) -> list[str]:
    """The environment and the program, for ``env -i``."""
    variables = {"PWD": jail.WORK, **jail.environment(command)}
    words = [f"{name}={value}" for name, value in variables.items()]
    if handed.numbers:
        numbers = ",".join(map(str, handed.numbers))
        words += [sys.executable, "-I", "-S", "-B", _RECEIVER, SOCKET, numbers, str(handed.rules)]
    return [*words, *jail.command_line(command)]


def _host_config(plan: Plan, command: Command, limits: Limits, gate: Path) -> dict[str, object]:
    security = "seccomp=" + (profile() if plan.layers.seccomp else "unconfined")
    config: dict[str, object] = {
        "AutoRemove": True,
        "NetworkMode": "host" if plan.layers.network else "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", security],
        "LogConfig": {"Type": "none"},
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "PidsLimit": limits.processes + 1,  # ours, which waits
        "CpusetCpus": ",".join(map(str, command.cores)),
        "Ulimits": [
            {"Name": name, "Soft": soft, "Hard": hard}
            for name, soft, hard in _resource_limits(limits, command.share)
        ],
        "Tmpfs": _places(limits, _interpreter(command), plan.hide),
        "Mounts": [_mount(*pair) for pair in _shown(plan, command, gate)],
        "Devices": [
            {"PathOnHost": node, "PathInContainer": node, "CgroupPermissions": "rw"}
            for node in plan.devices.nodes
        ],
        "DeviceRequests": [dict(request) for request in plan.devices.requests],
    }
    if plan.runtime is not None:
        config["Runtime"] = plan.runtime
    return config


def _interpreter(command: Command) -> list[Path]:
    """The host directories of Python that are to be shown. Raises SandboxError if they cannot."""
    if not needs_python(command):
        return []
    paths = jail.interpreter_paths()
    for path in paths:
        if path.stat().st_mode & 0o005 != 0o005:
            raise SandboxError(
                f"{path} is not readable by everyone, and programs inside do not run as root: "
                f"chmod o+rx {path}, or install the worker elsewhere"
            )
    return paths


def _resource_limits(limits: Limits, share: Iterable[int]) -> Iterator[tuple[str, int, int]]:
    # Handles of the host's shared memory keep their numbers inside, which may be high.
    descriptors = max([DESCRIPTORS, *(2 * fd for fd in share)])
    for name, soft, hard in limits.per_process():
        yield (name, descriptors, descriptors) if name == "nofile" else (name, soft, hard)


def _places(limits: Limits, python: list[Path], hide: Iterable[Path]) -> dict[str, str]:
    common = f"rw,nosuid,nodev,size={limits.file_bytes},nr_inodes={_INODES}"
    places = dict.fromkeys(PLACES, f"{common},exec,mode=1777")
    places[jail.WORK] = f"{common},exec,mode=0777"
    # One page more than is allowed, so that too much can be told from just enough.
    room = 2 * (limits.output_bytes + 2 * _PAGE_BYTES)
    # The engine would show the kernel's devices and every control group.
    places["/sys"] = _EMPTY
    places[OUTPUTS] = f"rw,noexec,nosuid,nodev,size={room},nr_inodes=8,uid={NOBODY}"
    if any(path.is_relative_to(ROOTS_HOME) for path in python):
        places[ROOTS_HOME] = _EMPTY.replace("ro,", "rw,", 1)
    for path in hide:
        if path.is_dir() and any(path.is_relative_to(p) for p in python):
            places[str(path)] = _EMPTY
    return places


def _shown(plan: Plan, command: Command, gate: Path) -> list[tuple[Path, str]]:
    """What of the host is shown inside, read-only: where it lies and where it is seen."""
    shown = [(gate, SHOWN), *((path, str(path)) for path in plan.devices.mounts)]
    python = _interpreter(command)
    shown += [(path, str(path)) for path in python]
    if python:
        source = Path(__file__).resolve().parent
        inside = f"{jail.HARNESS_ROOT}/sandbox"
        shown += [(source / name, f"{inside}/{name}") for name in ("__init__.py", "harness")]
    return shown


def _mount(source: Path, target: str) -> dict[str, object]:
    return {
        "Type": "bind",
        "Source": os.fspath(source),
        "Target": target,
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate"},
    }
