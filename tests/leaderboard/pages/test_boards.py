"""Boards: who is where, what ties, and what comes in live."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fastapi.sse import ServerSentEvent
from starlette.requests import Request

from leaderboard.events import EventHub, board_topic
from leaderboard.pages import boards
from leaderboard.pages.views import page_of
from tests.leaderboard.pages.browser import Browser, Document, assert_harmless
from tests.leaderboard.pages.conftest import LogIn
from tests.leaderboard.world import PROBLEM, Person, World

BOARD = f"/boards/{PROBLEM}/cpu"


def rows(document: Document) -> list[str]:
    return [row.replace("\xa0", " ") for row in document.text_in("tr")[1:]]


def test_an_empty_board_invites(visitor: Browser) -> None:
    document = visitor.page(BOARD)

    assert rows(document) == ["– baseline 1.000× –", "Nobody yet. Submit"]
    assert f"/problems/{PROBLEM}/submit" in document.links()


def test_the_board_shows_what_counts(world: World, visitor: Browser, alice: Person) -> None:
    best = world.judge(alice, 3.0, spread=0.1)
    world.clock.advance(61)
    world.judge(alice, 2.0)
    world.judge(world.person("bob"), 0.5, spread=0.01)

    document = visitor.page(BOARD)

    assert rows(document) == [
        "1 alice 3.000× [2.900, 3.100] 2.00 ms Python 2 2026-11-22 12:00:00",
        "– baseline 1.000× 4.00 ms",
        "2 bob 0.500× [0.490, 0.510] 2.00 ms Python 1 2026-11-22 12:01:01",
    ]
    assert f"/submissions/{best}" in document.links()
    assert f"/submissions?user=alice&problem={PROBLEM}" in document.links()
    assert "As of 2026-11-22 12:01:01 UTC" in document.text


def test_ties_are_visible_and_explained(world: World, visitor: Browser, alice: Person) -> None:
    world.judge(alice, 2.0, spread=0.05)
    world.judge(world.person("bob"), 2.04, spread=0.05)
    world.judge(world.person("carol"), 1.5, spread=0.01)

    document = visitor.page(BOARD)

    ranks = [row.split()[:2] for row in rows(document)]
    assert ranks == [["1=", "alice"], ["1=", "bob"], ["3", "carol"], ["–", "baseline"]]
    assert document.all("span", **{"class": "tie"})[0]["title"] == (
        "shared rank: within measuring noise"
    )
    assert "less than 2 % apart" in document.text.replace("\xa0", " ")


def test_the_baseline_is_set_apart(world: World, visitor: Browser, alice: Person) -> None:
    world.judge(alice, 2.0)

    [baseline] = visitor.page(BOARD).text_in("tr", **{"class": "baseline"})

    assert baseline.startswith("– baseline")


def test_every_row_has_a_bar_to_one_scale(world: World, visitor: Browser, alice: Person) -> None:
    world.judge(alice, 2.0, spread=0.1)

    document = visitor.page(BOARD)

    lengths = [float(bar["width"]) for bar in document.all("rect", **{"class": "bar-value"})]
    ones = {bar["x1"] for bar in document.all("line", **{"class": "bar-one"})}
    assert len(lengths) == 2
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=0.02)
    assert len(ones) == 1


def test_ones_own_row_is_marked(world: World, alice: Person, logged_in: LogIn) -> None:
    world.judge(alice, 2.0)
    world.judge(world.person("bob"), 3.0)

    document = logged_in(alice).page(BOARD)

    marked = [a for t, a in document.elements if t == "tr" and "mine" in a.get("class", "").split()]
    assert len(marked) == 1


def test_boards_that_do_not_exist(visitor: Browser) -> None:
    for path in ("/boards/nothing/cpu", f"/boards/{PROBLEM}/gpu", f"/boards/{PROBLEM}/gpu/live"):
        visitor.page(path, 404)


def test_the_board_follows_live_or_by_refresh(visitor: Browser) -> None:
    document = visitor.page(BOARD)

    assert document.all("div", id="live")[0]["data-live"] == f"{BOARD}/live"
    assert document.all("meta", **{"http-equiv": "refresh"})


def test_the_stream_brings_the_table_again_when_it_changes(world: World, alice: Person) -> None:
    world.judge(alice, 2.0)
    first, second = asyncio.run(first_two(world, lambda: world.judge(alice, 3.0)))

    assert (first.event, second.event) == ("fragment", "fragment")
    for event, score in ((first, "2.000×"), (second, "3.000×")):
        document = Document(event.raw_data or "")
        assert_harmless(document)
        assert document.text.count(score) == 1
        assert not document.all("html")


def test_whoever_follows_a_board_has_their_row_marked_by_the_script(
    alice: Person, visitor: Browser, logged_in: LogIn
) -> None:
    # The stream is drawn once for everybody.
    [own] = logged_in(alice).page(BOARD).all("div", id="live")
    [nobodys] = visitor.page(BOARD).all("div", id="live")

    assert own["data-visitor"] == "alice"
    assert "data-visitor" not in nobodys


async def first_two(world: World, change: Any) -> tuple[ServerSentEvent, ServerSentEvent]:
    """The first event of the board's stream, and the one after a change."""
    services = world.services
    hub = EventHub(refresh_s=60.0)
    hub.open()
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [],
             "server": ("testserver", 80), "app": world.client.app}  # fmt: skip
    # A hub in this event loop; everything else as it is.
    page = page_of(Request(scope), _with_hub(services, hub), None)
    stream = boards.live(page, (PROBLEM, "cpu"))
    first = await anext(stream)
    await asyncio.to_thread(change)
    hub.publish(board_topic(PROBLEM, "cpu"))
    return first, await asyncio.wait_for(anext(stream), 20)


def _with_hub(services: Any, hub: EventHub) -> Any:
    return replace(services, hub=hub)


def test_the_board_is_the_apis_board(world: World, visitor: Browser, alice: Person) -> None:
    world.judge(alice, 1.25, spread=0.05)

    entries = world.board().entries
    shown = rows(visitor.page(BOARD))

    assert [entry.name for entry in entries] == [row.split()[1] for row in shown]
