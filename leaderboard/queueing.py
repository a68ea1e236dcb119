"""Who is next: the order of the judgements that wait for a device.

Fair share: the person who used the device least during the last hour comes first, then whoever
waits longest. Work that a worker has now counts as well, so that nobody holds every device.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam
from sqlmodel import Session, col, func, select

from leaderboard.machine import SEND, Actor, move
from leaderboard.models import WITH_WORKER, Judgement, State

WINDOW = timedelta(hours=1)


def next_in_line(
    session: Session, device: str, now: datetime, limit: int = 1, *, unsent: bool = False
) -> Sequence[UUID]:
    """Judgements waiting for a device, by fair share: of each person the oldest one.

    Args:
        limit: how many at most.
        unsent: only those that were not handed to Redis yet.
    """
    waiting = (
        select(Judgement.user_id, func.min(Judgement.number))
        .where(*_waiting(device))
        .group_by(col(Judgement.user_id))
    )
    if unsent:
        waiting = waiting.where(col(Judgement.enqueued_at).is_(None))
    used = device_time_s(session, device, now)
    heads = sorted(session.exec(waiting).all(), key=lambda row: (used.get(row[0], 0.0), row[1]))
    numbers = [number for _, number in heads[:limit]]
    rows = session.exec(
        select(Judgement.number, Judgement.id).where(
            *_waiting(device), col(Judgement.number).in_(numbers)
        )
    ).all()
    by_number = dict(rows)
    return [by_number[number] for number in numbers if number in by_number]


def device_time_s(session: Session, device: str, now: datetime) -> dict[int, float]:
    """Seconds of a device each person used within the window, running judgements included."""
    finished = session.exec(
        select(Judgement.user_id, func.sum(Judgement.device_s))
        .where(Judgement.device == device, col(Judgement.ended_at) > now - WINDOW)
        .group_by(col(Judgement.user_id))
    ).all()
    used = {user_id: float(seconds or 0.0) for user_id, seconds in finished}
    running = session.exec(
        select(Judgement.user_id, Judgement.claimed_at).where(
            col(Judgement.ended_at).is_(None),
            Judgement.device == device,
            col(Judgement.state).in_(WITH_WORKER),
        )
    ).all()
    for user_id, claimed_at in running:
        if claimed_at is not None:
            used[user_id] = used.get(user_id, 0.0) + (now - claimed_at).total_seconds()
    return used


def position(session: Session, device: str, number: int) -> int:
    """How many judgements wait for the device that arrived before this submission."""
    values = {"device": device, "number": number}
    return int(session.connection().execute(_BEFORE, values).scalar_one())


def pending_of(session: Session, user_id: int) -> int:
    """How many judgements of a person wait or run."""
    return int(session.connection().execute(_PENDING, {"user_id": user_id}).scalar_one())


def sent(session: Session, device: str) -> int:
    """How many judgements that wait for a device were handed to Redis."""
    return int(session.connection().execute(_SENT, {"device": device}).scalar_one())


def take_for_redis(
    session: Session, device: str, now: datetime, depth: int
) -> list[tuple[UUID, int]]:
    """Pick what is handed to Redis now, so that at most `depth` judgements lie there.

    Returns:
        Judgement id and attempt of each.
    """
    there = sent(session, device)
    taken: list[tuple[UUID, int]] = []
    while there + len(taken) < depth:
        found = next_in_line(session, device, now, depth - there - len(taken), unsent=True)
        if not found:
            break
        for judgement_id in found:
            attempt = session.exec(
                select(Judgement.attempt).where(Judgement.id == judgement_id)
            ).one()
            this = (Judgement.id == judgement_id,)
            if move(session, SEND, Actor.SERVICE, this, now, enqueued_at=now):
                taken.append((judgement_id, attempt))
    return taken


def _waiting(device: str | BindParameter[str]) -> tuple[Any, ...]:
    # What has not ended: so the database reads the queue and not the history.
    return (
        col(Judgement.ended_at).is_(None),
        Judgement.device == device,
        Judgement.state == State.QUEUED,
    )


# Put together once: whoever hands in asks.
_BEFORE = (
    select(func.count())
    .select_from(Judgement)
    .where(*_waiting(bindparam("device")), col(Judgement.number) < bindparam("number"))
)
_PENDING = (
    select(func.count())
    .select_from(Judgement)
    .where(col(Judgement.ended_at).is_(None), Judgement.user_id == bindparam("user_id"))
)
_SENT = (
    select(func.count())
    .select_from(Judgement)
    .where(*_waiting(bindparam("device")), col(Judgement.enqueued_at).is_not(None))
)
