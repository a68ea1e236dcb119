"""A Docker engine for the tests, with an image made here: nothing is pulled.

The engine that already runs is used if it has gVisor's runtime, else one is started on a socket of
its own. The image is a
minimal Debian with g++, made by debootstrap; it is kept in the user's cache, so that only the first
run pays for it. Where this cannot be, the tests fail and say why: they are never skipped.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.base import SandboxError
from sandbox.docker_engine import engine, find_image
from tests.sandbox.conftest import eventually

KERNEL_APART = "runsc"
"""A runtime with a kernel of its own."""

_VERSION = "1"
_NOT_NEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")
_START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Engine:
    """Where the engine listens (None: its usual place), and the image to use."""

    url: str | None
    image: str


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """An engine with the tests' image in it."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(running_engine())
        except SandboxError as error:
            pytest.fail(str(error))
        yield found


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """The same outside pytest. Raises SandboxError where it cannot be."""
    with contextlib.ExitStack() as stack:
        url = None if _serves(None) else stack.enter_context(_own_daemon())
        yield Engine(url, _image(url))


def _serves(url: str | None) -> bool:
    try:
        with engine(url) as client:
            return KERNEL_APART in client.info()["Runtimes"]
    except SandboxError:
        return False


@contextlib.contextmanager
def _own_daemon() -> Iterator[str]:
    """Our own engine, for as long as the tests run. It has gVisor's runtime and no network."""
    runsc = shutil.which(KERNEL_APART)
    if shutil.which("dockerd") is None or runsc is None or os.geteuid() != 0:
        raise SandboxError(
            f"needs a Docker engine with the runtime {KERNEL_APART}, or root and the packages "
            f"docker.io and {KERNEL_APART}"
        )
    # It has to be told that there is no network: it does not see that it was given none.
    runtime = {"path": runsc, "runtimeArgs": ["--network=none"]}
    config = {"runtimes": {KERNEL_APART: runtime}}
    options = ("--iptables=false", "--ip6tables=false", "--bridge=none")
    with daemon(config, options, ready=_serves) as (url, _):
        yield url


@contextlib.contextmanager
def daemon(
    config: Mapping[str, object],
    options: Sequence[str],
    *,
    ready: Callable[[str], bool],
    within: Sequence[str] = (),
    data: Path | None = None,
) -> Iterator[tuple[str, int]]:
    """An engine of our own; yields its URL and its process.

    Args:
        within: a command line that becomes the one that follows it.
        data: a folder for its images, which may be large; removed with them at the end.

    Raises SandboxError if it does not start.
    """
    # The socket's path has to be short.
    home = Path(tempfile.mkdtemp(prefix="opjudge-docker-", dir="/tmp"))
    url = f"unix://{home}/socket"
    argv = ["setpriv", "--pdeathsig", "TERM", *within, "dockerd", "--host", url]
    images = data or home / "data"
    argv += ["--data-root", str(images), "--exec-root", f"{home}/exec"]
    (home / "daemon.json").write_text(json.dumps(config))
    argv += ["--config-file", f"{home}/daemon.json", "--pidfile", f"{home}/pid", *options]
    with (home / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as daemon:
        try:
            up = eventually(lambda: daemon.poll() is not None or ready(url), _START_TIMEOUT_S)
            if not up or daemon.poll() is not None:
                tail = (home / "log").read_text(errors="replace")[-2000:]
                raise SandboxError(f"dockerd does not work on this machine:\n{tail}")
            yield url, daemon.pid
        finally:
            daemon.terminate()
            daemon.wait()
            for folder in (home, images):
                _unmount(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _unmount(home: Path) -> None:
    """Undo what the engine leaves mounted: a network namespace."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split()[1]
        if place.startswith(f"{home}/"):
            subprocess.run(["umount", "--lazy", place], check=False)


def _image(url: str | None) -> str:
    suite = debian_release()
    tag = f"{suite}-{platform.machine()}-{_VERSION}"
    name = f"opjudge-test:{tag}"
    with engine(url) as client:
        try:
            find_image(client, name)
        except SandboxError:
            tarball = cache_folder() / f"docker-{tag}.tar"
            if not tarball.exists():
                make_tarball(suite, ["g++"], tarball)
            client.import_image(src=str(tarball), repository="opjudge-test", tag=tag)
    return name


def debian_release() -> str:
    """The release of this Debian, else one: the mounted Python needs a C library not older."""
    release = platform.freedesktop_os_release()
    return release["VERSION_CODENAME"] if release["ID"] == "debian" else "bookworm"


def cache_folder() -> Path:
    """Where what is slow to make is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "opjudge")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def make_tarball(
    suite: str,
    packages: Sequence[str],
    tarball: Path,
    fill: Callable[[Path], None] = lambda root: None,
) -> None:
    """Make a minimal Debian to import. Raises SandboxError where that cannot be.

    Args:
        packages: to install beside what is essential.
        fill: adds to the root directory before it is packed.
    """
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise SandboxError("the tests' Docker image is made by debootstrap, as root: install it")
    with tempfile.TemporaryDirectory(prefix="opjudge-image-") as folder:
        include = f"--include={','.join(packages)}"
        do(["debootstrap", "--variant=minbase", include, suite, f"{folder}/root"])
        fill(Path(folder, "root"))
        left_out = [f"--exclude=./{path}" for path in _NOT_NEEDED]
        partial = tarball.with_suffix(f".{os.getpid()}")
        try:
            do(["tar", "-C", f"{folder}/root", *left_out, "-cf", str(partial), "."])
            partial.replace(tarball)
        finally:
            partial.unlink(missing_ok=True)


def do(argv: Sequence[str]) -> None:
    """Run a command. Raises SandboxError with what it said if it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = (done.stdout + done.stderr)[-2000:]
        raise SandboxError(f"the tests' Docker image cannot be made: {argv[0]} said\n{tail}")
