"""Use cases of contestants: hand in, look at, list, cancel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, insert, select

from judge import wire
from judge.errors import ApiError
from judge.hints import did_you_mean
from judge.package import Package
from judge.source import Source, parse_upload
from judge.verdict import Language, Mode, Status
from leaderboard import audit, judgements, queueing, results
from leaderboard.accounts import Principal
from leaderboard.attempts import Moved
from leaderboard.audit import Action
from leaderboard.models import Judgement, State, Submission, SubmissionFile, User
from leaderboard.services import Services
from leaderboard.text import plain

_ZIP_OVERHEAD_BYTES = 64 << 10
_INSERT = insert(Submission).returning(col(Submission.number))
_INSERT_FILES = insert(SubmissionFile)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """What a contestant sends.

    Attributes:
        id: chosen by the client, so that sending it twice makes one submission.
    """

    id: UUID | None
    problem: str
    device: str
    mode: Mode
    language: Language | None
    filename: str
    size_bytes: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """A submission with its author's name and its current judgement."""

    submission: Submission
    author: str
    judgement: Judgement


def submit(
    services: Services, author: Principal, new: NewSubmission
) -> tuple[wire.SubmissionDetail, bool]:
    """Accept a submission and queue its judging.

    Returns:
        The submission, and whether it is new.

    Raises:
        ApiError: 404 ``unknown-problem``, 422 ``unknown-device``, 413 ``too-large``,
            409 ``id-conflict``, 429 ``too-many-pending``.
        SubmissionError: the files are not a submission.
    """
    package = services.catalog.package(new.problem)
    _check_device(package, new.device)
    source = _parse(package, new)
    submission = Submission(
        id=new.id or uuid4(),
        user_id=author.user_id,
        problem=package.slug,
        device=new.device,
        mode=new.mode,
        language=source.language,
        filename=_filename(new.filename, source),
        source_hash=source.hash,
        submitted_at=services.clock(),
    )
    stored = _store(services, author, submission, source, package.hash)
    if stored is None:
        return detail(services, submission.id, author), False
    judgement, accepted = stored
    log.info("submitted", submission=str(submission.id), user=author.name, problem=package.slug,
             device=new.device, mode=new.mode.value, judgement=str(judgement.id))  # fmt: skip
    services.announce(Moved(submission.id, submission.problem, submission.device))
    return accepted, True


def detail(
    services: Services, submission_id: UUID, viewer: Principal | None, *, samples: bool = True
) -> wire.SubmissionDetail:
    """A submission as this viewer may see it. Raises ApiError 404 ``unknown-submission``."""
    with services.db.read() as session:
        row = find(session, submission_id)
        owner = viewer is not None and viewer.user_id == row.submission.user_id
        judged = row.judgement.state is State.JUDGED
        result = results.load(session, row.judgement, owner=owner, samples=samples)
        return _detail(services, session, row, result if judged else None, owner=owner)


def picture(services: Services, submission_id: UUID, viewer: Principal | None) -> bytes:
    """The error picture of one's own submission, a PNG. Raises ApiError 404 ``no-picture``."""
    result = detail(services, submission_id, viewer, samples=False).result
    for run in result.runs if result else ():
        if run.error is not None and run.error.picture is not None:
            return run.error.picture
    raise ApiError(
        "there is no picture: one is drawn where an output of a sample workload is wrong, "
        "for the submission's author",
        status=404,
        code="no-picture",
    )


