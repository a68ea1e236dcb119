"""What a container is: the engine's request, as data."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import jail
from sandbox.base import Command, SandboxError
from sandbox.docker_gate import SCRIPT, SHOWN, SOCKET
from sandbox.docker_places import OUTPUTS, ROOTS_HOME, written
from sandbox.docker_seccomp import profile
from sandbox.identity import NOBODY
from sandbox.limits import DESCRIPTORS, Limits

_RECEIVER = f"{jail.HARNESS_ROOT}/sandbox/harness/receive.py"
_IDLE = ("/boot", "/home", "/media", "/mnt", "/run", "/srv", "/var")
_EMPTY = "ro,noexec,nosuid,nodev,size=4096,mode=0755"

# A runtime with a kernel of its own serves its programs with threads of its own, and with memory.
_OWN_THREADS, _OWN_THREADS_EACH, _OWN_BYTES = 256, 4, 128 << 20
# The shell stays, as process 1, since signals are not the same for that; its exit code says all.
# The time is for a worker that has died.
_APART = f'timeout -s KILL %d env -i "$@" </dev/null >{OUTPUTS}/stdout 2>{OUTPUTS}/stderr; exit $?'
_GRACE_S = 10

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Devices:
    """Accelerators to show inside.

    Attributes:
        nodes: device files, such as ``/dev/davinci0``.
        requests: device requests as the engine's API has them, such as
            ``{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}``.
        mounts: host directories of driver libraries, shown read-only in the same place.
        variables: what the environment says of them, where the program's own does not.
    """

    nodes: tuple[str, ...] = ()
    requests: tuple[Json, ...] = ()
    mounts: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layers:
    """Which defences are on. All are; tests switch one off to show that an attack then works."""

    network: bool = False
    seccomp: bool = True
    landlock: bool = True
    procless: bool = True


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
    """Descriptors that the program's process is given before it becomes the program.

    Attributes:
        numbers: what they are called inside, in the order in which they are sent.
        rules: the number of the Landlock rules among them, -1 if there are none.
        later: whether the program itself comes for some.
    """

    numbers: tuple[int, ...] = ()
    rules: int = -1
    later: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one container is for.

    Attributes:
        folder: the host's, in which lies what can be written inside.
    """

    command: Command
    limits: Limits
    folder: Path
    labels: Mapping[str, str]


def container(plan: Plan, wanted: Wanted, gate: Path, handed: Handed) -> dict[str, object]:
    """The body of the engine's request for a container whose program waits.

    Args:
        gate: the host directory of the start.
        handed: what will be handed over once it runs.
    """
    command, limits = wanted.command, wanted.limits
    python = _interpreter(jail.needs_python(command) or bool(handed.numbers))
    security = "seccomp=" + (profile() if plan.layers.seccomp else "unconfined")
    host = _host_config(plan, wanted, python)
    host["Mounts"] = [*_mounts(plan, wanted.folder, python), _mount(gate, SHOWN)]
    host["SecurityOpt"] = ["no-new-privileges", security]
    host["Memory"] = host["MemorySwap"] = limits.memory_bytes
    host["PidsLimit"] = limits.processes + 1  # ours, which waits
    host["AutoRemove"] = True
    return _request(plan, wanted, [SCRIPT, "sh", *_words(plan, command, handed)], host)


def apart(plan: Plan, wanted: Wanted) -> dict[str, object]:
    """The body of the engine's request for a container under a runtime with a kernel of its own.

    Its program starts at once. That kernel is what refuses system calls, with a filter of the
    runtime's around it: ours would have to allow the calls of both.
    """
    command, limits = wanted.command, wanted.limits
    python = _interpreter(jail.needs_python(command))
    host = _host_config(plan, wanted, python)
    host["Mounts"] = _mounts(plan, wanted.folder, python)
    host["SecurityOpt"] = ["no-new-privileges"]
    host["Memory"] = host["MemorySwap"] = limits.memory_bytes + _OWN_BYTES
    host["PidsLimit"] = _OWN_THREADS + _OWN_THREADS_EACH * limits.processes
    script = [_APART % (limits.wall_s + _GRACE_S), "sh", *_words(plan, command, Handed())]
    # gVisor gives its standard input to the program's user: without one of its own, that is the
    # host's /dev/null.
    return {**_request(plan, wanted, script, host), "OpenStdin": True}


