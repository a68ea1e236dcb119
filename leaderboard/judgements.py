"""What happens to a judgement: queued, claimed, reported on, judged, taken back, cancelled.

`leaderboard.machine` has the states and the one way to move between them; here is what is stored
with each move, and what follows from it.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from judge import wire
from judge.errors import ApiError
from judge.record import commitment_to
from judge.verdict import Verdict
from leaderboard import machine
from leaderboard.accounts import sha256
from leaderboard.attempts import Failed, Moved, again, fail, moved_by
from leaderboard.machine import Actor, move
from leaderboard.models import WITH_WORKER, Failure, Judgement, State, Submission, SubmissionFile
from leaderboard.results import check_result, to_columns, to_runs
from leaderboard.retries import Past
from leaderboard.text import plain

# What `_outcome` says of a lease that handed a result in.
_RESULTS = ((State.JUDGED, None), (State.JUDGED, Failure.ERROR))


# --- into the queue -----------------------------------------------------------------------


def enqueue(session: Session, submission: Submission, package: str, now: datetime) -> Judgement:
    """Queue the first judgement of a submission."""
    return machine.make(
        session,
        Actor.SERVICE,
        now,
        submission_id=submission.id,
        user_id=submission.user_id,
        number=submission.number,
        attempt=1,
        device=submission.device,
        package_hash=package,
    )


def rejudge(session: Session, submission_id: UUID, package: str, now: datetime) -> Moved:
    """Judge a submission again, whatever became of it; failures are counted anew.

    Args:
        package: the version of the problem to judge it by.

    Raises ApiError 404 ``unknown-submission``, 409 ``not-final``.
    """
    judgement = session.exec(
        select(Judgement).where(Judgement.submission_id == submission_id, col(Judgement.is_current))
    ).one_or_none()
    if judgement is None:
        raise ApiError("there is no such submission", status=404, code="unknown-submission")
    this = (Judgement.id == judgement.id, col(Judgement.is_current))
    if not move(session, machine.REPLACE, Actor.OPERATOR, this, now, is_current=False):
        raise ApiError(
            f"submission {submission_id} is {judgement.state.value}: wait for its verdict first",
            status=409,
            code="not-final",
        )
    message = "judged again because an organizer asked for it"
    again(session, judgement, Actor.OPERATOR, now, message, package, judgement.round + 1)
    return moved_by(session, judgement)


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
    claimed = move(
        session,
        machine.CLAIM,
        Actor.WORKER,
        (Judgement.id == judgement_id,),
        now,
        State.BUILDING,
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
    held = _held(judgement_id, token)
    if not move(session, machine.HEARTBEAT, Actor.HOLDER, held, now, lease_until=until):
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
    values: dict[str, Any] = {"progress": report.model_dump_json()}
    if judgement.state is state:
        values["since"] = judgement.since
    held = _held(judgement_id, token)
    if not move(session, machine.PROGRESS, Actor.HOLDER, held, now, state, **values):
        raise _refusal(session, judgement_id, token)
    return moved_by(session, judgement)


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
    held = _held(judgement_id, token)
    if result.verdict is Verdict.JE:
        reason = plain(result.message, 2000)
        failed = Failed(held, Actor.HOLDER, Past(Failure.ERROR), reason, result)
        moved = fail(session, judgement, failed, now)
    else:
        values = to_columns(result)
        values["device_s"] = _seconds_since(judgement.claimed_at, now)
        stored = move(session, machine.RECORD, Actor.HOLDER, held, now, State.JUDGED, **values)
        moved = moved_by(session, judgement) if stored else None
    if moved is None:
        if _outcome(session, judgement_id, token) in _RESULTS:
            return None
        raise _refusal(session, judgement_id, token)
    session.add_all(to_runs(judgement_id, result.runs))
    return moved


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
    past = Past(Failure.RELEASED, charged)
    held = _held(judgement_id, token)
    failed = Failed(held, Actor.HOLDER, past, plain(reason, 2000))
    moved = fail(session, judgement, failed, now)
    if moved is None:
        outcome = _outcome(session, judgement_id, token)
        if outcome is not None and outcome[1] is Failure.RELEASED:
            return None
        raise _refusal(session, judgement_id, token)
    return moved


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
    silent = (Judgement.id == judgement_id, col(Judgement.lease_until) < now)
    reason = f"worker {judgement.worker} fell silent"
    failed = Failed(silent, Actor.RECONCILER, Past(Failure.EXPIRED), reason)
    return fail(session, judgement, failed, now)


def cancel(session: Session, submission_id: UUID, now: datetime) -> Moved:
    """Cancel a submission that is not judged yet. Raises ApiError 409 ``already-final``."""
    # Twice, because the first may hit an attempt that is just being replaced by another.
    for _ in range(2):
        judgement = session.exec(
            select(Judgement).where(
                Judgement.submission_id == submission_id, col(Judgement.is_current)
            )
        ).one()
        # What it used of the device counts, else cancelling would buy a place in the queue.
        used_s = _seconds_since(judgement.claimed_at, now)
        this = (Judgement.id == judgement.id,)
        owner = Actor.OWNER
        if move(session, machine.CANCEL, owner, this, now, State.CANCELLED, device_s=used_s):
            return moved_by(session, judgement)
    raise ApiError(
        "the submission is judged or cancelled already", status=409, code="already-final"
    )


# --- the machinery ------------------------------------------------------------------------


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


def _seconds_since(then: datetime | None, now: datetime) -> float:
    return max(0.0, (now - then).total_seconds()) if then else 0.0
