"""The boards as they are kept: one row per person, brought up to date with every judgement.

The rows are derived from the current judgements by the rule in `leaderboard.standings`, in the same
transaction that stores a judgement, and can be made anew from nothing at any time. So a reader pays
for the page it looks at, not for the history behind it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from judge import wire
from judge.verdict import Mode, Verdict
from leaderboard.catalog import Catalog
from leaderboard.db import Database
from leaderboard.models import (
    JUDGED_VERSION,
    Board,
    Judgement,
    ProblemVersion,
    Standing,
    State,
    Submission,
    User,
)
from leaderboard.standings import Candidate, Entry, best

_CHUNK = 200


def refresh(session: Session, submission_id: UUID) -> bool:
    """Bring the row of a submission's author up to date. Whether the board changed."""
    problem, device, user_id = session.exec(
        select(Submission.problem, Submission.device, Submission.user_id).where(
            Submission.id == submission_id
        )
    ).one()
    board = _locked(session, problem, device)
    if board is None:
        return False
    found = (candidate for _, candidate in candidates(session, problem, device, user_id))
    entry = best(found, board.version)
    known = session.get(Standing, (problem, device, user_id))
    wanted = _row(board, user_id, entry) if entry else None
    if _values(known) == _values(wanted):
        return False
    judged_before = known.judged_at if known else None
    board.solvers += (wanted is not None) - (known is not None)
    board.revision += 1
    if wanted is not None:
        session.merge(wanted)
    elif known is not None:
        session.delete(known)
    session.flush()
    board.updated_at = _updated_at(session, board, judged_before, wanted)
    return True


def rebuild(session: Session, problem: str, device: str, version: str, now: datetime) -> bool:
    """Make a board anew from the judgements. Whether anything about it was different.

    Args:
        version: of the problem whose scores are on it.
    """
    board = _locked(session, problem, device)
    if board is None:
        # From the clock, so that no revision of a board that was there before comes again.
        revision = int(now.timestamp() * 1000)
        board = Board(problem=problem, device=device, version=version, revision=revision)
        session.add(board)
        session.flush()
    known = {row.user_id: row for row in session.exec(_rows_of(board))}
    before = {user_id: _values(row) for user_id, row in known.items()}
    rows = {row.user_id: row for row in _all_rows(session, board, version)}
    for user_id in known.keys() - rows.keys():
        session.delete(known[user_id])
    for user_id, row in rows.items():
        if user_id not in known:
            session.add(row)
        elif before[user_id] != _values(row):
            session.merge(row)
    updated_at = max((row.judged_at for row in rows.values()), default=None)
    after = (version, len(rows), updated_at, {user_id: _values(r) for user_id, r in rows.items()})
    if (board.version, board.solvers, board.updated_at, before) == after:
        return False
    board.version, board.solvers, board.updated_at = version, len(rows), updated_at
    board.revision += 1
    return True


def rebuild_all(
    db: Database, catalog: Catalog, now: datetime, *, outdated_only: bool = False
) -> list[tuple[str, str]]:
    """Make the boards of all problems on offer anew, each in a transaction of its own.

    Args:
        outdated_only: leave out those that are kept for the version on offer already.

    Returns:
        Problem and device of those that were different.
    """
    with db.read() as session:
        known = {(b.problem, b.device): b.version for b in session.exec(select(Board))}
    changed = []
    for place, version in catalog.boards().items():
        if outdated_only and known.get(place) == version:
            continue
        with db.write() as session:
            if rebuild(session, *place, version, now):
                changed.append(place)
    return changed


def entries(
    session: Session,
    problem: str,
    device: str,
    leader: tuple[float, int] | None = None,
    chunk_rows: int = _CHUNK,
) -> Iterator[Entry]:
    """The rows of a board, best first, read a few at a time.

    Args:
        leader: score and number of the first one wanted; without it, from the top.
        chunk_rows: how many are read at a time.
    """
    score, number = col(Standing.score), col(Standing.number)
    query = (
        # Columns, not rows: a row takes five times as long to make.
        select(*_SHOWN)  # type: ignore[call-overload]
        .join(User, col(User.id) == Standing.user_id)
        .where(Standing.problem == problem, Standing.device == device)
        .order_by(score.desc(), number)
        .limit(chunk_rows)
    )
    place = leader and (score <= leader[0]) & ((score < leader[0]) | (number >= leader[1]))
    while True:
        chunk = session.exec(query if place is None else query.where(place)).all()
        yield from map(_entry, chunk)
        if len(chunk) < chunk_rows:
            return
        last = chunk[-1]
        place = (score <= last.score) & ((score < last.score) | (number > last.number))


def candidates(
    session: Session, problem: str, device: str, user_id: int | None = None
) -> Iterator[tuple[int, Candidate]]:
    """The one query: every current judgement of a board, person by person.

    It leaves out only what is not judged yet, and what no person handed in.
    """
    values: dict[str, object] = {"problem": problem, "device": device}
    query = _OF_ALL
    if user_id is not None:
        query, values["user_id"] = _OF_ONE, user_id
    for row in session.exec(query, params=values):
        yield row.user_id, _candidate(row)


