"""Boards at a glance, for the problem list."""

from dataclasses import dataclass

from sqlmodel import col, func, select

from leaderboard.models import Board, Standing, User
from leaderboard.services import Services


@dataclass(frozen=True, slots=True)
class Glance:
    """What the problem list says of a board.

    Attributes:
        solvers: people with a rank.
        best, best_name: the highest speed-up, and whose it is.
    """

    device: str
    solvers: int = 0
    best: float | None = None
    best_name: str = ""


def glances(services: Services) -> dict[tuple[str, str], Glance]:
    """Every board by problem and device, in one query that does not look at their rows."""
    best = (
        select(func.max(Standing.score))
        .where(Standing.problem == Board.problem, Standing.device == Board.device)
        .correlate(Board)
        .scalar_subquery()
    )
    with services.db.read() as session:
        rows = session.exec(
            select(Board, Standing.score, func.min(User.name))
            .outerjoin(
                Standing,
                (col(Standing.problem) == Board.problem)
                & (col(Standing.device) == Board.device)
                & (col(Standing.score) == best),
            )
            .outerjoin(User, col(User.id) == Standing.user_id)
            .group_by(col(Board.problem), col(Board.device), col(Standing.score))
        ).all()
    return {
        (board.problem, board.device): Glance(board.device, board.solvers, score, name or "")
        for board, score, name in rows
    }
