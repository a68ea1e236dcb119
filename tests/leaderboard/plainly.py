"""The board worked out from nothing, slowly and plainly: what the kept one must be equal to."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from judge.ranking import MARGIN
from judge.verdict import Mode, Verdict
from leaderboard.models import Judgement, ProblemVersion, State, Submission, User

Line = tuple[int | None, str, UUID | None, float, int]
"""Rank, name, submission, score, attempts."""


@dataclass(frozen=True)
class Judged:
    """A current judgement with what it is about."""

    submission: Submission
    name: str
    judgement: Judgement

    @property
    def score(self) -> float:
        assert self.judgement.score is not None
        return self.judgement.score

    @property
    def artifact(self) -> str:
        return self.judgement.artifact_hash or self.submission.source_hash


def board(session: Session, problem: str, device: str, version: str) -> list[Line]:
    """Every line of a board, the baseline included."""
    found = [
        Judged(*row[:3])
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


def _versions(session: Session, problem: str, version: str) -> set[str]:
    rows = session.exec(
        select(ProblemVersion.package_hash).where(
            ProblemVersion.problem == problem, ProblemVersion.version == version
        )
    )
    return set(rows.all())


def _lines(found: Sequence[Judged], hashes: set[str]) -> list[Line]:
    best: dict[str, Judged] = {}
    seen: set[tuple[str, str]] = set()
    for each in found:
        good = each.judgement.verdict is Verdict.AC and each.judgement.package_hash in hashes
        if not good or (each.name, each.artifact) in seen:
            continue
        seen.add((each.name, each.artifact))
        if each.name not in best or each.score > best[each.name].score:
            best[each.name] = each
    ordered = sorted(best.values(), key=lambda each: (-each.score, each.submission.number))
    groups: list[list[Judged]] = []
    for each in ordered:
        if groups and _tied(groups[-1][0].judgement, each.judgement):
            groups[-1].append(each)
        else:
            groups.append([each])
    lines: list[Line] = []
    for group in groups:
        rank = len(lines) + 1
        for each in sorted(group, key=lambda each: each.submission.number):
            attempts = sum(other.name == each.name for other in found)
            lines.append((rank, each.name, each.submission.id, each.score, attempts))
    at = max((i for i, line in enumerate(lines, 1) if line[3] >= 1.0), default=0)
    lines.insert(at, (None, "baseline", None, 1.0, 0))
    return lines


def _tied(leader: Judgement, other: Judgement) -> bool:
    assert leader.score is not None
    assert leader.score_low is not None
    assert other.score is not None
    assert other.score_high is not None
    return other.score_high >= leader.score_low or leader.score < other.score * (1 + MARGIN)
