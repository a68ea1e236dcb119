"""The state machine of judging, written down once: states, transitions, who may cause them.

    queued -> building, checking, timing (with a worker, under a lease) -> judged
      any of these, cancelled by its owner             -> cancelled
      with a worker, which fails or is silent          -> abandoned, or judged as JE
                                                          and another attempt is queued
      the same, for the last time                      -> judged as JE
      ended, and an organizer wants it judged again    -> as it is, replaced by a new attempt

A submission has one judgement that is *current* and speaks for it; the others are its past. What
has ended never changes again, but for being replaced. A move is one conditional UPDATE that must
hit its one row: whoever finds that it hit none has lost, because somebody else was first. A worker
proves that it holds a judgement with the token of its lease; every claim makes a new one, so what
comes late finds nothing to move.

Only this module writes the table `judgement`. The database itself refuses rows that break
`INVARIANTS`, and moves that are not in `TRANSITIONS` (migration 0008).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from sqlmodel import Session, col, insert, update

from judge.errors import InfrastructureError
from leaderboard.models import PENDING, WITH_WORKER, Judgement, State

ENDED = (State.JUDGED, State.CANCELLED, State.ABANDONED)


class Actor(StrEnum):
    """Who causes a move."""

    SERVICE = "service"
    """The service itself, as part of what it was asked for."""
    WORKER = "worker"
    """Any worker of the device class."""
    HOLDER = "holder"
    """The worker that presents the token of the lease."""
    OWNER = "owner"
    """Whoever handed the submission in."""
    RECONCILER = "reconciler"
    OPERATOR = "operator"
    """Whoever runs the command line on the server's machine."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A way for a judgement to change.

    Attributes:
        sources: where it may be before; none for a judgement that is made.
        targets: where it may be after; none if it stays where it is.
        actors: who may cause it.
    """

    name: str
    sources: tuple[State, ...]
    targets: tuple[State, ...]
    actors: tuple[Actor, ...]


_ANY = (Actor.SERVICE, Actor.HOLDER, Actor.RECONCILER, Actor.OPERATOR)
_TAKES_BACK = (Actor.HOLDER, Actor.RECONCILER)

ENQUEUE = Transition("enqueue", (), (State.QUEUED,), _ANY)
# To Redis, as a hint.
SEND = Transition("send", (State.QUEUED,), (), (Actor.SERVICE, Actor.RECONCILER))
CLAIM = Transition("claim", (State.QUEUED,), (State.BUILDING,), (Actor.WORKER,))
HEARTBEAT = Transition("heartbeat", WITH_WORKER, (), (Actor.HOLDER,))
PROGRESS = Transition("progress", WITH_WORKER, WITH_WORKER, (Actor.HOLDER,))
RECORD = Transition("record", WITH_WORKER, (State.JUDGED,), (Actor.HOLDER,))
ABANDON = Transition("abandon", WITH_WORKER, (State.ABANDONED,), _TAKES_BACK)
GIVE_UP = Transition("give-up", WITH_WORKER, (State.JUDGED,), _TAKES_BACK)
CANCEL = Transition("cancel", PENDING, (State.CANCELLED,), (Actor.OWNER,))
# By a new attempt that an organizer asked for.
REPLACE = Transition("replace", (State.JUDGED, State.CANCELLED), (), (Actor.OPERATOR,))
RESTORE = Transition("restore", PENDING, (State.QUEUED,), (Actor.OPERATOR,))

TRANSITIONS = (
    *(ENQUEUE, SEND, CLAIM, HEARTBEAT, PROGRESS, RECORD),
    *(ABANDON, GIVE_UP, CANCEL, REPLACE, RESTORE),
)

_WITH_WORKER = "('building', 'checking', 'timing')"
INVARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "known_state": "state IN ('queued', 'building', 'checking', 'timing', 'judged',"
        " 'cancelled', 'abandoned')",
        "lease_with_worker": f"(lease_until IS NOT NULL) = (state IN {_WITH_WORKER})",
        # A result, or a failure, comes from somebody who held the lease.
        "result_under_lease": "state IN ('queued', 'cancelled')"
        " OR (token_hash IS NOT NULL AND claimed_at IS NOT NULL)",
        "queued_is_nobodys": "state <> 'queued' OR (token_hash IS NULL AND claimed_at IS NULL)",
        "ended_at_when_ended": "(ended_at IS NOT NULL)"
        " = (state IN ('judged', 'cancelled', 'abandoned'))",
        "verdict_when_judged": "(verdict IS NOT NULL) = (state = 'judged')",
        "result_when_judged": "(result IS NOT NULL) = (state = 'judged')",
        "failure_explained": "(failure IS NOT NULL)"
        " = (state = 'abandoned' OR COALESCE(verdict, '') = 'JE')",
        "score_is_of_accepted": "score IS NULL OR COALESCE(verdict, '') = 'AC'",
        "score_in_interval": "(score IS NULL) = (score_low IS NULL)"
        " AND (score IS NULL) = (score_high IS NULL)"
        " AND (score IS NULL OR (0 < score_low AND score_low <= score AND score <= score_high))",
        "abandoned_is_past": "NOT (is_current AND state = 'abandoned')",
        "past_has_ended": "is_current OR ended_at IS NOT NULL",
        "counted_from_one": "attempt >= 1 AND round >= 1 AND device_s >= 0",
    }
)
"""What holds of every row of `judgement` at all times, in SQL that both databases understand.

