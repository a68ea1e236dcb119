"""When a submission whose judging failed is tried again, and when we own up to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.models import Failure

MAX_FAILURES = 3
MAX_DEATHS = 2
MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Past:
    """How an earlier attempt of a submission ended.

    Attributes:
        charged: False where the worker was merely being stopped.
    """

    failure: Failure
    charged: bool = True


def why_stop(history: Sequence[Past]) -> str | None:
    """Why a submission is not tried again after these failures, or None: try again."""
    deaths = sum(past.failure is Failure.EXPIRED for past in history)
    if deaths >= MAX_DEATHS:
        return f"{deaths} workers died or fell silent while judging this submission"
    failures = sum(past.charged for past in history)
    if failures >= MAX_FAILURES:
        return f"judging failed {failures} times"
    if len(history) >= MAX_ATTEMPTS:
        return f"judging was broken off {len(history)} times"
    return None
