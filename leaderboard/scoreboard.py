"""A page of a board, as API, pages and command line show it."""

import re
from collections.abc import Iterable, Iterator

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from judge import wire
from judge.errors import ApiError
from leaderboard import boards
from leaderboard.events import board_topic
from leaderboard.models import Board
from leaderboard.services import Services
from leaderboard.standings import UNIT, Placed, placed
from leaderboard.streams import EventStream, Message, message

BASELINE = "baseline"
PAGE = 100
MOST = 200

# What one process can answer comfortably: some 400 pages of boards a second.
_SPREAD_MS = 2.5
_LONGEST_SPREAD_MS = 15_000

# Rank of a group, score and number of its first, and how many of it were shown.
_CURSOR = re.compile(r"(\d{1,9})_(\d[\d.e+-]{0,30})_(\d{1,18})_(\d{1,9})")


def standings(
    services: Services, problem: str, device: str, after: str | None = None, limit: int = PAGE
) -> wire.Standings:
    """A page of the board of a problem on a device.

    Args:
        after: `next` of the page before it.
        limit: people on it, at most `MOST`.

    Raises ApiError 404, and 422 ``bad-cursor``.
    """
    key = (problem, device, after, limit)
    with services.db.read() as session:
        board = head(services, session, problem, device)
        return services.pages.get(key, board.revision, lambda: _cut(session, board, after, limit))


def written(
    services: Services,
    problem: str,
    device: str,
    revision: int,
    after: str | None = None,
    limit: int = PAGE,
) -> bytes:
    """The same page as JSON, written once for all who ask for it.

    Args:
        revision: at least which the page must be of.

    Raises ApiError 404, and 422 ``bad-cursor``.
    """

    def write() -> bytes:
        with services.db.read() as session:
            board = head(services, session, problem, device)
            return _cut(session, board, after, limit).model_dump_json().encode()

    return services.pages.get((problem, device, after, limit, "json"), revision, write)


# Put together once: every event on a board asks, and whoever has a board already.
_REVISION = select(col(Board.revision)).where(
    Board.problem == bindparam("problem"), Board.device == bindparam("device")
)


def revision(services: Services, problem: str, device: str) -> int:
    """What changes whenever the board does. Raises ApiError 404."""
    services.catalog.board(problem, device)
    with services.db.reading() as connection:
        values = {"problem": problem, "device": device}
        return int(connection.execute(_REVISION, values).scalar_one())


def news(services: Services, problem: str, device: str, last_id: str | None) -> EventStream:
    """A stream that tells when the board changed, and not what is on it: that may be large.

    Args:
        last_id: of the last message a returning reader had.
    """

    def look() -> Message:
        spread_ms = min(_LONGEST_SPREAD_MS, int(services.hub.followers * _SPREAD_MS))
        changed = wire.BoardChanged(
            revision=revision(services, problem, device), spread_ms=spread_ms
        )
        return message("changed", changed.model_dump_json(), id=str(changed.revision))

    key, topic = ("board", problem, device), board_topic(problem, device)
    return EventStream(services.hub, key, (topic,), look, last_id)


def head(services: Services, session: Session, problem: str, device: str) -> Board:
    """The board as a whole. Raises ApiError 404."""
    services.catalog.board(problem, device)
    board = session.get(Board, (problem, device))
    # Boards of all problems on offer are made before the first request.
    assert board is not None  # noqa: S101
    return board


def _cut(session: Session, board: Board, after: str | None, limit: int) -> wire.Standings:
    rank, leader, shown = _parse(after)
    found = placed(boards.entries(session, board.problem, board.device, leader), rank)
    rows: list[wire.StandingsEntry] = []
    last: Placed | None = None
    following: str | None = None
    people = 0
    for item in _unseen(found, shown):
        if item is None:
            rows.append(_baseline(session, board))
            continue
        if people == limit and last is not None:
            following = _cursor(last)
            break
        people += 1
        last = item
        rows.append(_person(item))
    return wire.Standings(
        problem=board.problem,
        device=board.device,
        score_unit=UNIT,
        updated_at=board.updated_at,
        revision=board.revision,
        solvers=board.solvers,
        entries=tuple(rows),
        next=following,
    )


def _unseen(items: Iterable[Placed | None], shown: int) -> Iterator[Placed | None]:
    """Without the first `shown` people, and without a baseline just below them."""
    people = 0
    for item in items:
        people += item is not None
        if people > shown or not shown:
            yield item


def _cursor(last: Placed) -> str:
    leader = last.leader
    return f"{last.rank}_{leader.score.value!r}_{leader.number}_{last.index + 1}"


def _parse(after: str | None) -> tuple[int, tuple[float, int] | None, int]:
    """Rank of the first group, where it begins, how many of it were shown."""
    if after is None:
        return 1, None, 0
    found = _CURSOR.fullmatch(after)
    try:
        if found is None:
            raise ValueError(after)
        return int(found[1]), (float(found[2]), int(found[3])), int(found[4])
    except ValueError:
        raise ApiError(
            "`after` must be the `next` of another page of this board; leave it out to begin at "
            "the top",
            status=422,
            code="bad-cursor",
        ) from None


def _person(item: Placed) -> wire.StandingsEntry:
    entry = item.entry
    return wire.StandingsEntry(
        rank=item.rank,
        name=entry.user,
        kind="user",
        submission_id=entry.submission_id,
        language=entry.language,
        score=entry.score,
        latency_ns=entry.latency_ns,
        attempts=entry.attempts,
        pooled=entry.pooled,
        submitted_at=entry.submitted_at,
    )


def _baseline(session: Session, board: Board) -> wire.StandingsEntry:
    # Measured anew with every submission; the one beside the best is shown.
    first = next(boards.entries(session, board.problem, board.device, chunk_rows=1), None)
    return wire.StandingsEntry(
        rank=None,
        name=BASELINE,
        kind="baseline",
        submission_id=None,
        language=None,
        score=wire.Interval(value=1.0, low=1.0, high=1.0),
        latency_ns=first.baseline_ns if first else None,
        attempts=0,
        submitted_at=None,
    )
