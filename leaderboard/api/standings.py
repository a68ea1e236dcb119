"""Boards."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent

from judge import wire
from leaderboard.auth import ServicesDep
from leaderboard.events import board_topic
from leaderboard.standings import standings

router = APIRouter(prefix="/standings", tags=["standings"])


@router.get("/{problem}/{device}")
def show(services: ServicesDep, problem: str, device: str) -> wire.Standings:
    """The board of a problem on a device class."""
    return standings(services, problem, device)


def _existing(services: ServicesDep, problem: str, device: str) -> tuple[str, str]:
    services.catalog.board(problem, device)
    return problem, device


@router.get("/{problem}/{device}/events", response_class=EventSourceResponse)
async def events(
    services: ServicesDep, board: Annotated[tuple[str, str], Depends(_existing)]
) -> AsyncIterator[ServerSentEvent]:
    """The board, and again each time it changes."""
    states = services.hub.follow(board, (board_topic(*board),), lambda: standings(services, *board))
    async for state in states:
        yield ServerSentEvent(event="standings", data=state)
