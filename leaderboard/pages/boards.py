"""Boards, a page at a time, live."""

from collections import Counter
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from judge import wire
from judge.ranking import MARGIN
from leaderboard import canary, scoreboard
from leaderboard.auth import LastEventId
from leaderboard.pages.views import Page, PageDep
from leaderboard.scoreboard import standings
from leaderboard.streams import EventStream

router = APIRouter(prefix="/boards/{slug}/{device}")

After = Annotated[str | None, Query(max_length=80)]


async def _existing(page: PageDep, slug: str, device: str) -> tuple[str, str]:
    page.services.catalog.board(slug, device)
    return slug, device


BoardDep = Annotated[tuple[str, str], Depends(_existing)]


@router.get("")
def show(page: PageDep, board: BoardDep, after: After = None) -> Response:
    """Who is how fast."""
    problem = page.services.catalog.detail(board[0])
    found = standings(page.services, *board, after)
    return page.render(
        "board.html",
        problem=problem,
        margin=MARGIN,
        canary=canary.status(page.services, page.services.clock()),
        table=_table(page, found, after),
        board=found,
        first=after is None,
        live=_address(page, "/live", None),
        fragment=_address(page, "/table", after),
        older=_address(page, "", found.next) if found.next else None,
    )


@router.get("/table")
def table(
    page: PageDep,
    board: BoardDep,
    after: After = None,
    if_none_match: Annotated[str | None, Header(max_length=256)] = None,
) -> Response:
    """The table alone, for pages that were told that it changed."""
    found = standings(page.services, *board, after)
    name = _marked(page, found) or ""
    tag = f'"{found.revision}-{page.labels.language}-{name}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Cookie, Accept-Language"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(_table(page, found, after), headers=headers)


@router.get("/live", status_code=200, response_class=EventStream)
async def live(page: PageDep, board: BoardDep, last_event_id: LastEventId = None) -> EventStream:
    """The news that the table changed."""
    return scoreboard.news(page.services, *board, last_event_id)


def _table(page: Page, board: wire.Standings, after: str | None) -> Markup:
    """Drawn once for all who see the same of it, and kept until the board changes."""
    name = _marked(page, board)
    key = ("board", board.problem, board.device, after, page.labels.language, name)

    def draw() -> Markup:
        ranks = Counter(entry.rank for entry in board.entries if entry.rank is not None)
        shared = {rank for rank, count in ranks.items() if count > 1}
        html = page.fragment("_board.html", board=board, shared=shared, marked=name)
        return Markup(html)  # noqa: S704 - escaped by its template

    return page.views.kept.get(key, board.revision, draw)


def _marked(page: Page, board: wire.Standings) -> str | None:
    """Whose row is marked: the visitor's, if it is there at all."""
    name = page.visitor.name if page.visitor else None
    return name if any(entry.name == name for entry in board.entries) else None


def _address(page: Page, below: str, after: str | None) -> str:
    path = page.request.url.path + below
    return f"{path}?{urlencode({'after': after})}" if after else path
