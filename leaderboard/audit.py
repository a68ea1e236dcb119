"""Who did what: a trail that only grows, written in the transaction of what it tells of."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session, col, select

from leaderboard.models import AuditEntry
from leaderboard.text import plain

NOBODY = "-"


class Action(StrEnum):
    """What can be done that somebody may want to know of later."""

    REGISTERED = "registered"
    LOGGED_IN = "logged-in"
    """A token was made for a name and password."""
    LOGGED_OUT = "logged-out"
    WORKER_ADMITTED = "worker-admitted"
    """The workers' token was replaced."""
    CANCELLED = "cancelled"
    REJUDGED = "rejudged"
    GAVE_UP = "gave-up"
    """Judging failed too often: the submission ended as JE, and somebody should look at why."""
    PASSWORD_SET = "password-set"  # noqa: S105 - the name of an action
    """By an operator; every token of the person was ended."""
    RESTORED = "restored"
    REBUILT = "rebuilt"
    PRUNED = "pruned"
    SURPRISED = "surprised"
    """A known program was not judged as it must be (`leaderboard.canary`)."""
    CANARY = "canary"
    """Known programs were handed in by an operator."""


def record(
    session: Session, now: datetime, actor: str, action: Action, subject: str = "", detail: str = ""
) -> None:
    """Write a line, with the caller's transaction.

    Args:
        actor: a name; of the operating system for what an operator does.
        subject: what it was done to.
    """
    session.add(
        AuditEntry(
            at=now,
            actor=plain(actor, 64),
            action=action.value,
            subject=plain(subject, 128),
            detail=plain(detail, 500),
        )
    )


def latest(session: Session, limit: int) -> Sequence[AuditEntry]:
    """The last lines, newest first."""
    return session.exec(select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit)).all()