_COLUMNS = (
    Submission.id,
    Submission.number,
    Submission.user_id,
    User.name,
    Submission.mode,
    Submission.language,
    Submission.source_hash,
    Submission.submitted_at,
    Judgement.verdict,
    Judgement.score,
    Judgement.score_low,
    Judgement.score_high,
    Judgement.latency_ns,
    Judgement.baseline_ns,
    Judgement.artifact_hash,
    Judgement.ended_at,
    ProblemVersion.version,
)
_OF_ALL = (
    # Columns, not rows: there may be hundreds of thousands, and most of a row is its result.
    select(*_COLUMNS)  # type: ignore[call-overload]
    .join(User, col(User.id) == Submission.user_id)
    .join(Judgement, col(Judgement.submission_id) == Submission.id)
    # Every judgement has its version. An outer join, for PostgreSQL would begin with an inner one,
    # and read all judgements there are for each board: seconds at a million.
    .join(ProblemVersion, JUDGED_VERSION, isouter=True)
    .where(
        Submission.problem == bindparam("problem"),
        Submission.device == bindparam("device"),
        col(Judgement.is_current),
        Judgement.state == State.JUDGED,
        ~col(User.internal),
    )
    .order_by(col(Submission.user_id))
    .execution_options(yield_per=1000)
)
# Of every result that comes in, so it is put together once.
_OF_ONE = _OF_ALL.where(Submission.user_id == bindparam("user_id"))


def _candidate(row: Any) -> Candidate:
    known = None not in (row.score, row.score_low, row.score_high)
    return Candidate(
        submission_id=row.id,
        number=row.number,
        user=row.name,
        mode=Mode(row.mode),
        language=row.language,
        verdict=Verdict(row.verdict) if row.verdict else None,
        version=row.version,
        artifact=row.artifact_hash or row.source_hash,
        score=_interval(row) if known else None,
        latency_ns=row.latency_ns,
        baseline_ns=row.baseline_ns,
        submitted_at=row.submitted_at,
        judged_at=row.ended_at,
    )


def _locked(session: Session, problem: str, device: str) -> Board | None:
    # Two results of one person at the same moment: the second must see what the first did.
    board = select(Board).where(Board.problem == problem, Board.device == device)
    return session.exec(board.with_for_update()).one_or_none()


def _all_rows(session: Session, board: Board, version: str) -> Iterable[Standing]:
    found = candidates(session, board.problem, board.device)
    for user_id, group in groupby(found, key=lambda pair: pair[0]):
        entry = best((candidate for _, candidate in group), version)
        if entry is not None:
            yield _row(board, user_id, entry)


def _row(board: Board, user_id: int, entry: Entry) -> Standing:
    assert entry.judged_at is not None  # noqa: S101 - whatever is judged has ended
    return Standing(
        problem=board.problem,
        device=board.device,
        user_id=user_id,
        submission_id=entry.submission_id,
        number=entry.number,
        language=entry.language,
        score=entry.score.value,
        score_low=entry.score.low,
        score_high=entry.score.high,
        latency_ns=entry.latency_ns,
        baseline_ns=entry.baseline_ns,
        attempts=entry.attempts,
        pooled=entry.pooled,
        submitted_at=entry.submitted_at,
        judged_at=entry.judged_at,
    )


_SHOWN = (
    User.name,
    Standing.submission_id,
    Standing.number,
    Standing.language,
    Standing.score,
    Standing.score_low,
    Standing.score_high,
    Standing.latency_ns,
    Standing.baseline_ns,
    Standing.attempts,
    Standing.pooled,
    Standing.submitted_at,
    Standing.judged_at,
)


def _entry(row: Any) -> Entry:
    return Entry(
        user=row.name,
        submission_id=row.submission_id,
        number=row.number,
        language=row.language,
        score=_interval(row),
        latency_ns=row.latency_ns,
        baseline_ns=row.baseline_ns,
        attempts=row.attempts,
        pooled=row.pooled,
        submitted_at=row.submitted_at,
        judged_at=row.judged_at,
    )


def _interval(row: Any) -> wire.Interval:
    return wire.Interval(value=row.score, low=row.score_low, high=row.score_high)


def _values(row: Standing | None) -> dict[str, Any] | None:
    return row.model_dump() if row is not None else None


def _updated_at(
    session: Session, board: Board, judged_before: datetime | None, wanted: Standing | None
) -> datetime | None:
    newest = board.updated_at
    if wanted is not None and (newest is None or wanted.judged_at >= newest):
        return wanted.judged_at
    if judged_before != newest:
        return newest
    rows = _rows_of(board).order_by(col(Standing.judged_at).desc()).limit(1)
    row = session.exec(rows).one_or_none()
    return row.judged_at if row else None


def _rows_of(board: Board) -> SelectOfScalar[Standing]:
    return select(Standing).where(
        Standing.problem == board.problem, Standing.device == board.device
    )
