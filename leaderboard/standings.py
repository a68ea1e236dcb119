"""The rule of the board: who is eligible, in what order, and who ties.

Nothing here asks the database: `leaderboard.boards` does, and feeds this in.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, pairwise
from uuid import UUID

from judge import wire
from judge.pooling import pooled
from judge.ranking import tied
from judge.verdict import Language, Mode, Verdict

UNIT = "speed-up over the baseline (geometric mean)"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A judged submission that may or may not be on the board.

    Attributes:
        version: of the problem it was judged against.
        artifact: what was built and run; two submissions with one artifact are one entry.
    """

    submission_id: UUID
    number: int
    user: str
    mode: Mode
    language: Language
    verdict: Verdict | None
    version: str
    artifact: str
    score: wire.Interval | None
    latency_ns: float | None
    baseline_ns: float | None
    submitted_at: datetime
    judged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands for one person on a board: the submission that counts.

    Attributes:
        submission_id: the first with its artifact; number and time of handing in are its own.
        attempts: ranked submissions of the person that were judged.
        pooled: judgings of the artifact that score and latencies are the means of.
    """

    user: str
    submission_id: UUID
    number: int
    language: Language
    score: wire.Interval
    latency_ns: float | None
    baseline_ns: float | None
    attempts: int
    submitted_at: datetime
    judged_at: datetime | None
    pooled: int = 1

    @property
    def order(self) -> tuple[float, int]:
        """Entries sorted by this come best first."""
        return (-self.score.value, self.number)


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry with its place.

    Attributes:
        leader: the first of those that share the rank.
        index: how many of them come before it.
    """

    rank: int
    entry: Entry
    leader: Entry
    index: int


def eligible(candidate: Candidate, version: str) -> bool:
    """Whether a submission can be on the board at all. The only place that decides it.

    A problem's author changes the version where old scores no longer compare; a corrected
    statement, which also makes a new package, leaves the board alone.
    """
    return (
        candidate.mode is Mode.RANKED
        and candidate.verdict is Verdict.AC
        and candidate.score is not None
        and math.isfinite(candidate.score.value)
        and candidate.score.value > 0
        and candidate.version == version
    )


def best(candidates: Iterable[Candidate], version: str) -> Entry | None:
    """What stands on the board for one person who handed all of these in, if anything."""
    known = sorted(candidates, key=lambda candidate: candidate.number)
    attempts = sum(c.mode is Mode.RANKED and c.verdict is not Verdict.JE for c in known)
    pools: dict[str, list[Candidate]] = {}
    for candidate in known:
        if eligible(candidate, version):
            pools.setdefault(candidate.artifact, []).append(candidate)
    entries = (_entry(pool, attempts) for pool in pools.values())
    return min(entries, key=lambda entry: entry.order, default=None)


def placed(entries: Iterable[Entry], first_rank: int = 1) -> Iterator[Placed | None]:
    """Entries, best first, with their ranks; None is where the baseline stands.

    Entries whose interval overlaps that of the first of their group, or whose score is within
    the margin of it, share its rank, the earlier one first; the ranks they fill are skipped.
    No more is read than one group ahead.

    Args:
        entries: in their order, from the top or from the first of a group on.
        first_rank: of that group.
    """
    rank = first_rank
    groups = chain([None], _groups(entries), [None])
    for group, following in pairwise(groups):
        # Below everybody who is as fast: equal scores belong to the people.
        next_fast = following is not None and following[0].score.value >= 1.0
        if group is None:
            if not next_fast and rank == 1:
                yield None
            continue
        fast = [e.number for e in group if e.score.value >= 1.0]
        above_baseline = max(fast) if fast and not next_fast else None
        for index, entry in enumerate(sorted(group, key=lambda entry: entry.number)):
            yield Placed(rank, entry, group[0], index)
            if entry.number == above_baseline:
                yield None
        rank += len(group)


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    group: list[Entry] = []
    for entry in entries:
        if group and not tied(group[0].score, entry.score):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _entry(pool: list[Candidate], attempts: int) -> Entry:
    """All judgings of one artifact, in the order of arrival, as one entry."""
    first = pool[0]
    return Entry(
        user=first.user,
        submission_id=first.submission_id,
        number=first.number,
        language=first.language,
        # Handing the same thing in again draws no lot to choose from: all of them count.
        score=pooled([candidate.score for candidate in pool if candidate.score is not None]),
        latency_ns=_mean([candidate.latency_ns for candidate in pool]),
        baseline_ns=_mean([candidate.baseline_ns for candidate in pool]),
        attempts=attempts,
        submitted_at=first.submitted_at,
        judged_at=max((c.judged_at for c in pool if c.judged_at is not None), default=None),
        pooled=len(pool),
    )


def _mean(latencies: list[float | None]) -> float | None:
    """The geometric mean of those that are known."""
    known = [latency for latency in latencies if latency]
    if len(known) < 2:
        return known[0] if known else None
    return math.exp(sum(map(math.log, known)) / len(known))
