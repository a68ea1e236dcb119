"""Boards at a glance, for the problem list."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from judge import wire
from leaderboard.services import Services
from leaderboard.standings import standings

KEPT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Glance:
    """What the problem list says of a board.

    Attributes:
        solvers: people with a rank.
        best: the highest speed-up.
    """

    device: str
    solvers: int
    best: wire.StandingsEntry | None


class Glances:
    """Kept for a moment: the list is looked at far more often than boards change, and with
    thousands of submissions a second of work goes into all of them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[datetime, Glance]] = {}
        # One visitor works it out while the others wait for the result.
        self._lock = threading.Lock()

    def look(self, services: Services, problem: str, device: str) -> Glance:
        """A board as it was at most `KEPT` ago. Raises ApiError 404."""
        with self._lock:
            now = services.clock()
            since, glance = self._known.get((problem, device), (None, None))
            if since is None or glance is None or not since <= now < since + KEPT:
                glance = _glance(services, problem, device)
                self._known[problem, device] = (now, glance)
            return glance


def _glance(services: Services, problem: str, device: str) -> Glance:
    people = [e for e in standings(services, problem, device).entries if e.kind == "user"]
    best = max(people, key=lambda entry: entry.score.value, default=None)
    return Glance(device=device, solvers=len(people), best=best)
