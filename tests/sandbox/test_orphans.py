"""What is left of a sandbox whose maker was killed while it was being made."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.bubblewrap import Bubblewrap, find_bwrap
from sandbox.orphans import end_orphans


def children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def running(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def halfway() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A sandbox that waits to be told its users: the outer process and the inner one."""
    ours, theirs = os.pipe()
    argv = [
        find_bwrap(),
        "--unshare-user",
        "--unshare-pid",
        "--userns-block-fd",
        str(ours),
        "--info-fd",
        "2",
    ]
    argv += ["--ro-bind", "/", "/", "--die-with-parent", "true"]
    with subprocess.Popen(argv, pass_fds=(ours,)) as outer:
        deadline = time.monotonic() + 30
        while not (inner := children(outer.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield outer, inner[0]
        outer.kill()
    with suppress(ProcessLookupError):
        os.kill(inner[0], signal.SIGKILL)
    os.close(ours)
    os.close(theirs)


@pytest.fixture
def orphan(halfway: tuple[subprocess.Popen[bytes], int]) -> int:
    """The inner process of one whose outer process was killed."""
    outer, inner = halfway
    outer.kill()
    outer.wait()
    assert running(inner)
    return inner


def test_what_waits_for_a_maker_that_was_killed_is_ended(orphan: int) -> None:
    assert orphan in end_orphans(find_bwrap())
    until_gone(orphan)


def test_what_is_being_made_is_left_alone(
    halfway: tuple[subprocess.Popen[bytes], int],
) -> None:
    _, inner = halfway
    Bubblewrap().sweep()
    assert running(inner)


def test_another_bwrap_is_somebody_elses(orphan: int) -> None:
    assert end_orphans("/bin/true") == []
    assert running(orphan)
