"""The host as the attacks find it: secrets to read, things to damage, doors to knock on.

Everything here is made for one run and looked at after each attack. `damage` says what an attack
did; an empty list means that nothing outside its sandbox changed.
"""

import contextlib
import os
import platform
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from judge.package import Package, load_package
from tests.fixtures import write_package

NOBODY = 65534
NONCE_VARIABLE = "OPJUDGE_ESCAPES_NONCE"
_REPOSITORY = Path(__file__).parents[2]
_VICTIM = "import signal, sys; print('up', flush=True); signal.pause()"
_SETTINGS = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname")

BASELINE = """\
#!OPJUDGE arrays=numpy
import numpy as np


def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
"""
LIMITS_YAML = """\
limits: {time_limit_s: %s, prepare_limit_s: 2.0, memory_mib: 64, build_limit_s: 3.0}
cost:"""


class Host:
    """Use as a context manager: leaving it removes everything.

    Attributes:
        nonce: in the environment of all that a watched sandbox starts; what lives on has it.
        secret: the content of the canary; no attack's text holds it.
    """

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()
        self.nonce, self.secret = secrets.token_hex(12), secrets.token_hex(16)
        self.folder = Path(tempfile.mkdtemp(prefix="opjudge-escapes-"))
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.package = self._problem("row_scale", time_limit_s=1.0)
        self.patient_package = self._problem("row_scale_slowly", time_limit_s=20.0)
        self.open = self.folder / "open"
        self.open.mkdir()
        self.open.chmod(0o777)
        self.canary = self.open / "canary"
        self.restore()
        self._victim = self._start_victim()
        self._listeners = self._listen()
        self._known = self._state()
        self._standing: set[int] = set()
        self._standing_groups: set[str] = set()

    def expect(self) -> None:
        """What a watched sandbox has made by now belongs there: its template for warm starts."""
        self._standing = set(self._marked())
        self._standing_groups = set(_groups())

    def facts(self) -> dict[str, str | int]:
        """What attacks are told."""
        tcp = self._listeners["tcp"].getsockname()
        return {
            "canary": str(self.canary),
            "open": str(self.open),
            "package": str(self.package.root),
            "repository": str(_REPOSITORY),
            "nonce": self.nonce,
            "victim": self._victim.pid,
            "judge": os.getpid(),
            "port": int(tcp[1]),
            "udp": int(self._listeners["udp"].getsockname()[1]),
            "unix": str(self.open / "socket"),
            "dgram": str(self.open / "dgram"),
            "abstract": f"opjudge-{self.nonce}",
        }

    def damage(self, living: Iterable[int] = ()) -> list[str]:
        """What is not as it was; `living` are processes that ought to be gone."""
        now = self._state()
        found = [f"{name} changed" for name, was in self._known.items() if now[name] != was]
        found += [f"a caller at {name}" for name in self._called()]
        extra = set(self._marked()) - self._standing
        found += [f"process {pid} lives on" for pid in (*living, *extra) if _lives(pid)]
        found += [f"process {pid} is gone" for pid in self._standing if not _lives(pid)]
        found += [f"{path} is left" for path in self._left()]
        groups = set(_groups()) - self._standing_groups
        found += [f"control group {path} is left" for path in groups]
        return found

    def restore(self) -> None:
        """Put the canary (back) in its place, after a demonstration has changed it."""
        for path in self.open.iterdir():
            if not stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        self.canary.write_text(self.secret)
        self.canary.chmod(0o666)
        for path in self._left():
            path.unlink()
        if hasattr(self, "_known"):
            self._called()
            self._known = self._state()

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._undo.close()

    def _problem(self, slug: str, time_limit_s: float) -> Package:
        limits = ("cost:", LIMITS_YAML % time_limit_s)
        root = self.folder / "problems" / slug
        return load_package(write_package(root, limits, files={"baseline.py": BASELINE}))

    def _start_victim(self) -> subprocess.Popen[bytes]:
        """A process of the very user that programs inside are on the host."""
        as_root = os.geteuid() == 0
        # Python may lie where only root may look.
        python = shutil.which("sleep") if as_root else sys.executable
        argv = [str(python), "infinity"] if as_root else [str(python), "-I", "-c", _VICTIM]
        victim = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            env={"OPJUDGE_ESCAPES_SECRET": self.secret},
            user=NOBODY if as_root else None,
            group=NOBODY if as_root else None,
            extra_groups=[] if as_root else None,
        )
        self._undo.callback(victim.stdout.close)  # type: ignore[union-attr]
        self._undo.callback(victim.wait)
        self._undo.callback(victim.kill)
        if not as_root:
            victim.stdout.readline()  # type: ignore[union-attr]
        return victim

    def _listen(self) -> dict[str, socket.socket]:
        listeners = {
            "tcp": socket.create_server(("127.0.0.1", 0)),
            "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "unix": socket.socket(socket.AF_UNIX),
            "abstract": socket.socket(socket.AF_UNIX),
            "dgram": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        }
        listeners["udp"].bind(("127.0.0.1", 0))
        listeners["unix"].bind(str(self.open / "socket"))
        listeners["dgram"].bind(str(self.open / "dgram"))
        listeners["abstract"].bind(f"\0opjudge-{self.nonce}")
        for name in ("socket", "dgram"):
            (self.open / name).chmod(0o777)
        for name, listener in listeners.items():
            self._undo.enter_context(listener)
            if listener.type == socket.SOCK_STREAM and name != "tcp":
                listener.listen()
            listener.setblocking(False)
        return listeners

    def _called(self) -> list[str]:
        """Which doors were knocked on since the last look."""
        names = []
        for name, listener in self._listeners.items():
            with contextlib.suppress(BlockingIOError):
                if listener.type == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(1)
                names.append(name)
        return names

    def _state(self) -> dict[str, object]:
        """Everything a program inside must not be able to change."""
        canary = self.canary.lstat() if self.canary.exists() else None
        state: dict[str, object] = {
            "the canary": canary and (canary.st_mode, canary.st_nlink, canary.st_uid),
            "the canary's text": canary and self.canary.read_text(),
            "the canary's folder": sorted(p.name for p in self.open.iterdir()),
            "/dev/null": (os.stat("/dev/null").st_mode, os.stat("/dev/null").st_uid),
            "the judge's priority": os.getpriority(os.PRIO_PROCESS, 0),
            "the judge's cores": os.sched_getaffinity(0),
            "the kernel's name": platform.node(),
            "the victim": self._victim.poll(),
            "the victim's state": _stat(self._victim.pid),
        }
        for path in _SETTINGS:
            state[path] = Path(path).read_text()
        return state

    def _marked(self) -> list[int]:
        """Living processes that a watched sandbox started."""
        mark, found = f"{NONCE_VARIABLE}={self.nonce}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def _left(self) -> list[Path]:
        roots = map(Path, ("/tmp", "/var/tmp", "/run", "/dev/shm", "/work", "/"))
        return [path for root in roots for path in root.glob(f"{self.nonce}*")]


def _stat(pid: int) -> tuple[str, str]:
    """Nice value, and whether it is stopped or traced."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[16], fields[0] if fields[0] in "TtZX" else "alive"


def _lives(pid: int) -> bool:
    try:
        return _stat(pid)[1] not in ("Z", "X")
    except OSError:
        return False


def _groups() -> list[str]:
    # Not by glob: groups of others come and go meanwhile, which a walk does not mind.
    ours = f"opjudge-{os.getpid()}-"
    walk = os.walk("/sys/fs/cgroup")
    return [f"{root}/{name}" for root, names, _ in walk for name in names if name.startswith(ours)]