Beyond single rows: at most one judgement of a submission is current, attempts have numbers of their
own (unique indexes), an ended row keeps state, verdict and token, and a row on a board is of an
accepted, current judgement with a score (triggers).
"""

_FREE: Mapping[State, Mapping[str, object]] = {
    State.QUEUED: {
        "token_hash": None,
        "lease_until": None,
        "claimed_at": None,
        "enqueued_at": None,
        "worker": "",
        "progress": None,
    },
    **{state: {"lease_until": None} for state in ENDED},
}

_INSERT = insert(Judgement)


def make(session: Session, by: Actor, now: datetime, **values: Any) -> Judgement:
    """Queue a new judgement, the current one of its submission.

    What is returned is its row as it was stored, and unknown to the session.
    """
    _check_actor(ENQUEUE, by)
    judgement = Judgement(id=uuid4(), state=State.QUEUED, since=now, created_at=now, **values)
    session.connection().execute(_INSERT, judgement.model_dump())
    return judgement


def move(
    session: Session,
    transition: Transition,
    by: Actor,
    conditions: tuple[Any, ...],
    now: datetime,
    state: State | None = None,
    **values: Any,
) -> bool:
    """Change one judgement: the conditional UPDATE. True if it hit its row.

    Args:
        conditions: which one, beside the states the transition starts from.
        state: the one it is in afterwards; without it, the one it is in.
        values: other columns.

    Raises InfrastructureError if the transition does not allow it, or it hit several rows.
    """
    moved = _update(session, transition, by, conditions, now, state, values)
    if moved > 1:
        raise InfrastructureError(f"one {transition.name} hit {moved} judgements")
    return moved == 1


def restore(session: Session, now: datetime) -> None:
    """Queue again whatever had not ended: its leases were promised by a server that is gone."""
    pending = (col(Judgement.ended_at).is_(None),)
    _update(session, RESTORE, Actor.OPERATOR, pending, now, State.QUEUED, {})


def _update(
    session: Session,
    transition: Transition,
    by: Actor,
    conditions: tuple[Any, ...],
    now: datetime,
    state: State | None,
    values: Mapping[str, Any],
) -> int:
    _check_actor(transition, by)
    if state not in (transition.targets or (None,)):
        raise InfrastructureError(f"a {transition.name} does not lead to {state}")
    entered: dict[str, Any] = {}
    if state is not None:
        entered = {"state": state, "since": now, **_FREE.get(state, {})}
        if state in ENDED:
            entered["ended_at"] = now
    statement = (
        update(Judgement)
        .where(*conditions, col(Judgement.state).in_(transition.sources))
        .values(**{**entered, **values})
    )
    return session.exec(statement, execution_options={"synchronize_session": False}).rowcount


def _check_actor(transition: Transition, by: Actor) -> None:
    if by not in transition.actors:
        raise InfrastructureError(f"a {transition.name} is not for the {by.value} to cause")
