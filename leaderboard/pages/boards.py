"""Boards, live."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from judge import wire
from judge.ranking import MARGIN
from leaderboard.events import board_topic
from leaderboard.pages.views import PageDep
from leaderboard.standings import standings

router = APIRouter(prefix="/boards/{slug}/{device}")


def _existing(page: PageDep, slug: str, device: str) -> tuple[str, str]:
    # As a dependency, because a stream that has begun cannot answer 404 any more.
    page.services.catalog.board(slug, device)
    return slug, device


BoardDep = Annotated[tuple[str, str], Depends(_existing)]


@router.get("")
def show(page: PageDep, board: BoardDep) -> Response:
    """Who is how fast."""
    problem = page.services.catalog.detail(board[0])
    context = _context(standings(page.services, *board))
    return page.render("board.html", problem=problem, margin=MARGIN, **context)


@router.get("/live", response_class=EventSourceResponse)
async def live(page: PageDep, board: BoardDep) -> AsyncIterator[ServerSentEvent]:
    """The table, and again each time it changes."""
    # Drawn once for all who follow it in one language, so nobody's own row is marked in it;
    # the script does that.
    everybody = replace(page, visitor=None)

    def draw() -> str:
        context = _context(standings(page.services, *board))
        return everybody.fragment("_board.html", **context)

    key = ("board page", *board, page.labels.language)
    async for html in page.services.hub.follow(key, (board_topic(*board),), draw):
        yield ServerSentEvent(event="fragment", raw_data=html)


def _context(board: wire.Standings) -> dict[str, Any]:
    ranks = Counter(entry.rank for entry in board.entries if entry.rank is not None)
    return {"board": board, "shared": {rank for rank, count in ranks.items() if count > 1}}
