"""The seam every back end fits: run a program to its end, or start one that stays."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

from sandbox.limits import Limits
from sandbox.outcome import Outcome


class SandboxError(Exception):
    """The sandbox itself could not do its work. Never raised because the program inside failed."""


class Unstoppable(SandboxError):
    """A program did not stop in time; it must be destroyed. Whose fault that is, it leaves open."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run inside.

    Attributes:
        argv: program and arguments, as seen inside; the arguments alone where `module` is given.
        files: name -> bytes, placed in the private work directory ``/work`` before the start.
        collect: names of files in ``/work`` to bring back after the tree is dead.
        environment: added to the small fixed environment; nothing of the host's is inherited.
        share: host file descriptors (sealed memfds) that stay open inside under the same number.
        cores: CPU cores the program may run on; empty leaves the choice to the system.
        interpreter: mount this process's Python and its packages read-only.
        module: a module of ``sandbox.harness`` to run with this process's Python, as
            ``python -m`` would. Only such a program can have a warm start; see `Sandbox.refill`.
    """

    argv: Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    collect: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    share: Sequence[int] = ()
    cores: Sequence[int] = ()
    interpreter: bool = False
    module: str | None = None


class Resident(ABC):
    """A program that stays alive in its sandbox, stopped and continued by its owner.

    It is a single process (which may start threads, but no processes). Use as a context manager:
    leaving it destroys the whole tree.
    """

    pid: int
    """The program's process id as the host sees it."""

    polled: bool = False
    """Whether nothing but `check` keeps the program within its limits, during long calls too."""

    lent_bytes: int = 0
    """How much of the shared memory the owner has filled itself: the rest is the program's use.

    Starts as what was filled when the program started; an owner that fills more says so.
    """

    @abstractmethod
    def stop(self) -> None:
        """Stop every thread of the program, and return only when the stop is verified.

        Returns at once if the program has died. Raises SandboxError if it cannot be stopped.
        """

    @abstractmethod
    def resume(self) -> None:
        """Let the program run again; returns at once. Does nothing if the program has died."""

    @abstractmethod
    def alive(self) -> bool:
        """Whether the program is still there. Costs about a microsecond."""

    @abstractmethod
    def check(self) -> None:
        """Kill the program if it is over its memory, process or output limit.

        Called by the owner between calls and now and then during long ones; `end` then tells why.
        """

    @abstractmethod
    def end(self) -> Outcome:
        """Kill the whole tree, verify that it is gone, release everything; idempotent."""

    def kill(self) -> None:  # noqa: B027 - `end` kills as well
        """Kill what is no longer needed, and do not wait: of several, all die at the same time.

        How it would have ended is not known any more. `end` must follow.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


Program = TypeVar("Program", bound=Resident, covariant=True)


@dataclass(frozen=True, slots=True)
class Launch(Generic[Program]):
    """A program on its way into its sandbox. One of the two must be called, once.

    Attributes:
        resident: let it go; returns once its own process exists. Raises SandboxError.
        abandon: give it up.
    """

    resident: Callable[[], Program]
    abandon: Callable[[], None] = lambda: None


class Sandbox(ABC):
    """One way of isolating a program."""

    name: str

    @abstractmethod
    def run(self, command: Command, limits: Limits) -> Outcome:
        """Run a program to its end (or to a limit). Raises SandboxError if it could not start."""

    @abstractmethod
    def start(self, command: Command, limits: Limits) -> Resident:
        """Start a program that stays. Returns once the program's own process exists.

        Raises SandboxError if it could not start.
        """

    def begin(self, command: Command, limits: Limits) -> Launch[Resident]:
        """As `start`, without waiting where that can be: several sandboxes are made at once.

        Until its `resident` is asked for, nothing of the program runs.
        """
        return Launch(partial(self.start, command, limits))

    def refill(self, environment: Mapping[str, str]) -> None:  # noqa: B027 - nothing need be ready
        """Have warm starts ready for harness programs with this environment.

        For them `start` and `run` need not load an interpreter and its libraries again. Called
        between jobs, never while something is timed; returns when all is ready and idle.
        Raises SandboxError.
        """

    def sweep(self) -> None:  # noqa: B027 - nothing need be left
        """End what was being made by workers that were killed."""

    def close(self) -> None:  # noqa: B027 - nothing need be held
        """Destroy what `refill` has made. Sandboxes in use are not touched."""

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """What isolates here, for the record: back end, version, layers, kernel."""

    @property
    def builder(self) -> "Sandbox":
        """Where submissions are built: programs there are only ever run to their end."""
        return self
