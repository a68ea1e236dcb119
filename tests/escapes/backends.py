"""The back ends the attacks are tried on, by name. One that is absent says why.

A back end of another user runs this very program again as that user and reads what it prints.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sandbox.base import Command, Sandbox, SandboxError
from sandbox.bubblewrap import Bubblewrap
from sandbox.docker import Docker
from sandbox.limits import Limits
from sandbox.outcome import Status
from tests.docker_engine import KERNEL_APART, Engine, running_engine
from tests.escapes.attack import Attack
from tests.escapes.demonstration import USUAL, driven
from tests.escapes.host import Host
from tests.escapes.trial import Finding, Trial, Watched

HONEST_EVERY = 10
"""After so many attacks an honest submission must still be accepted."""

_COMPILING = "compiling"
_USER = 47011
_REPOSITORY = Path(__file__).parents[2]


class Backend(ABC):
    """One way of isolating, on this machine."""

    name: str

    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot be tried here; None if it can."""

    @abstractmethod
    def try_all(self, attacks: Sequence[Attack]) -> Iterator[Finding]:
        """Try attacks one after another; a finding named `honest` is a judge that has suffered."""


class InProcess(Backend):
    """A back end that this user can start itself."""

    def __init__(self, name: str, make: Callable[[], Sandbox], as_root: bool) -> None:
        self.name, self._make, self._as_root = name, make, as_root

    def missing(self) -> str | None:
        if self._as_root != (os.geteuid() == 0):
            return "needs root" if self._as_root else "needs a user that is not root"
        try:
            outcome = self._make().run(Command(["/bin/true"]), Limits())
        except SandboxError as error:
            return str(error)
        return None if outcome.status is Status.OK else f"/bin/true: {outcome.status}"

    def try_all(self, attacks: Sequence[Attack]) -> Iterator[Finding]:
        with Host() as host, Trial(host, self._make()) as trial:
            for i, attack in enumerate(attacks, 1):
                yield trial.attempt(attack)
                if i % HONEST_EVERY == 0 or i == len(attacks):
                    after = trial.honest()
                    if not after.contained:
                        yield after


class Containers(InProcess):
    """The docker back end, on the engine that the tests use, for as long as attacks are tried."""

    def __init__(self, name: str, build_runtime: str | None = None) -> None:
        super().__init__(name, self._sandbox, as_root=True)
        self._build_runtime = build_runtime
        self._engine: Engine | None = None

    def missing(self) -> str | None:
        try:
            with self._running():
                return super().missing()
        except SandboxError as error:
            return str(error)

    def try_all(self, attacks: Sequence[Attack]) -> Iterator[Finding]:
        with self._running():
            yield from super().try_all(attacks)

    def _sandbox(self) -> Sandbox:
        if self._engine is None:
            raise SandboxError("no engine runs")
        return Docker(
            self._engine.image, url=self._engine.url, build_runtime=self._build_runtime, warm=0
        )

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        with running_engine() as self._engine:
            yield
        self._engine = None


class BuildsApart(Containers):
    """Containers whose builds have a kernel of their own.

    Attacks on the compiler are judged. Every other is a program that has taken the compiler over:
    it is run to its end where builds are, without the harness. What it may do to that kernel is its
    own affair; it has escaped if the host has suffered, or if it has read the host's secret.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, KERNEL_APART)

    def try_all(self, attacks: Sequence[Attack]) -> Iterator[Finding]:
        with self._running(), Host() as host:
            docker = self._sandbox()
            trial = Trial(host, docker)
            for attack in attacks:
                compiling = attack.group == _COMPILING
                yield trial.attempt(attack) if compiling else _run(attack, docker.builder, host)
            after = trial.honest()
            if not after.contained:
                yield after


def _run(attack: Attack, builder: Sandbox, host: Host) -> Finding:
    host.restore()
    watched = Watched(builder, host.nonce)
    for _ in range(1 + attack.twice):
        watched.run(driven(attack, builder, host), USUAL)
    faults = host.damage()
    if host.secret in watched.printed():
        faults.append("the canary's text came out")
    return Finding(attack.name, "", tuple(faults))


class AsUser(Backend):
    """The back end of the same name, tried by a child that gives root up."""

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str | None:
        for tool in ("setpriv", "unshare", "mount"):
            if shutil.which(tool) is None:
                return f"needs {tool} to become another user"
        done = self._child(["-c", "import judge.judging"])
        return None if done.returncode == 0 else f"no Python for another user: {done.stderr[-300:]}"

    def try_all(self, attacks: Sequence[Attack]) -> Iterator[Finding]:
        words = [word for attack in attacks for word in ("--exactly", attack.name)]
        done = self._child(
            ["-m", "tests.escapes", "--backend", self.name, "--json", "--no-shows", *words]
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        found = [line for line in lines if line.get("backend") == self.name]
        if not found or "attacks" not in lines[-1]:
            yield Finding("honest: the run", "", (f"the run broke off: {done.stderr[-600:]}",))
        for line in found:
            yield Finding(line["attack"], line["verdict"], tuple(line["faults"]))

    def _child(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory(prefix="opjudge-escapes-home-") as home:
            os.chown(home, _USER, _USER)
            python = [sys.executable, "-B", *arguments]
            drop = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--"]
            return subprocess.run(
                ["unshare", "--mount", "sh", "-ec", _SHOW, "sh", *_hidden(), "--", *drop, *python],
                cwd=_REPOSITORY,
                env={"HOME": home, "TMPDIR": home, "PATH": os.environ["PATH"]},
                capture_output=True,
                text=True,
                check=False,
            )


# This Python may lie where only root may look. In a mount namespace of the child's own, the folder
# that hides it is covered with one that shows nothing but it: arguments are pairs of these two.
_SHOW = """
while [ "$1" != -- ]; do
    aside=$(mktemp -d /dev/shm/opjudge-aside-XXXXXX)
    mount --bind "$2" "$aside"
    mount -t tmpfs -o mode=0755 none "$1"
    mkdir -p "$2"
    mount --bind "$aside" "$2"
    umount "$aside"
    rmdir "$aside"
    shift 2
done
shift
exec "$@"
"""


def _hidden() -> list[str]:
    """Pairs of a folder others may not enter, and the folder of this Python's below it."""
    pairs = []
    for wanted in sorted({Path(sys.prefix), Path(sys.base_prefix), _REPOSITORY}):
        closed = [p for p in reversed(wanted.parents) if not p.stat().st_mode & 0o001]
        if closed:
            pairs += [str(closed[0]), str(wanted)]
    return pairs


def registry() -> dict[str, Backend]:
    """Every back end known, also those that are missing here."""
    root = os.geteuid() == 0
    user: Backend = AsUser("bubblewrap-user")
    if not root:
        user = InProcess("bubblewrap-user", Bubblewrap, as_root=False)
    known = [
        InProcess("bubblewrap-root", Bubblewrap, as_root=True),
        user,
        Containers("docker-runc"),
        BuildsApart("docker-runsc"),
    ]
    return {backend.name: backend for backend in known}
