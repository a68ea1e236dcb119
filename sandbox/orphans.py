"""Sandboxes that were being made when their maker was killed.

bwrap's inner process waits to be told its users before it has the kernel kill it with its parent.
Killed in between, the outer one leaves it waiting for good: harmless, but there.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def end_orphans(program: str) -> list[int]:
    """Kill the inner processes of this bwrap whose outer one is gone; returns their ids."""
    found = list(_orphans(os.path.realpath(program)))
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return found


def _orphans(program: str) -> Iterator[int]:
    depth = len(_status("self")["NSpid"])
    for entry in os.listdir("/proc"):
        # Others end while we look, or are somebody else's.
        with contextlib.suppress(OSError):
            if not entry.isdigit() or os.readlink(f"/proc/{entry}/exe") != program:
                continue
            status = _status(entry)
            (parent,) = status["PPid"]
            if len(status["NSpid"]) > depth and not _runs(parent, program):
                yield int(entry)


def _runs(pid: str, program: str) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") == program
    return False


def _status(pid: str) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
