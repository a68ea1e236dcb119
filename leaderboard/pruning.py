"""`opjudge admin prune`: give up what nobody will need, and nothing a score was made from.

The raw times of every submission that is on a board, or could be, stay: its score can be computed
from them again. So does every verdict, score and log.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, delete, func, or_, select, update

from judge.verdict import Mode, Verdict
from leaderboard import audit
from leaderboard.audit import Action
from leaderboard.models import Judgement, Problem, Run, Submission, Token
from leaderboard.services import Services

_NO_SAMPLES = "[[], []]"
_BATCH = 500


class Pruned(BaseModel):
    """What was given up, or with a dry run would be.

    Attributes:
        samples: judgements whose raw times were.
        tokens: that had expired.
        packages: versions of problems that are neither on offer nor of any judgement.
    """

    model_config = ConfigDict(frozen=True)

    samples: int
    tokens: int
    packages: int


def prune(services: Services, before: datetime, operator: str, *, dry_run: bool) -> Pruned:
    """Prune in small transactions, so that the service goes on.

    Args:
        before: raw times of judgements that ended earlier.
    """
    now = services.clock()
    pruned = Pruned(
        samples=_samples(services, before, dry_run=dry_run),
        tokens=_tokens(services, now, dry_run=dry_run),
        packages=_packages(services, dry_run=dry_run),
    )
    if not dry_run:
        with services.db.write() as session:
            detail = f"{pruned} (raw times from before {before:%Y-%m-%d})"
            audit.record(session, now, operator, Action.PRUNED, detail=detail)
    return pruned


def _samples(services: Services, before: datetime, *, dry_run: bool) -> int:
    with services.db.read() as session:
        found = session.exec(
            select(Run.judgement_id)
            .join(Judgement, col(Judgement.id) == Run.judgement_id)
            .join(Submission, col(Submission.id) == Judgement.submission_id)
            .where(
                col(Judgement.ended_at) < before,
                Run.samples != _NO_SAMPLES,
                or_(
                    col(Judgement.is_current).is_(False),
                    Submission.mode != Mode.RANKED,
                    col(Judgement.verdict).is_distinct_from(Verdict.AC),
                ),
            )
            .distinct()
        ).all()
    if not dry_run:
        for start in range(0, len(found), _BATCH):
            _drop(services, found[start : start + _BATCH])
    return len(found)


def _drop(services: Services, judgements: Sequence[UUID]) -> None:
    with services.db.write() as session:
        session.exec(
            update(Run).where(col(Run.judgement_id).in_(judgements)).values(samples=_NO_SAMPLES)
        )


def _tokens(services: Services, now: datetime, *, dry_run: bool) -> int:
    expired = col(Token.expires_at) < now
    with services.db.write() as session:
        count = session.exec(select(func.count()).select_from(Token).where(expired)).one()
        if not dry_run:
            session.exec(delete(Token).where(expired))
    return count


def _packages(services: Services, *, dry_run: bool) -> int:
    with services.db.read() as session:
        needed = _needed(session)
    count = 0
    for path in services.settings.packages_dir.glob("*.zip"):
        if path.name.split(".")[0] not in needed:
            # The zip for contestants of the same version is no second package.
            count += not path.name.endswith(".public.zip")
            if not dry_run:
                path.unlink()
    return count


def _needed(session: Session) -> set[str]:
    judged = session.exec(select(Judgement.package_hash).distinct()).all()
    offered = session.exec(select(Problem.package_hash)).all()
    return {*judged, *offered}
