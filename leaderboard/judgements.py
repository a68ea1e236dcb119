"""The one state machine: how a judgement moves, and who may move it.

    queued -> building -> checking -> timing -> judged
      any of these, cancelled by its owner             -> cancelled
      with a worker, and the worker fails or is silent -> abandoned, or judged as JE;
                                                          a new attempt is queued, or it ends as JE

Every move is one conditional UPDATE that must hit exactly one row. Whoever finds that it hit none
has lost: somebody else moved the judgement first. A worker proves that it holds a judgement with
the lease token it was given; a later attempt has another token, so a late result changes nothing.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import Session, col, select, update

from judge import wire
from judge.errors import ApiError, InfrastructureError
from judge.record import commitment_to
from judge.verdict import Status, Verdict
from leaderboard.accounts import sha256
from leaderboard.models import (
    PENDING,
    WITH_WORKER,
    Failure,
    Judgement,
    State,
    Submission,
    SubmissionFile,
)
from leaderboard.results import check_result, to_columns, to_runs, unjudged
from leaderboard.retries import Past, why_stop
from leaderboard.text import plain

# What `_outcome` says of a lease that handed a result in.
_RESULTS = ((State.JUDGED, None), (State.JUDGED, Failure.ERROR))


@dataclass(frozen=True, slots=True)
class Moved:
    """Which submission a move concerned; what listeners are told about."""

    submission_id: UUID
    problem: str
    device: str


# --- into the queue -----------------------------------------------------------------------


def enqueue(session: Session, submission: Submission, package: str, now: datetime) -> Judgement:
    """Queue the first judgement of a submission."""
    judgement = Judgement(
        id=uuid4(),
        submission_id=submission.id,
        user_id=submission.user_id,
        number=submission.number,
        attempt=1,
        device=submission.device,
        package_hash=package,
        since=now,
        created_at=now,
    )
    session.add(judgement)
    return judgement


# --- with a worker ------------------------------------------------------------------------


def claim(
    session: Session, judgement_id: UUID, request: wire.ClaimRequest, now: datetime, lease_s: float
) -> wire.Claim:
    """Give a queued judgement to a worker.

    Raises ApiError 404 ``unknown-judgement``, 409 ``wrong-device`` or ``already-claimed``.
    """
    judgement = _get(session, judgement_id)
    if judgement.device != request.device:
        raise ApiError(
            f"the judgement is for the device {judgement.device!r}", status=409, code="wrong-device"
        )
    token = secrets.token_urlsafe(32)
    # Drawn and committed to before anything is measured; the worker gets it, we forget it.
    seed = secrets.token_hex(32)
    claimed = _move(
        session,
        (Judgement.id == judgement_id, Judgement.state == State.QUEUED),
        state=State.BUILDING,
        since=now,
        claimed_at=now,
        worker=plain(request.worker, 100),
        token_hash=sha256(token),
        lease_until=now + timedelta(seconds=lease_s),
        commitment=commitment_to(seed),
        progress=None,
    )
    if not claimed:
        raise ApiError(
            f"the judgement is not waiting: it is {judgement.state.value}",
            status=409,
            code="already-claimed",
        )
    return _claim(session, judgement, token, lease_s).model_copy(update={"seed": seed})


def heartbeat(
    session: Session, judgement_id: UUID, token: str, now: datetime, lease_s: float
) -> None:
    """Extend a lease. Raises ApiError 404, 409 ``lease-lost`` or ``cancelled``."""
    until = now + timedelta(seconds=lease_s)
    if not _move(session, _held(judgement_id, token), lease_until=until):
        raise _refusal(session, judgement_id, token)


def progress(
    session: Session, judgement_id: UUID, token: str, report: wire.Progress, now: datetime
) -> Moved:
    """Record where a judging is. Raises as `heartbeat`, and 422 ``invalid-progress``."""
    state = State(report.status.value)
    if state not in WITH_WORKER:
        raise ApiError(
            f"a worker cannot report {state.value!r}", status=422, code="invalid-progress"
        )
    judgement = _get(session, judgement_id)
    values: dict[str, Any] = {"state": state, "progress": report.model_dump_json()}
    if judgement.state is not state:
        values["since"] = now
    if not _move(session, _held(judgement_id, token), **values):
        raise _refusal(session, judgement_id, token)
    return _moved(session, judgement)


def record(
    session: Session, judgement_id: UUID, token: str, result: wire.JudgementResult, now: datetime
) -> Moved | None:
    """Store a result. A judging error queues another attempt until there were too many.

    Returns:
        None if this very lease stored a result before: repeating it is harmless.

    Raises ApiError as `heartbeat`, and 422 ``invalid-result``.
    """
    judgement = _get(session, judgement_id)
    check_result(result, judgement.package_hash, judgement.commitment)
    failed = result.verdict is Verdict.JE
    values = to_columns(result)
    values["device_s"] = 0.0 if failed else _seconds_since(judgement.claimed_at, now)
    if failed:
        values["failure"] = Failure.ERROR
        values["reason"] = plain(result.message, 2000)
    stored = _move(
        session,
        _held(judgement_id, token),
        state=State.JUDGED,
        since=now,
        ended_at=now,
        lease_until=None,
        **values,
    )
    if not stored:
        if _outcome(session, judgement_id, token) in _RESULTS:
            return None
        raise _refusal(session, judgement_id, token)
    session.add_all(to_runs(judgement_id, result.runs))
    if failed:
        _try_again(session, judgement, now)
    return _moved(session, judgement)


def release(
    session: Session, judgement_id: UUID, token: str, reason: str, now: datetime, *, charged: bool
) -> Moved | None:
    """Take a judgement back from a worker that cannot finish it. Raises as `heartbeat`.

    Args:
        charged: whether it counts towards the attempts after which we give up.

    Returns:
        None if this very lease was given back before: repeating it is harmless.
    """
    judgement = _get(session, judgement_id)
    if not _move(
        session,
        _held(judgement_id, token),
        state=State.ABANDONED,
        since=now,
        ended_at=now,
        lease_until=None,
        failure=Failure.RELEASED,
        charged=charged,
        reason=plain(reason, 2000),
    ):
        outcome = _outcome(session, judgement_id, token)
        if outcome is not None and outcome[1] is Failure.RELEASED:
            return None
        raise _refusal(session, judgement_id, token)
    _try_again(session, judgement, now)
    return _moved(session, judgement)


# --- without the worker -------------------------------------------------------------------


def overdue(session: Session, now: datetime) -> Sequence[UUID]:
    """Judgements whose worker let the lease run out."""
    return session.exec(
        select(Judgement.id).where(
            col(Judgement.ended_at).is_(None), col(Judgement.lease_until) < now
        )
    ).all()


def expire(session: Session, judgement_id: UUID, now: datetime) -> Moved | None:
    """Take a judgement from a silent worker. None if the worker was heard of meanwhile."""
    judgement = _get(session, judgement_id)
    expired = _move(
        session,
        (
            Judgement.id == judgement_id,
            col(Judgement.state).in_(WITH_WORKER),
            col(Judgement.lease_until) < now,
        ),
        state=State.ABANDONED,
        since=now,
        ended_at=now,
        lease_until=None,
        failure=Failure.EXPIRED,
        reason=f"worker {judgement.worker} fell silent",
    )
    if not expired:
        return None
    _try_again(session, judgement, now)
    return _moved(session, judgement)


def cancel(session: Session, submission_id: UUID, now: datetime) -> Moved:
    """Cancel a submission that is not judged yet. Raises ApiError 409 ``already-final``."""
    # Twice, because the first may hit an attempt that is just being replaced by another.
    for _ in range(2):
        judgement = session.exec(
            select(Judgement).where(
                Judgement.submission_id == submission_id, col(Judgement.is_current)
            )
        ).one()
        if _move(
            session,
            (Judgement.id == judgement.id, col(Judgement.state).in_(PENDING)),
            state=State.CANCELLED,
            since=now,
            ended_at=now,
            lease_until=None,
            # What it used of the device counts, else cancelling would buy a place in the queue.
            device_s=_seconds_since(judgement.claimed_at, now),
        ):
            return _moved(session, judgement)
    raise ApiError(
        "the submission is judged or cancelled already", status=409, code="already-final"
    )


# --- the machinery ------------------------------------------------------------------------


def _move(session: Session, conditions: tuple[Any, ...], **values: Any) -> bool:
    """The conditional UPDATE. True if it hit its one row."""
    statement = update(Judgement).where(*conditions).values(**values)
    moved = session.exec(statement, execution_options={"synchronize_session": False}).rowcount
    if moved > 1:
        raise InfrastructureError(f"one move hit {moved} judgements")
    return moved == 1


def _held(judgement_id: UUID, token: str) -> tuple[Any, ...]:
    return (
        Judgement.id == judgement_id,
        Judgement.token_hash == sha256(token),
        col(Judgement.state).in_(WITH_WORKER),
    )


def _get(session: Session, judgement_id: UUID) -> Judgement:
    judgement = session.get(Judgement, judgement_id)
    if judgement is None:
        raise ApiError("there is no such judgement", status=404, code="unknown-judgement")
    return judgement


def _refusal(session: Session, judgement_id: UUID, token: str) -> ApiError:
    """Why a move with this token hit nothing."""
    _get(session, judgement_id)
    outcome = _outcome(session, judgement_id, token)
    if outcome is not None and outcome[0] is State.CANCELLED:
        return ApiError("the submission was cancelled", status=409, code="cancelled")
    return ApiError(
        "the lease is over: the judgement was given to somebody else, or was never yours",
        status=409,
        code="lease-lost",
    )


def _outcome(
    session: Session, judgement_id: UUID, token: str
) -> tuple[State, Failure | None] | None:
    """State and failure of a judgement, for whoever holds or held its lease."""
    row = session.exec(
        select(Judgement.state, Judgement.failure).where(
            Judgement.id == judgement_id, Judgement.token_hash == sha256(token)
        )
    ).one_or_none()
    if row is None:
        return None
    state, failure = row
    return State(state), Failure(failure) if failure else None


def _try_again(session: Session, failed: Judgement, now: datetime) -> None:
    """After a failed attempt: queue another one, or end the submission as JE."""
    rows = session.exec(
        select(Judgement.failure, Judgement.charged, Judgement.reason)
        .where(Judgement.submission_id == failed.submission_id)
        .order_by(col(Judgement.attempt))
    ).all()
    history = [Past(Failure(failure), charged) for failure, charged, _ in rows if failure]
    final = why_stop(history)
    last = rows[-1][2]
    if final is not None:
        # An attempt that reported a JE keeps its own result; a silent one gets one made for it.
        _end_as_error(session, failed, f"{final}; the last time: {last}", now)
        return
    _move(session, (Judgement.id == failed.id, col(Judgement.is_current)), is_current=False)
    retry = wire.Progress(
        status=Status.QUEUED,
        message=f"judging failed through no fault of the submission and is repeated: {last}",
    )
    session.add(
        Judgement(
            id=uuid4(),
            submission_id=failed.submission_id,
            user_id=failed.user_id,
            number=failed.number,
            attempt=failed.attempt + 1,
            device=failed.device,
            package_hash=failed.package_hash,
            since=now,
            created_at=now,
            progress=retry.model_dump_json(),
        )
    )


def _end_as_error(session: Session, failed: Judgement, reason: str, now: datetime) -> None:
    values: dict[str, Any] = {
        "state": State.JUDGED,
        "verdict": Verdict.JE,
        "reason": reason,
        "since": now,
        "ended_at": now,
    }
    stored = session.exec(select(Judgement.result).where(Judgement.id == failed.id)).one()
    if stored is None:
        values["result"] = unjudged(failed, reason)
    _move(session, (Judgement.id == failed.id, col(Judgement.is_current)), **values)


def _claim(session: Session, judgement: Judgement, token: str, lease_s: float) -> wire.Claim:
    submission = session.exec(
        select(Submission).where(Submission.id == judgement.submission_id)
    ).one()
    files = session.exec(
        select(SubmissionFile)
        .where(SubmissionFile.submission_id == submission.id)
        .order_by(col(SubmissionFile.path))
    ).all()
    return wire.Claim(
        judgement_id=judgement.id,
        submission_id=submission.id,
        attempt=judgement.attempt,
        lease_token=token,
        lease_s=lease_s,
        problem=submission.problem,
        package_hash=judgement.package_hash,
        device=submission.device,
        mode=submission.mode,
        language=submission.language,
        files=tuple(wire.SourceFile(path=f.path, content=f.content) for f in files),
    )


def _moved(session: Session, judgement: Judgement) -> Moved:
    problem = session.exec(
        select(Submission.problem).where(Submission.id == judgement.submission_id)
    ).one()
    return Moved(judgement.submission_id, problem, judgement.device)


def _seconds_since(then: datetime | None, now: datetime) -> float:
    return max(0.0, (now - then).total_seconds()) if then else 0.0
