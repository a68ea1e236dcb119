"""How often to try again, and how long to wait in between."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a repeatable call is tried, and how long to wait between two tries.

    Attributes:
        attempts: tries in all; 1 means no retry.
        first_s, factor, longest_s: waits of first_s, first_s * factor, ... up to longest_s.
    """

    attempts: int = 3
    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 5.0

    def wait_s(self, attempt: int) -> float:
        """Seconds to wait after try number `attempt` (from 0)."""
        return min(self.first_s * self.factor**attempt, self.longest_s)
