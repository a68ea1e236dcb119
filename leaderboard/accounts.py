"""People and their tokens."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import bindparam
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select

from judge import wire
from judge.errors import ApiError, UserError
from leaderboard import audit
from leaderboard.audit import Action
from leaderboard.db import Database
from leaderboard.models import Token, User
from leaderboard.text import plain

WORKER_NAME = "worker"
_BOOTSTRAP = "bootstrap"


class Scope(StrEnum):
    """What a token allows."""

    SUBMIT = "submit"
    """To act as its user."""
    WORKER = "worker"
    """To fetch judgements and hand in results."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a valid token speaks for."""

    user_id: int
    name: str
    created_at: datetime
    scopes: frozenset[str]
    token_id: int


class Passwords:
    """Hashes and verifies passwords.

    Args:
        time_cost, memory_kib: of argon2.
    """

    def __init__(self, time_cost: int, memory_kib: int) -> None:
        self._hash = PasswordHash((Argon2Hasher(time_cost=time_cost, memory_cost=memory_kib),))
        self._dummy = self._hash.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        return self._hash.hash(password)

    def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Whether it is the password, and a new hash where the stored one is outdated.

        Takes as long without a stored hash, so that timing does not tell which names exist.
        """
        valid, renewed = self._hash.verify_and_update(password, stored or self._dummy)
        return (valid, renewed) if stored else (False, None)


def sha256(secret: str) -> str:
    """How a token or lease token is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def register(
    db: Database, passwords: Passwords, credentials: wire.Credentials, now: datetime
) -> wire.User:
    """Make an account. Raises ApiError 409 ``name-taken``."""
    user = User(
        name=credentials.name,
        key=credentials.name.lower(),
        password_hash=passwords.hash(credentials.password),
        created_at=now,
    )
    try:
        with db.write() as session:
            session.add(user)
            audit.record(session, now, user.name, Action.REGISTERED)
    except IntegrityError:
        raise ApiError(
            f"the name {credentials.name!r} is taken (upper and lower case are the same); "
            "choose another",
            status=409,
            code="name-taken",
        ) from None
    return wire.User(name=credentials.name, created_at=now)


def log_in(
    db: Database, passwords: Passwords, request: wire.TokenRequest, now: datetime
) -> wire.Token:
    """Hand out a token for a name and password. Raises ApiError 401 ``wrong-credentials``."""
    with db.read() as session:
        user = session.exec(select(User).where(User.key == request.name.lower())).one_or_none()
    stored = user.password_hash if user else None
    valid, renewed = passwords.verify(request.password, stored)
    if user is None or not valid:
        raise ApiError("wrong name or password", status=401, code="wrong-credentials")
    secret = f"opj_{secrets.token_urlsafe(32)}"
    expires_at = now + timedelta(seconds=request.expires_in_s)
    token = Token(
        sha256=sha256(secret),
        user_id=user.id,
        label=plain(request.label, 64),
        scopes=Scope.SUBMIT.value,
        created_at=now,
        expires_at=expires_at,
    )
    with db.write() as session:
        session.add(token)
        audit.record(session, now, user.name, Action.LOGGED_IN, detail=token.label)
        if renewed is not None:
            user.password_hash = renewed
            session.merge(user)
    return wire.Token(
        token=secret, user=user.name, scopes=(Scope.SUBMIT.value,), expires_at=expires_at
    )


# Columns, not rows, and put together once: every request asks.
_HOLDER = (
    select(  # type: ignore[call-overload]
        col(Token.id).label("token_id"), Token.expires_at, Token.scopes,
        col(User.id).label("user_id"), User.name, User.created_at,
    )
    .join(User, col(User.id) == Token.user_id)
    .where(Token.sha256 == bindparam("hash"))
)  # fmt: skip


def authenticate(db: Database, secret: str, now: datetime) -> Principal:
    """Whom a token speaks for. Raises ApiError 401 ``invalid-token`` or ``expired-token``."""
    with db.reading() as connection:
        row = connection.execute(_HOLDER, {"hash": sha256(secret)}).one_or_none()
    if row is None:
        raise ApiError(
            "the token is not valid (any more): log in again", status=401, code="invalid-token"
        )
    if row.expires_at is not None and row.expires_at <= now:
        raise ApiError(
            f"the token expired at {row.expires_at:%Y-%m-%d %H:%M} UTC: log in again",
            status=401,
            code="expired-token",
        )
    return Principal(
        row.user_id, row.name, row.created_at, frozenset(row.scopes.split()), row.token_id
    )


def revoke(db: Database, principal: Principal, now: datetime) -> None:
    """Make the token worthless that somebody came with."""
    with db.write() as session:
        session.exec(delete(Token).where(col(Token.id) == principal.token_id))
        audit.record(session, now, principal.name, Action.LOGGED_OUT)


def set_password(
    db: Database, passwords: Passwords, credentials: wire.Credentials, operator: str, now: datetime
) -> int:
    """Give somebody another password, and end every token that the old one has brought.

    Returns:
        How many tokens those were.

    Raises UserError ``unknown-user``.
    """
    renewed = passwords.hash(credentials.password)
    with db.write() as session:
        user = session.exec(
            select(User).where(
                User.key == credentials.name.lower(), col(User.password_hash).is_not(None)
            )
        ).one_or_none()
        if user is None:
            raise UserError(
                f"nobody here is called {credentials.name!r}; `opjudge admin audit` lists who "
                "registered and logged in",
                code="unknown-user",
            )
        user.password_hash = renewed
        session.add(user)
        ended = session.exec(select(Token.id).where(Token.user_id == user.id)).all()
        session.exec(delete(Token).where(col(Token.user_id) == user.id))
        detail = f"{len(ended)} tokens ended"
        audit.record(session, now, operator, Action.PASSWORD_SET, user.name, detail)
    return len(ended)


def admit_worker(db: Database, secret: str, now: datetime) -> None:
    """Let workers in with this token, and with no earlier bootstrap token."""
    with db.write() as session:
        user = session.exec(select(User).where(User.key == WORKER_NAME)).one_or_none()
        if user is None:
            user = User(name=WORKER_NAME, key=WORKER_NAME, created_at=now)
            session.add(user)
            session.flush()
        known = select(Token).where(Token.user_id == user.id, Token.label == _BOOTSTRAP)
        if [token.sha256 for token in session.exec(known)] == [sha256(secret)]:
            return
        audit.record(session, now, WORKER_NAME, Action.WORKER_ADMITTED, detail=_BOOTSTRAP)
        session.exec(
            delete(Token).where(col(Token.user_id) == user.id, col(Token.label) == _BOOTSTRAP)
        )
        session.add(
            Token(
                sha256=sha256(secret),
                user_id=user.id,
                label=_BOOTSTRAP,
                scopes=Scope.WORKER.value,
                created_at=now,
            )
        )
