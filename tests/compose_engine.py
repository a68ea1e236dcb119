"""An engine for compose.yaml, with all its images made here: nothing is pulled.

The engine runs in a network of its own, which ends with it: it changes no firewall rule of this
machine and takes no port. The base image is a minimal Debian with PostgreSQL, g++ and the packages
of this very virtual environment, kept in the user's cache until a pinned version changes.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from sandbox.base import SandboxError
from sandbox.docker_engine import engine
from tests.docker_engine import cache_folder, daemon, debian_release, do, make_tarball

REPOSITORY = Path(__file__).resolve().parent.parent
BASE = "opjudge-compose-base:1"
SERVERS = "opjudge-compose-servers:1"

_FILES = REPOSITORY / "tests" / "e2e" / "servers"
_PACKAGES = ("ca-certificates", "python3", "python3-venv", "g++", "bubblewrap", "postgresql")
_VENV = Path("opt/opjudge")
# pip comes with the virtual environment of each build.
_LEFT_OUT = ("opjudge-*", "_editable_impl_opjudge.pth", "pip", "pip-*", "__pycache__")
# What the packages of this environment do not need and those of the image do.
_PLENTY_BYTES = 12 << 30
_MORE = ("hatchling", "async-timeout")


@dataclass(frozen=True, slots=True)
class ComposeEngine:
    """Attributes:
    url: of the engine.
    pid: of its process, whose network the containers' ports are published in.
    """

    url: str
    pid: int

    @property
    def inside(self) -> tuple[str, ...]:
        """A command line that puts the following one into the engine's network."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")


@contextmanager
def compose_engine() -> Iterator[ComposeEngine]:
    """An engine that has the images `BASE` and `SERVERS`. Raises SandboxError."""
    within = ("unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    options, data = ("--ip6tables=false",), _in_memory()
    with daemon({}, options, ready=_answers, within=within, data=data) as (url, pid):
        with engine(url) as client:
            # As on an island: whatever is not there already makes the build fail.
            offline = ["ENV PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0"]
            repository, _, tag = BASE.partition(":")
            client.import_image(
                src=str(_tarball()), repository=repository, tag=tag, changes=offline
            )
        do(["docker", "--host", url, "build", "--quiet", "--tag", SERVERS, str(_FILES)])
        yield ComposeEngine(url, pid)


def _in_memory() -> Path | None:
    """A folder in memory where there is plenty of it: images are many small files."""
    memory = Path("/dev/shm")
    if psutil.virtual_memory().available < _PLENTY_BYTES or not os.access(memory, os.W_OK):
        return None
    if shutil.disk_usage(memory).free < _PLENTY_BYTES // 2:
        return None
    return Path(tempfile.mkdtemp(prefix="opjudge-docker-", dir=memory))


def _answers(url: str) -> bool:
    try:
        with engine(url):
            return True
    except SandboxError:
        return False


def _tarball() -> Path:
    """The base image; made where these versions were not used before."""
    constraints = REPOSITORY / "constraints.txt"
    suite = debian_release()
    key = hashlib.sha256(
        constraints.read_bytes() + repr((_PACKAGES, _MORE, _LEFT_OUT)).encode()
    ).hexdigest()[:16]
    tarball = cache_folder() / f"compose-{suite}-{key}.tar"
    if not tarball.exists():
        make_tarball(suite, _PACKAGES, tarball, _install)
        for old in set(cache_folder().glob("compose-*.tar")) - {tarball}:
            old.unlink()
    return tarball


def _install(root: Path) -> None:
    """Put the packages of this environment into a virtual environment of the image's Python."""
    do(["chroot", str(root), "python3", "-m", "venv", "--without-pip", f"/{_VENV}"])
    [packages] = (root / _VENV).glob("lib/python3*/site-packages")
    ours = Path(sys.prefix, *packages.parts[-3:])
    if not ours.is_dir():
        raise SandboxError(
            f"the image's Python is {packages.parts[-2]}, this is {sys.version_info[:2]}: its "
            f"packages do not fit; run the tests with the Python of Debian {debian_release()}"
        )
    shutil.copytree(
        ours, packages, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LEFT_OUT)
    )
    constraints = str(REPOSITORY / "constraints.txt")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", constraints]
    do([*pip, "--target", str(packages), *_MORE])
