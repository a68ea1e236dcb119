"""Signed records of judgements, made from what is stored whenever somebody asks."""

from uuid import UUID

from sqlmodel import Session, col, select

from judge.errors import ApiError
from judge.record import Record, SignedRecord, full_view, public_view
from judge.wire import Run
from leaderboard.models import JUDGED_VERSION, Judgement, ProblemVersion, Submission, User
from leaderboard.results import load_whole
from leaderboard.services import Services


def signed_record(
    services: Services, submission_id: UUID, attempt: int | None = None
) -> SignedRecord:
    """The record of a submission's current judgement, or of an earlier attempt, for anybody.

    Raises ApiError 404 ``unknown-submission``, 409 ``not-judged``.
    """
    with services.db.read() as session:
        record = _record(session, submission_id, attempt)
    published = services.catalog.published(record.problem)
    hidden = [run for run in record.result.runs if run.hidden]
    revealed = all(_key(run) in published for run in hidden)
    return services.signer.sign(full_view(record) if revealed else public_view(record))


def _record(session: Session, submission_id: UUID, attempt: int | None) -> Record:
    """Everything that is stored."""
    which = Judgement.is_current if attempt is None else Judgement.attempt == attempt
    found = session.exec(
        select(Submission, User.name, Judgement, ProblemVersion.version)
        .join(User, col(User.id) == Submission.user_id)
        .join(Judgement, col(Judgement.submission_id) == Submission.id)
        .join(ProblemVersion, JUDGED_VERSION)
        .where(Submission.id == submission_id, which, ~col(User.internal))
    ).one_or_none()
    if found is None:
        raise ApiError(
            "there is no such submission, or no such attempt at judging it",
            status=404,
            code="unknown-submission",
        )
    submission, user, judgement, version = found
    result = load_whole(session, judgement)
    if result is None:
        raise ApiError(
            f"there is nothing to record yet: the judgement is {judgement.state.value}",
            status=409,
            code="not-judged",
        )
    return Record(
        view="full",
        submission_id=submission.id,
        judgement_id=judgement.id,
        attempt=judgement.attempt,
        number=submission.number,
        user=user,
        problem=submission.problem,
        version=version,
        device=submission.device,
        mode=submission.mode,
        language=submission.language,
        source_hash=submission.source_hash,
        submitted_at=submission.submitted_at,
        judged_at=judgement.ended_at,
        commitment=judgement.commitment,
        result=result,
    )


def _key(run: Run) -> tuple[object, ...]:
    return (run.workload, tuple(sorted(run.dims.items())), tuple(sorted(run.attributes.items())))
