"""When an attempt at judging fails: another one is queued, or the submission ends as JE."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from judge import wire
from judge.verdict import Status, Verdict
from leaderboard import audit, machine
from leaderboard.audit import Action
from leaderboard.machine import Actor, move
from leaderboard.models import Failure, Judgement, State, Submission
from leaderboard.results import to_columns, unjudged
from leaderboard.retries import Past, why_stop


@dataclass(frozen=True, slots=True)
class Moved:
    """Which submission a move concerned; what listeners are told about.

    Attributes:
        gave_up: why it is not tried again, if this was the last failed attempt at judging it.
    """

    submission_id: UUID
    problem: str
    device: str
    gave_up: str = ""


def moved_by(session: Session, judgement: Judgement) -> Moved:
    """The news of a move."""
    problem = session.exec(
        select(Submission.problem).where(Submission.id == judgement.submission_id)
    ).one()
    return Moved(judgement.submission_id, problem, judgement.device)


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt.

    Attributes:
        conditions: which judgement, and on what proof.
        result: what the worker reported, if it did.
    """

    conditions: tuple[Any, ...]
    by: Actor
    past: Past
    reason: str
    result: wire.JudgementResult | None = None


def fail(session: Session, judgement: Judgement, failed: Failed, now: datetime) -> Moved | None:
    """End a failed attempt, and queue another one or end the submission as JE.

    Returns:
        None if somebody else moved the judgement first.
    """
    final = why_stop([*_before(session, judgement), failed.past])
    reason = failed.reason or "no reason was given"
    told = f"{final}; the last time: {reason}" if final else reason
    values: dict[str, Any] = to_columns(failed.result) if failed.result is not None else {}
    values |= {
        "failure": failed.past.failure,
        "charged": failed.past.charged,
        "reason": told,
        "device_s": 0.0,
    }
    transition, state = machine.ABANDON, State.ABANDONED
    if failed.result is not None:
        transition, state = machine.RECORD, State.JUDGED
    elif final is not None:
        transition, state = machine.GIVE_UP, State.JUDGED
        values |= {"verdict": Verdict.JE, "result": unjudged(judgement, told)}
    if final is None:
        values["is_current"] = False
    if not move(session, transition, failed.by, failed.conditions, now, state, **values):
        return None
    if final is None:
        message = f"judging failed through no fault of the submission and is repeated: {told}"
        again(session, judgement, failed.by, now, message, judgement.package_hash, judgement.round)
    else:
        subject = str(judgement.submission_id)
        audit.record(session, now, failed.by.value, Action.GAVE_UP, subject, told)
    return replace(moved_by(session, judgement), gave_up=told if final else "")


def _before(session: Session, judgement: Judgement) -> list[Past]:
    """The failed attempts before this one, since an organizer last asked for a judging."""
    rows = session.exec(
        select(Judgement.failure, Judgement.charged)
        .where(
            Judgement.submission_id == judgement.submission_id,
            Judgement.round == judgement.round,
            Judgement.attempt < judgement.attempt,
        )
        .order_by(col(Judgement.attempt))
    ).all()
    return [Past(Failure(failure), charged) for failure, charged in rows if failure]


def again(
    session: Session,
    past: Judgement,
    by: Actor,
    now: datetime,
    message: str,
    package: str,
    round: int,
) -> None:
    """Queue the next attempt at judging a submission."""
    machine.make(
        session,
        by,
        now,
        submission_id=past.submission_id,
        user_id=past.user_id,
        number=past.number,
        attempt=past.attempt + 1,
        round=round,
        device=past.device,
        package_hash=package,
        progress=wire.Progress(status=Status.QUEUED, message=message).model_dump_json(),
    )
