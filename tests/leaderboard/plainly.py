"""The board worked out from nothing, slowly and plainly: what the kept one must be equal to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlmodel import Session, col, select

from judge.pooling import pooled
from judge.ranking import MARGIN
from judge.verdict import Mode, Verdict
from judge.wire import Interval
from leaderboard.models import Judgement, ProblemVersion, State, Submission, User

Line = tuple[int | None, str, UUID | None, float, int]
"""Rank, name, submission, score, attempts."""


@dataclass(frozen=True)
class Judged:
    """A current judgement with what it is about."""

    submission: Submission
    name: str
    judgement: Judgement
    score: Interval

    @property
    def artifact(self) -> str:
        return self.judgement.artifact_hash or self.submission.source_hash


def board(session: Session, problem: str, device: str, version: str) -> list[Line]:
    """Every line of a board, the baseline included."""
    found = [
        Judged(*row[:3], score=_score(row[2]))
        for row in session.exec(
            select(Submission, User.name, Judgement, ProblemVersion.version)
            .join(User, col(User.id) == Submission.user_id)
            .join(Judgement, col(Judgement.submission_id) == Submission.id)
            .join(
                ProblemVersion,
                (col(ProblemVersion.package_hash) == Judgement.package_hash)
                & (col(ProblemVersion.problem) == Submission.problem),
            )
            .where(Submission.problem == problem, Submission.device == device)
            .where(col(Judgement.is_current), Judgement.state == State.JUDGED)
            .order_by(col(Submission.number))
        ).all()
        if row[0].mode is Mode.RANKED and row[2].verdict is not Verdict.JE
    ]
    return _lines(found, _versions(session, problem, version))


def _score(judgement: Judgement) -> Interval:
    """Whatever it is where there is none: only what was accepted is looked at."""
    value, low, high = judgement.score, judgement.score_low, judgement.score_high
    return Interval(value=value or 0.0, low=low or 0.0, high=high or 0.0)


def _versions(session: Session, problem: str, version: str) -> set[str]:
    rows = session.exec(
        select(ProblemVersion.package_hash).where(
            ProblemVersion.problem == problem, ProblemVersion.version == version
        )
    )
    return set(rows.all())


def _lines(found: Sequence[Judged], hashes: set[str]) -> list[Line]:
    good = [
        each
        for each in found
        if each.judgement.verdict is Verdict.AC and each.judgement.package_hash in hashes
    ]
    best: dict[str, Judged] = {}
    for each in good:
        alike = [o for o in good if (o.name, o.artifact) == (each.name, each.artifact)]
        if alike[0] is not each:
            continue
        pool = replace(each, score=pooled([other.score for other in alike]))
        if each.name not in best or pool.score.value > best[each.name].score.value:
            best[each.name] = pool
    ordered = sorted(best.values(), key=lambda each: (-each.score.value, each.submission.number))
    groups: list[list[Judged]] = []
    for each in ordered:
        if groups and _tied(groups[-1][0].score, each.score):
            groups[-1].append(each)
        else:
            groups.append([each])
    lines: list[Line] = []
    for group in groups:
        rank = len(lines) + 1
        for each in sorted(group, key=lambda each: each.submission.number):
            attempts = sum(other.name == each.name for other in found)
            lines.append((rank, each.name, each.submission.id, each.score.value, attempts))
    at = max((i for i, line in enumerate(lines, 1) if line[3] >= 1.0), default=0)
    lines.insert(at, (None, "baseline", None, 1.0, 0))
    return lines


def _tied(leader: Interval, other: Interval) -> bool:
    return other.high >= leader.low or leader.value < other.value * (1 + MARGIN)
