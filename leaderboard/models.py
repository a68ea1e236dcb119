"""The tables. A submission never changes; a judgement is one judging of it and moves by states."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Enum, Index, Integer, Text, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel, col

from judge.verdict import Language, Mode, Verdict

# Constraints with names, so that later migrations can get hold of them on any database.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite counts rows by itself only for a column declared exactly INTEGER.
_ROW_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


class State(StrEnum):
    """Where a judgement is: `judge.verdict.Status`, plus `abandoned` for one given up."""

    QUEUED = "queued"
    BUILDING = "building"
    CHECKING = "checking"
    TIMING = "timing"
    JUDGED = "judged"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


WITH_WORKER = (State.BUILDING, State.CHECKING, State.TIMING)
PENDING = (State.QUEUED, *WITH_WORKER)


class Failure(StrEnum):
    """Why an attempt at judging came to nothing."""

    ERROR = "error"
    """The worker reported a judging error."""
    EXPIRED = "expired"
    """The worker fell silent."""
    RELEASED = "released"
    """The worker gave the judgement back."""


def _by_value(kind: type[StrEnum]) -> Enum:
    """A column type that stores the value of an enumeration, not the name of its member."""
    return Enum(kind, values_callable=lambda e: [m.value for m in e], native_enum=False, length=16)


def _where(condition: str) -> dict[str, Any]:
    """For an index of some rows only."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class User(SQLModel, table=True):
    """A person, or the one account all workers act under.

    Attributes:
        key: the name in lower case, so that no two names differ in case only.
        password_hash: None where nobody can log in with a password.
        internal: no person's; on no board and in no list.
    """

    __tablename__ = "user_account"

    id: int = Field(default=None, primary_key=True)
    name: str = Field(max_length=32)
    key: str = Field(max_length=32, unique=True)
    password_hash: str | None = Field(default=None, max_length=256)
    created_at: datetime
    internal: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class Token(SQLModel, table=True):
    """A bearer token, of which only the hash is kept.

    Attributes:
        scopes: separated by spaces.
        expires_at: None for the workers' own.
    """

    __tablename__ = "token"

    id: int = Field(default=None, primary_key=True)
    sha256: str = Field(max_length=64, unique=True)
    user_id: int = Field(foreign_key="user_account.id", index=True)
    label: str = Field(max_length=64)
    scopes: str = Field(max_length=64)
    created_at: datetime
    expires_at: datetime | None = None


class Problem(SQLModel, table=True):
    """A problem that was ever on offer here.

    Attributes:
        package_hash: the version on offer now.
        listed: whether its package is still in the problems folder.
    """

    __tablename__ = "problem"

    slug: str = Field(primary_key=True, max_length=64)
    uuid: str = Field(max_length=36)
    package_hash: str = Field(max_length=128)
    listed: bool = True


class ProblemVersion(SQLModel, table=True):
    """A state of a problem's package; the package itself lies in the data directory.

    Attributes:
        certificate: the `wire.Certificate` it was published with, as JSON.
    """

    __tablename__ = "problem_version"

    problem: str = Field(primary_key=True, foreign_key="problem.slug", max_length=64)
    package_hash: str = Field(primary_key=True, max_length=128)
    version: str = Field(max_length=32)
    created_at: datetime
    certificate: str | None = Field(default=None, sa_type=Text)


class Submission(SQLModel, table=True):
    """What somebody handed in. Written once.

    Attributes:
        number: counts up; the order of arrival.
        id: public, chosen by the client if it likes.
    """

    __tablename__ = "submission"
    # Each list that people look at, newest first, is one stretch of one of these.
    __table_args__ = (
        Index("ix_submission_user", "user_id", "number"),
        Index("ix_submission_problem", "problem", "number"),
        Index("ix_submission_user_problem", "user_id", "problem", "number"),
    )

    number: int = Field(
        default=None, sa_column=Column(_ROW_NUMBER, primary_key=True, autoincrement=True)
    )
    id: UUID = Field(unique=True)
    user_id: int = Field(foreign_key="user_account.id")
    problem: str = Field(foreign_key="problem.slug", max_length=64)
    device: str = Field(max_length=32)
    mode: Mode = Field(sa_type=_by_value(Mode))
    language: Language = Field(sa_type=_by_value(Language))
    filename: str = Field(max_length=255)
    source_hash: str = Field(max_length=128)
    submitted_at: datetime


class SubmissionFile(SQLModel, table=True):
    """One source file of a submission."""

    __tablename__ = "submission_file"

    submission_id: UUID = Field(primary_key=True, foreign_key="submission.id")
    path: str = Field(primary_key=True, max_length=512)
    content: bytes


