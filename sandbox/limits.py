"""What a sandboxed program may use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one sandbox. All are enforced; none has an "unlimited" value.

    Attributes:
        wall_s: wall-clock seconds until the whole tree is killed.
        cpu_s: CPU seconds of the tree.
        memory_bytes: private memory of the tree (shared pages given by the host do not count).
        processes: processes and threads alive at one time.
        file_bytes: size of any one file, and of the private tmpfs as a whole.
        output_bytes: stdout and stderr, each.
    """

    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_bytes: int = 2 << 30
    processes: int = 64
    file_bytes: int = 64 << 20
    output_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"limit {name} must be positive, got {getattr(self, name)}")