def _words(plan: Plan, command: Command, handed: Handed) -> list[str]:
    """The environment and the program, for ``env -i``."""
    variables = {"PWD": jail.WORK, **plan.devices.variables, **jail.environment(command)}
    words = [f"{name}={value}" for name, value in variables.items()]
    if handed.numbers:
        numbers = ",".join(map(str, handed.numbers))
        words += [sys.executable, "-I", "-S", "-B", _RECEIVER, SOCKET, numbers, str(handed.rules)]
    return [*words, *jail.command_line(command)]


def _request(
    plan: Plan, wanted: Wanted, script: Sequence[str], host: Mapping[str, object]
) -> dict[str, object]:
    return {
        "Image": plan.image,
        "Entrypoint": ["/bin/sh", "-c", *script],
        "Cmd": [],
        "Env": [],
        "User": f"{NOBODY}:{NOBODY}",
        "WorkingDir": jail.WORK,
        "Hostname": "sandbox",
        "NetworkDisabled": not plan.layers.network,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": dict(wanted.labels),
        "HostConfig": host,
    }


def _host_config(plan: Plan, wanted: Wanted, python: list[Path]) -> dict[str, object]:
    """What is the same under every runtime."""
    config: dict[str, object] = {
        "NetworkMode": "host" if plan.layers.network else "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "LogConfig": {"Type": "none"},
        "CpusetCpus": ",".join(map(str, wanted.command.cores)),
        "Ulimits": [
            {"Name": name, "Soft": soft, "Hard": hard}
            for name, soft, hard in resource_limits(wanted.limits, wanted.command.share)
        ],
        "Tmpfs": dict.fromkeys(_covered(plan, python), _EMPTY),
        "Devices": [
            {"PathOnHost": node, "PathInContainer": node, "CgroupPermissions": "rw"}
            for node in plan.devices.nodes
        ],
        "DeviceRequests": [dict(request) for request in plan.devices.requests],
    }
    if plan.runtime is not None:
        config["Runtime"] = plan.runtime
    return config


def _interpreter(wanted: bool) -> list[Path]:
    """The host directories of Python that are to be shown. Raises SandboxError if they cannot."""
    if not wanted:
        return []
    paths = jail.interpreter_paths()
    for path in paths:
        if path.stat().st_mode & 0o005 != 0o005:
            raise SandboxError(
                f"{path} is not readable by everyone, and programs inside do not run as root: "
                f"chmod o+rx {path}, or install the worker elsewhere"
            )
    return paths


def resource_limits(limits: Limits, share: Iterable[int]) -> Iterator[tuple[str, int, int]]:
    """The limits of each process.

    Args:
        share: the descriptors it is given.
    """
    # Handles of the host's shared memory keep their numbers inside, which may be high.
    descriptors = max([DESCRIPTORS, *(2 * fd for fd in share)])
    for name, soft, hard in limits.per_process():
        yield (name, descriptors, descriptors) if name == "nofile" else (name, soft, hard)


def _covered(plan: Plan, python: list[Path]) -> Iterator[str]:
    """Directories that are empty inside."""
    # The engine would show the kernel's devices and every control group.
    yield "/sys"
    # Of no use to a program; but Python, a driver, or what comes with a device may lie there.
    needed = (*python, *plan.devices.mounts)
    if not plan.devices.requests:
        for name in _IDLE:
            if not any(path.is_relative_to(name) for path in needed):
                yield name
    for path in plan.hide:
        if path.is_dir() and any(path.is_relative_to(p) for p in python):
            yield str(path)


def _mounts(plan: Plan, folder: Path, python: list[Path]) -> list[dict[str, object]]:
    root = any(path.is_relative_to(ROOTS_HOME) for path in python)
    writable = [{**_mount(*pair), "ReadOnly": False} for pair in written(folder, root)]
    return [*writable, *(_mount(*pair) for pair in _shown(plan, python))]


def _shown(plan: Plan, python: list[Path]) -> Iterator[tuple[Path, str]]:
    """What of the host is shown inside, read-only: where it lies and where it is seen."""
    yield from ((path, str(path)) for path in (*plan.devices.mounts, *python))
    if python:
        source = Path(__file__).resolve().parent
        for name in ("__init__.py", "harness"):
            yield source / name, f"{jail.HARNESS_ROOT}/sandbox/{name}"


def _mount(source: Path, target: str) -> dict[str, object]:
    return {
        "Type": "bind",
        "Source": os.fspath(source),
        "Target": target,
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate"},
    }
