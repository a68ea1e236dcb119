"""One real sandbox for all of these tests, and the short ways of running things in it."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from sandbox.base import Command
from sandbox.bubblewrap import Bubblewrap
from sandbox.limits import Limits

LIMITS = Limits(
    wall_s=20.0, cpu_s=20.0, memory_bytes=256 << 20, processes=32, file_bytes=8 << 20,
    output_bytes=64 << 10,
)  # fmt: skip


@pytest.fixture(scope="session")
def box() -> Bubblewrap:
    """Every layer on."""
    return Bubblewrap()


def shell(script: str, **more: object) -> Command:
    """A command that runs a shell script."""
    return Command(argv=["/bin/sh", "-c", script], **more)  # type: ignore[arg-type]


def python(code: str, *arguments: object, **more: object) -> Command:
    """A command that runs Python code with this interpreter."""
    argv = [sys.executable, "-I", "-B", "-c", code, *map(str, arguments)]
    return Command(argv=argv, interpreter=True, **more)  # type: ignore[arg-type]


def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


def dies(pidfd: int, timeout_s: float = 10.0) -> bool:
    """Whether the process of a pidfd ends in time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


@pytest.fixture
def closing() -> Iterator[list[int]]:
    """Descriptors put in this list are closed after the test."""
    fds: list[int] = []
    yield fds
    for fd in fds:
        os.close(fd)
