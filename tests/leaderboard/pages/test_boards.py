"""Boards: who is where, what ties, and what comes in live."""

import pytest

from leaderboard import scoreboard
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

    [box] = document.all("div", id="live")
    assert (box["data-live"], box["data-fragment"]) == (f"{BOARD}/live", f"{BOARD}/table")
    assert document.all("meta", **{"http-equiv": "refresh"})


def test_the_table_alone_is_what_the_page_shows(
    world: World, visitor: Browser, alice: Person
) -> None:
    world.judge(alice, 2.0)

    response = visitor.get(f"{BOARD}/table")

    document = Document(response.text)
    assert_harmless(document)
    assert rows(document) == rows(visitor.page(BOARD))
    assert not document.all("html")


def test_the_table_is_sent_again_only_when_it_changed(
    world: World, visitor: Browser, alice: Person
) -> None:
    world.judge(alice, 2.0)
    tag = visitor.get(f"{BOARD}/table").headers["etag"]
    conditional = {"If-None-Match": tag, "Accept": "text/html"}

    same = visitor.client.get(f"{BOARD}/table", headers=conditional)
    assert (same.status_code, same.text) == (304, "")

    world.judge(alice, 3.0)
    changed = visitor.client.get(f"{BOARD}/table", headers=conditional)
    assert changed.status_code == 200
    assert "3.000×" in changed.text


def test_everybody_has_their_own_row_marked_in_the_table_alone(
    world: World, alice: Person, visitor: Browser, logged_in: LogIn
) -> None:
    world.judge(alice, 2.0)
    own = logged_in(alice).get(f"{BOARD}/table").text
    nobodys = visitor.get(f"{BOARD}/table").text

    assert [text.count(" mine") for text in (own, nobodys)] == [1, 0]


def test_a_long_board_goes_on_on_the_next_page(
    world: World, visitor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoreboard.standings, "__defaults__", (None, 2))
    for i in range(5):
        world.judge(world.person(f"person{i}"), 2.0 + i)

    names, address = [], BOARD
    for _ in range(3):
        document = visitor.page(address)
        names += [row.split()[1] for row in rows(document)]
        following = document.all("a", rel="next")
        address = following[0]["href"] if following else ""

    assert names == ["person4", "person3", "person2", "person1", "person0", "baseline"]
    assert address == ""
    assert BOARD in document.links(), "back to the top"


def test_the_board_is_the_apis_board(world: World, visitor: Browser, alice: Person) -> None:
    world.judge(alice, 1.25, spread=0.05)

    entries = world.board().entries
    shown = rows(visitor.page(BOARD))

    assert [entry.name for entry in entries] == [row.split()[1] for row in shown]