def page(
    services: Services,
    *,
    user: str | None = None,
    problem: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> wire.Page:
    """A slice of all submissions, newest first.

    Args:
        before: `next` of the slice before it.
    """
    query = (
        select(Submission, User.name)
        .join(User, col(User.id) == Submission.user_id)
        .where(~col(User.internal))
        .order_by(col(Submission.number).desc())
        .limit(limit + 1)
    )
    if problem is not None:
        query = query.where(Submission.problem == problem)
    if before is not None:
        query = query.where(col(Submission.number) < before)
    with services.db.read() as session:
        if user is not None:
            # Looked up first: with the number at hand the list is one stretch of an index.
            user_id = session.exec(select(User.id).where(User.key == user.lower())).one_or_none()
            query = query.where(Submission.user_id == user_id)
        found = session.exec(query).all()
        # Not joined: SQLite would begin with the judgements, all of them, and sort.
        current = _current(session, [submission.id for submission, _ in found])
        rows = [Row(submission, name, current[submission.id]) for submission, name in found]
    more = len(rows) > limit
    rows = rows[:limit]
    return wire.Page(
        items=tuple(_summary(row) for row in rows),
        next=str(rows[-1].submission.number) if more else None,
    )


def _current(session: Session, submissions: Sequence[UUID]) -> dict[UUID, Judgement]:
    query = (
        select(Judgement)
        .where(col(Judgement.submission_id).in_(submissions), col(Judgement.is_current))
        .options(results.left_out())
    )
    return {judgement.submission_id: judgement for judgement in session.exec(query)}


def source_of(
    services: Services, submission_id: UUID, viewer: Principal
) -> tuple[wire.SourceFile, ...]:
    """The files of one's own submission. Raises ApiError 404, 403 ``not-yours``."""
    with services.db.read() as session:
        _check_owner(find(session, submission_id), viewer)
        files = session.exec(
            select(SubmissionFile)
            .where(SubmissionFile.submission_id == submission_id)
            .order_by(col(SubmissionFile.path))
        ).all()
    return tuple(wire.SourceFile(path=f.path, content=f.content) for f in files)


def cancel(services: Services, submission_id: UUID, viewer: Principal) -> wire.SubmissionDetail:
    """Cancel one's own submission. Raises ApiError 404, 403, 409 ``already-final``."""
    with services.db.write() as session:
        _check_owner(find(session, submission_id), viewer)
        now = services.clock()
        moved = judgements.cancel(session, submission_id, now)
        audit.record(session, now, viewer.name, Action.CANCELLED, str(submission_id))
    log.info("cancelled", submission=str(submission_id), user=viewer.name)
    services.announce(moved)
    return detail(services, submission_id, viewer)


def find(session: Session, submission_id: UUID) -> Row:
    """Raises ApiError 404 ``unknown-submission``."""
    found = session.exec(
        select(Submission, User.name, Judgement)
        .join(User, col(User.id) == Submission.user_id)
        .join(Judgement, col(Judgement.submission_id) == Submission.id)
        .where(Submission.id == submission_id, col(Judgement.is_current), ~col(User.internal))
    ).one_or_none()
    if found is None:
        raise ApiError("there is no such submission", status=404, code="unknown-submission")
    return Row(*found)


# --- handing in ---------------------------------------------------------------------------


def _check_device(package: Package, device: str) -> None:
    if device not in package.problem.devices:
        raise ApiError(
            f"{package.slug} is not judged on the device {device[:32]!r}"
            f"{did_you_mean(device[:32], package.problem.devices)}",
            status=422,
            code="unknown-device",
        )


def _parse(package: Package, new: NewSubmission) -> Source:
    limit_bytes = package.problem.limits.source_kib * 1024
    # Before a byte of it is looked at; what an archive holds is limited while it is unpacked.
    if new.size_bytes > limit_bytes + _ZIP_OVERHEAD_BYTES:
        raise ApiError(
            f"the file has {new.size_bytes} bytes, the limit of {package.slug} is {limit_bytes}",
            status=413,
            code="too-large",
        )
    return parse_upload(new.filename, new.read(), limit_bytes=limit_bytes, language=new.language)


def _filename(given: str, source: Source) -> str:
    name = given.replace("\\", "/").rpartition("/")[2]
    return plain(name, 255).strip() or source.entry


def _store(
    services: Services,
    author: Principal,
    submission: Submission,
    source: Source,
    package_hash: str,
) -> tuple[Judgement, wire.SubmissionDetail] | None:
    """None if it was there already. Raises ApiError if something else has its id."""
    try:
        with services.db.write() as session:
            refused: Exception | None = _over_quota(services, session, submission.user_id)
            if refused is None:
                judgement = _insert(session, submission, source, package_hash)
                row = Row(submission, author.name, judgement)
                # In the same transaction: another one would cost half as much again.
                return judgement, _detail(services, session, row, None, owner=True)
    except IntegrityError as error:
        refused = error
    # Whoever repeats what was accepted is not refused. Looked for only now: it is rare.
    with services.db.read() as session:
        known = session.exec(select(Submission).where(Submission.id == submission.id)).one_or_none()
    if known is None:
        raise refused
    if _content(known) != _content(submission):
        raise ApiError(
            f"another submission has the id {submission.id}; choose a new one",
            status=409,
            code="id-conflict",
        )
    return None


def _insert(
    session: Session, submission: Submission, source: Source, package_hash: str
) -> Judgement:
    # Statements instead of models: the session's bookkeeping would cost more than the database.
    connection = session.connection()
    values = submission.model_dump(exclude={"number"})
    submission.number = connection.execute(_INSERT, values).scalar_one()
    files = [
        {"submission_id": submission.id, "path": f.path, "content": f.content} for f in source.files
    ]
    connection.execute(_INSERT_FILES, files)
    return judgements.enqueue(session, submission, package_hash, submission.submitted_at)


def _over_quota(services: Services, session: Session, user_id: int) -> ApiError | None:
    most = services.settings.max_pending
    if queueing.pending_of(session, user_id) < most:
        return None
    return ApiError(
        f"{most} of your submissions are waiting already; let some be judged or cancel some",
        status=429,
        code="too-many-pending",
    )


def _content(submission: Submission) -> tuple[object, ...]:
    return (
        submission.user_id,
        submission.problem,
        submission.device,
        submission.mode,
        submission.language,
        submission.source_hash,
    )


# --- looking at ---------------------------------------------------------------------------


def _check_owner(row: Row, viewer: Principal) -> None:
    if row.submission.user_id != viewer.user_id:
        raise ApiError("the submission is somebody else's", status=403, code="not-yours")


def _detail(
    services: Services,
    session: Session,
    row: Row,
    result: wire.JudgementResult | None,
    *,
    owner: bool,
) -> wire.SubmissionDetail:
    submission, judgement = row.submission, row.judgement
    waiting = judgement.state is State.QUEUED
    ahead = queueing.position(session, submission.device, submission.number) if waiting else None
    return wire.SubmissionDetail(
        **dict(_summary(row)),
        queue_position=ahead,
        since=judgement.since,
        attempt=judgement.attempt,
        commitment=judgement.commitment,
        progress=_progress(services, row, owner=owner),
        result=result,
        url=f"{services.settings.public_url.rstrip('/')}/submissions/{submission.id}",
    )


def _summary(row: Row) -> wire.SubmissionSummary:
    submission, judgement = row.submission, row.judgement
    judged = judgement.state is State.JUDGED
    return wire.SubmissionSummary(
        id=submission.id,
        user=row.author,
        problem=submission.problem,
        device=submission.device,
        mode=submission.mode,
        language=submission.language,
        filename=submission.filename,
        status=Status(judgement.state.value),
        verdict=judgement.verdict if judged else None,
        score=score_of(judgement),
        submitted_at=submission.submitted_at,
        judged_at=judgement.ended_at if judged else None,
    )


def score_of(judgement: Judgement) -> wire.Interval | None:
    """The score of a judgement, if it has one."""
    value, low, high = judgement.score, judgement.score_low, judgement.score_high
    if value is None or low is None or high is None:
        return None
    return wire.Interval(value=value, low=low, high=high)


def _progress(services: Services, row: Row, *, owner: bool) -> wire.Progress | None:
    if row.judgement.progress is None or row.judgement.state is State.JUDGED:
        return None
    progress = wire.Progress.model_validate_json(row.judgement.progress)
    if progress.workload in services.catalog.hidden_workloads(row.submission.problem):
        progress = progress.model_copy(update={"workload": "hidden", "message": ""})
    return progress if owner else progress.model_copy(update={"message": ""})
