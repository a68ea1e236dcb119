"""Boards."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from judge import wire
from leaderboard import scoreboard
from leaderboard.auth import LastEventId, ServicesDep
from leaderboard.scoreboard import MOST, PAGE
from leaderboard.streams import EventStream

router = APIRouter(prefix="/standings", tags=["standings"])

_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "nothing changed"}}


@router.get("/{problem}/{device}", response_model=wire.Standings, responses=_UNCHANGED)
def show(
    services: ServicesDep,
    problem: str,
    device: str,
    after: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = PAGE,
    if_none_match: Annotated[str | None, Header(max_length=256)] = None,
) -> Response:
    """The board of a problem on a device class; pass `next` as `after` for the following page."""
    revision = scoreboard.revision(services, problem, device)
    tag = f'"{revision}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    board = scoreboard.written(services, problem, device, revision, after, limit)
    return Response(board, media_type="application/json", headers=headers)


async def _existing(services: ServicesDep, problem: str, device: str) -> tuple[str, str]:
    services.catalog.board(problem, device)
    return problem, device


@router.get("/{problem}/{device}/events", status_code=200, response_class=EventStream)
async def events(
    services: ServicesDep,
    board: Annotated[tuple[str, str], Depends(_existing)],
    last_event_id: LastEventId = None,
) -> EventStream:
    """The news that the board changed, with its revision; fetch from it what you show."""
    return scoreboard.news(services, *board, last_event_id)
