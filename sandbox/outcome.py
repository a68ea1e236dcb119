"""What became of a sandboxed program."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a sandboxed program ended (closed list)."""

    OK = "ok"
    NONZERO_EXIT = "nonzero_exit"
    SIGNALLED = "signalled"
    WALL_LIMIT = "wall_limit"
    CPU_LIMIT = "cpu_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    FILE_LIMIT = "file_limit"
    VIOLATION = "violation"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a sandboxed program.

    Attributes:
        status: how it ended.
        exit_code: exit status, 128 + signal if signalled, None if we killed it.
        signal: the signal that ended it, if one did.
        stdout, stderr: what it printed, cut at the output limit; opaque bytes.
        wall_s, cpu_s: seconds it took.
        peak_bytes: highest memory seen (0 where the back end cannot tell).
        files: the files that were asked for, by name; regular files within the size limit only.
    """

    status: Status
    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    wall_s: float
    cpu_s: float
    peak_bytes: int
    files: dict[str, bytes]
