"""The board: who is eligible, in what order, and who ties. One rule, one query, for all readers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from judge import wire
from judge.ranking import tied
from judge.verdict import Language, Mode, Verdict
from leaderboard import results
from leaderboard.models import Judgement, ProblemVersion, State, Submission, User
from leaderboard.services import Services

BASELINE = "baseline"
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
class Placed:
    """A candidate with its rank."""

    rank: int
    candidate: Candidate
    score: wire.Interval


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


def ranking(candidates: Iterable[Candidate], version: str) -> tuple[Placed, ...]:
    """One entry per user, best score first. Depends on nothing but what it is given.

    Entries whose interval overlaps that of the first of their group, or whose score is within
    the margin of it, share its rank, the earlier one first; the ranks they fill are skipped.
    """
    best: dict[str, Candidate] = {}
    for candidate in _first_of_artifact(c for c in candidates if eligible(c, version)):
        known = best.get(candidate.user)
        if known is None or _order(candidate) < _order(known):
            best[candidate.user] = candidate
    placed: list[Placed] = []
    for group in _groups(sorted(best.values(), key=_order)):
        rank = len(placed) + 1
        for candidate in sorted(group, key=_arrival):
            placed.append(Placed(rank, candidate, _score(candidate)))
    return tuple(placed)


def standings(services: Services, problem: str, device: str) -> wire.Standings:
    """The board of a problem on a device. Raises ApiError 404."""
    package = services.catalog.board(problem, device)
    with services.db.read() as session:
        candidates = _candidates(session, problem, device)
    return assemble(candidates, problem, device, package.problem.version)


def assemble(
    candidates: Sequence[Candidate], problem: str, device: str, version: str
) -> wire.Standings:
    """The board from the judged submissions of a problem on a device."""
    placed = ranking(candidates, version)
    attempts: dict[str, int] = {}
    for candidate in candidates:
        if candidate.mode is Mode.RANKED and candidate.verdict is not Verdict.JE:
            attempts[candidate.user] = attempts.get(candidate.user, 0) + 1
    entries = [_entry(p, attempts[p.candidate.user]) for p in placed]
    # Below everybody who is as fast: equal scores belong to the people.
    at = max((i for i, p in enumerate(placed, 1) if p.score.value >= 1.0), default=0)
    entries.insert(at, _baseline(placed))
    return wire.Standings(
        problem=problem,
        device=device,
        score_unit=UNIT,
        updated_at=max((c.judged_at for c in candidates if c.judged_at), default=None),
        entries=tuple(entries),
    )


def _candidates(session: Session, problem: str, device: str) -> list[Candidate]:
    """The one query. It leaves out only what is not judged yet."""
    rows = session.exec(
        select(Submission, User.name, Judgement, ProblemVersion.version)
        .join(User, col(User.id) == Submission.user_id)
        .join(Judgement, col(Judgement.submission_id) == Submission.id)
        .join(
            ProblemVersion,
            (col(ProblemVersion.problem) == Submission.problem)
            & (col(ProblemVersion.package_hash) == Judgement.package_hash),
        )
        .where(
            Submission.problem == problem,
            Submission.device == device,
            col(Judgement.is_current),
            Judgement.state == State.JUDGED,
        )
        .options(results.left_out())
    ).all()
    return [_candidate(*row) for row in rows]


def _candidate(submission: Submission, user: str, judgement: Judgement, version: str) -> Candidate:
    value, low, high = judgement.score, judgement.score_low, judgement.score_high
    known = value is not None and low is not None and high is not None
    return Candidate(
        submission_id=submission.id,
        number=submission.number,
        user=user,
        mode=submission.mode,
        language=submission.language,
        verdict=judgement.verdict,
        version=version,
        artifact=judgement.artifact_hash or submission.source_hash,
        score=wire.Interval(value=value, low=low, high=high) if known else None,
        latency_ns=judgement.latency_ns,
        baseline_ns=judgement.baseline_ns,
        submitted_at=submission.submitted_at,
        judged_at=judgement.ended_at,
    )


def _first_of_artifact(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Handing the same thing in again draws no second lot from the noise: the first counts."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for candidate in sorted(candidates, key=_arrival):
        key = (candidate.user, candidate.artifact)
        if key not in seen:
            seen.add(key)
            kept.append(candidate)
    return kept


def _groups(ordered: Sequence[Candidate]) -> list[list[Candidate]]:
    groups: list[list[Candidate]] = []
    for candidate in ordered:
        if groups and tied(_score(groups[-1][0]), _score(candidate)):
            groups[-1].append(candidate)
        else:
            groups.append([candidate])
    return groups


def _order(candidate: Candidate) -> tuple[float, int]:
    return (-_score(candidate).value, candidate.number)


def _arrival(candidate: Candidate) -> int:
    return candidate.number


def _score(candidate: Candidate) -> wire.Interval:
    assert candidate.score is not None  # noqa: S101 - `eligible` has looked
    return candidate.score


def _entry(placed: Placed, attempts: int) -> wire.StandingsEntry:
    candidate = placed.candidate
    return wire.StandingsEntry(
        rank=placed.rank,
        name=candidate.user,
        kind="user",
        submission_id=candidate.submission_id,
        language=candidate.language,
        score=placed.score,
        latency_ns=candidate.latency_ns,
        attempts=attempts,
        submitted_at=candidate.submitted_at,
    )


def _baseline(placed: Sequence[Placed]) -> wire.StandingsEntry:
    # Measured anew with every submission; the one beside the best is shown.
    measured = [p.candidate.baseline_ns for p in placed if p.candidate.baseline_ns is not None]
    return wire.StandingsEntry(
        rank=None,
        name=BASELINE,
        kind="baseline",
        submission_id=None,
        language=None,
        score=wire.Interval(value=1.0, low=1.0, high=1.0),
        latency_ns=measured[0] if measured else None,
        attempts=0,
        submitted_at=None,
    )
