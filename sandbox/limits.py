"""What a sandboxed program may use."""

from collections.abc import Iterator
from dataclasses import dataclass

DESCRIPTORS = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one sandbox. All are enforced; none has an "unlimited" value.

    Attributes:
        wall_s: wall-clock seconds until the whole tree is killed.
        cpu_s: CPU seconds of the tree.
        memory_bytes: private memory of the tree (shared pages given by the host do not count).
        processes: processes and threads alive at one time.
        file_bytes: size of any one file, and of the private tmpfs as a whole.
        files: files, folders and links in the private tmpfs at one time. They take the kernel's
            memory even when empty.
        output_bytes: stdout and stderr, each.
    """

    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_bytes: int = 2 << 30
    processes: int = 64
    file_bytes: int = 64 << 20
    files: int = 16_384
    output_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"limit {name} must be positive, got {getattr(self, name)}")

    @property
    def inodes(self) -> int:
        """For making the private tmpfs: some more than `files`, so that too many can be seen."""
        return self.files + 64

    def per_process(self) -> Iterator[tuple[str, int, int]]:
        """What the kernel keeps for each process: the limit's name (setrlimit(2)), soft, hard."""
        cpu = max(1, -int(-self.cpu_s // 1))
        # A backstop only: reservations are not use, and threads and arenas reserve a lot.
        data = 2 * self.memory_bytes + (1 << 30)
        yield "cpu", cpu, cpu + 1
        yield "data", data, data
        yield "fsize", self.file_bytes, self.file_bytes
        yield "nofile", DESCRIPTORS, DESCRIPTORS
        yield "stack", 8 << 20, 64 << 20
        for name in ("core", "msgqueue", "memlock"):
            yield name, 0, 0