class Judgement(SQLModel, table=True):
    """One judging of a submission. `leaderboard.machine` alone writes it.

    Attributes:
        is_current: the one that speaks for the submission; exactly one is, and the database
            itself refuses a second.
        attempt: counts all judgings of the submission, from 1.
        round: counts how often it was asked for; failures are counted within one.
        user_id, number: of its submission, which never change; the queue is read without it.
        since: when it entered its state.
        enqueued_at: when it was handed to Redis.
        token_hash: of the lease token; whoever presents that token holds the judgement.
        failure, reason: why it came to nothing.
        charged: whether that counts towards the attempts after which we give up.
        commitment: SHA-256 of the seed its worker was given, in hex.
        device_s: seconds of the device it is charged with; 0 where we failed.
        result: a `wire.JudgementResult` without its runs, as JSON.
    """

    __tablename__ = "judgement"
    __table_args__ = (
        UniqueConstraint("submission_id", "attempt", name="uq_judgement_attempt"),
        Index(
            "ix_judgement_current",
            "submission_id",
            unique=True,
            **_where("is_current"),
        ),
        # However often it is tried, it is judged once; our own failures are no verdicts.
        Index(
            "ix_judgement_verdict",
            "submission_id",
            "round",
            unique=True,
            **_where("verdict IS NOT NULL AND failure IS NULL"),
        ),
        # The queue, without the history: what has not ended is waiting or being judged.
        Index("ix_judgement_pending", "device", "state", "number", **_where("ended_at IS NULL")),
        Index("ix_judgement_pending_user", "user_id", **_where("ended_at IS NULL")),
        Index("ix_judgement_ended", "device", "ended_at"),
    )

    id: UUID = Field(primary_key=True)
    submission_id: UUID = Field(foreign_key="submission.id")
    user_id: int
    number: int = Field(sa_type=BigInteger)
    attempt: int
    round: int = 1
    is_current: bool = True
    device: str = Field(max_length=32)
    package_hash: str = Field(max_length=128)
    state: State = Field(default=State.QUEUED, sa_type=_by_value(State))
    since: datetime
    created_at: datetime
    enqueued_at: datetime | None = None
    claimed_at: datetime | None = None
    ended_at: datetime | None = None
    worker: str = Field(default="", max_length=100)
    token_hash: str | None = Field(default=None, max_length=64)
    lease_until: datetime | None = None
    failure: Failure | None = Field(default=None, sa_type=_by_value(Failure))
    charged: bool = True
    reason: str = Field(default="", sa_type=Text)
    commitment: str | None = Field(default=None, max_length=64)
    device_s: float = 0.0
    progress: str | None = Field(default=None, sa_type=Text)
    verdict: Verdict | None = Field(default=None, sa_type=_by_value(Verdict))
    score: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    latency_ns: float | None = None
    baseline_ns: float | None = None
    artifact_hash: str = Field(default="", max_length=128)
    result: str | None = Field(default=None, sa_type=Text)


JUDGED_VERSION = (col(ProblemVersion.problem) == Submission.problem) & (
    col(ProblemVersion.package_hash) == Judgement.package_hash
)
"""Joins the version of the problem that a judgement was made with."""


class Run(SQLModel, table=True):
    """One workload of a judgement.

    Attributes:
        detail: a `wire.Run` without its samples, as JSON.
        samples: the raw paired times, `[[candidate...], [baseline...]]` in ns, as JSON.
    """

    __tablename__ = "run"

    judgement_id: UUID = Field(primary_key=True, foreign_key="judgement.id")
    position: int = Field(primary_key=True)
    workload: str = Field(max_length=255)
    verdict: Verdict | None = Field(default=None, sa_type=_by_value(Verdict))
    detail: str = Field(sa_type=Text)
    samples: str = Field(sa_type=Text)


class Board(SQLModel, table=True):
    """A board as a whole. It and its rows are derived: `leaderboard.boards` can make them anew.

    Attributes:
        version: of the problem whose scores are on it.
        revision: counts up whenever anything on the board changes.
        solvers: how many rows it has.
        updated_at: when the newest of its rows was judged.
    """

    __tablename__ = "board"

    problem: str = Field(primary_key=True, foreign_key="problem.slug", max_length=64)
    device: str = Field(primary_key=True, max_length=32)
    version: str = Field(max_length=32)
    revision: int = Field(sa_type=BigInteger)
    solvers: int = 0
    updated_at: datetime | None = None


class Standing(SQLModel, table=True):
    """One person's row on a board: the submission that counts, without its rank.

    Attributes:
        attempts: ranked submissions of the person that were judged.
        pooled: judgings of one artifact that the score is the mean of.
    """

    __tablename__ = "standing"
    __table_args__ = (Index("ix_standing_order", "problem", "device", "score", "number"),)

    problem: str = Field(primary_key=True, max_length=64)
    device: str = Field(primary_key=True, max_length=32)
    user_id: int = Field(primary_key=True, foreign_key="user_account.id")
    submission_id: UUID
    number: int = Field(sa_type=BigInteger)
    language: Language = Field(sa_type=_by_value(Language))
    score: float
    score_low: float
    score_high: float
    latency_ns: float | None = None
    baseline_ns: float | None = None
    attempts: int
    pooled: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    submitted_at: datetime
    judged_at: datetime


class CanaryRun(SQLModel, table=True):
    """A control that was handed in to see whether it is judged as it must be.

    Attributes:
        path: in the problem's `submissions/`.
        permitted: verdicts, any of which is right, separated by spaces.
        complaint: what was not as expected; empty if nothing, or while it is not known.
    """

    __tablename__ = "canary_run"
    __table_args__ = (Index("ix_canary_run_ended", "ended_at"),)

    id: int = Field(
        default=None, sa_column=Column(_ROW_NUMBER, primary_key=True, autoincrement=True)
    )
    submission_id: UUID
    problem: str = Field(max_length=64)
    device: str = Field(max_length=32)
    path: str = Field(max_length=512)
    permitted: str = Field(max_length=64)
    min_speedup: float | None = None
    max_speedup: float | None = None
    submitted_at: datetime
    ended_at: datetime | None = None
    complaint: str = Field(default="", max_length=500)


class AuditEntry(SQLModel, table=True):
    """A line of the audit trail. Names, not keys: it outlives what it tells of."""

    __tablename__ = "audit_entry"

    id: int = Field(
        default=None, sa_column=Column(_ROW_NUMBER, primary_key=True, autoincrement=True)
    )
    at: datetime
    actor: str = Field(max_length=64)
    action: str = Field(max_length=32)
    subject: str = Field(max_length=128)
    detail: str = Field(max_length=500)
