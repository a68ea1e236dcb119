"""A warm sandbox, ready before the next judgement needs it, and never used twice.

The worker's parent process starts it and forks the child that uses it; because the parent
started it, only the parent can reap it, so it is the parent that destroys it after the judgement.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from judge.errors import InfrastructureError
from judge.party import Party


class Pool:
    """One warm sandbox at a time. Belongs to the worker's parent process.

    Args:
        start: starts a sandbox whose program imports what judging needs.
    """

    def __init__(self, start: Callable[[], Party]) -> None:
        self._start = start
        self._party: Party | None = None

    def fill(self) -> None:
        """Make the sandbox of the next judgement ready, unless it is there already.

        Raises InfrastructureError if its program does not start, SandboxError if it cannot.
        """
        if self._party is not None and self._party.resident.alive():
            return
        self.close()
        self._party = self._start()
        # Waiting for it here ends with the program stopped: otherwise it would burn a core.
        reply = self._party.ready()
        if reply.failure is not None:
            self.close()
            raise InfrastructureError(f"a sandbox did not start: {reply.message}")

    @contextmanager
    def lend(self) -> Iterator[Party]:
        """A sandbox for one judgement. Destroyed on leaving, whatever became of the judgement."""
        self.fill()
        party = self._party
        if party is None:
            raise InfrastructureError("a sandbox did not start")
        try:
            yield party
        finally:
            self.close()

    def close(self) -> None:
        """Destroy the waiting sandbox, if there is one."""
        party, self._party = self._party, None
        if party is not None:
            party.end()
