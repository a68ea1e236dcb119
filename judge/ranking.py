"""Ranks from scores alone: the rule the boards follow, and anybody can follow again."""

from collections.abc import Sequence

from judge.wire import Interval

MARGIN = 0.02
"""Scores that differ by less are a tie, whatever their intervals say."""


def tied(leader: Interval, other: Interval) -> bool:
    """Whether a score cannot be told from the (not lower) score of the leader of its group."""
    return other.high >= leader.low or leader.value < other.value * (1 + MARGIN)


def ranks(scores: Sequence[Interval]) -> list[int]:
    """The ranks of scores that are given best first, the earlier of two equal ones first.

    What is tied with the first of its group shares its rank; the ranks a group fills are skipped.
    """
    found: list[int] = []
    leader = 0
    for place, score in enumerate(scores):
        if not tied(scores[leader], score):
            leader = place
        found.append(leader + 1)
    return found
