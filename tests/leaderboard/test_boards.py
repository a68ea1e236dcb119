"""The kept boards: always equal to what the judgements say, read a page at a time."""

import random
import threading
from collections.abc import Callable
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import col, select, update

from judge import wire
from judge.verdict import Verdict
from leaderboard import boards
from leaderboard.models import Board, Standing
from leaderboard.reconciler import end_leases
from tests.fixtures import write_package
from tests.leaderboard import plainly
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import API, PROBLEM, Person, World, assert_problem


def shown(world: World, limit: int) -> list[plainly.Line]:
    """The whole board, a page at a time."""
    lines: list[plainly.Line] = []
    after: str | None = None
    while True:
        query = {"limit": str(limit)} | ({"after": after} if after else {})
        response = world.client.get(f"{API}/standings/{PROBLEM}/cpu", params=query)
        assert response.status_code == 200, response.text
        page = wire.Standings.model_validate_json(response.content)
        assert sum(entry.kind == "user" for entry in page.entries) <= limit
        lines += [
            (e.rank, e.name, e.submission_id, e.score.value, e.attempts) for e in page.entries
        ]
        after = page.next
        if after is None:
            return lines


def recomputed(world: World) -> list[plainly.Line]:
    version = world.package.problem.version
    with world.services.db.read() as session:
        return plainly.board(session, PROBLEM, "cpu", version)


def rows(world: World) -> list[dict[str, object]]:
    with world.services.db.read() as session:
        found = session.exec(select(Standing).order_by(col(Standing.user_id))).all()
        return [row.model_dump() for row in found]


def head(world: World) -> Board:
    with world.services.db.read() as session:
        return session.exec(select(Board).where(Board.problem == PROBLEM)).one()


def interval(value: float, spread: float) -> wire.Interval:
    return wire.Interval(value=value, low=value * (1 - spread), high=value * (1 + spread))


def act(world: World, people: list[Person], rng: random.Random) -> None:
    """Something that may or may not change the board."""
    world.clock.advance(rng.choice([0, 1, 5]))
    submission = world.submit(rng.choice(people), mode=rng.choice(["ranked", "ranked", "test"]))
    kind = rng.choice(["accept", "accept", "accept", "refuse", "fail", "cancel", "silence"])
    if kind == "cancel":
        world.client.post(f"{API}/submissions/{submission}/cancel", headers=people[0].headers)
        return
    claim = world.claim()
    if kind == "accept":
        value = rng.choice([0.5, 0.99, 1.0, 1.01, 1.5, 1.52, 2.0, rng.uniform(0.2, 4.0)])
        score = interval(value, rng.choice([0.0, 0.001, 0.05]))
        artifact = rng.choice(["same", submission.hex])
        world.finish(claim, score=score, artifact_hash=artifact)
    elif kind == "refuse":
        world.finish(claim, verdict=Verdict.WA)
    elif kind == "fail":
        world.finish(claim, verdict=Verdict.JE)
    else:
        boards_before = head(world).revision
        world.clock.advance(1000)
        end_leases(world.services, world.clock.now)
        assert head(world).revision >= boards_before


@pytest.mark.parametrize("seed", range(4))
def test_the_kept_board_is_what_the_judgements_say(world: World, seed: int) -> None:
    rng = random.Random(seed)
    people = [world.person(f"person{i}") for i in range(6)]

    for _ in range(40):
        act(world, people, rng)
        assert shown(world, 200) == recomputed(world)

    kept = rows(world)
    assert kept, "nobody got onto the board: this test shows nothing"
    for limit in (1, 2, 3):
        assert shown(world, limit) == recomputed(world)
    before = head(world)
    places = boards.rebuild_all(world.services.db, world.services.catalog, world.clock.now)
    assert places == [], "made anew, the board is the same"
    assert rows(world) == kept
    assert head(world) == before


def test_a_damaged_board_is_made_anew(world: World) -> None:
    for name, value in (("alice", 2.0), ("bob", 3.0)):
        world.judge(world.person(name), value)
    good = rows(world)
    with world.services.db.write() as session:
        session.exec(update(Standing).values(score=9.0, score_high=9.0))
        session.exec(update(Board).values(solvers=7))
    assert shown(world, 200) != recomputed(world), "the damage shows"

    changed = boards.rebuild_all(world.services.db, world.services.catalog, world.clock.now)

    assert changed == [(PROBLEM, "cpu")]
    assert rows(world) == good
    assert shown(world, 200) == recomputed(world)
    assert head(world).solvers == 2


def test_two_results_of_one_person_at_once_are_both_counted(world: World) -> None:
    alice = world.person("alice")
    claims = []
    for _ in range(8):
        world.submit(alice)
        claims.append(world.claim())
    start = threading.Barrier(len(claims))

    def finish(claim: wire.Claim, value: float) -> None:
        start.wait()
        score = interval(value, 0.001)
        response = world.finish(claim, score=score, artifact_hash=claim.submission_id.hex)
        assert response.status_code == 200, response.text

    threads = [
        threading.Thread(target=finish, args=(claim, 1.0 + i)) for i, claim in enumerate(claims)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert shown(world, 200) == recomputed(world)
    assert world.board().entries[0].attempts == len(claims)


def test_a_board_of_a_new_version_is_made_at_the_start(
    problems_dir: Path, make_world: MakeWorld
) -> None:
    world = make_world()
    world.judge(world.person("alice"), 2.0)
    first = head(world)

    write_package(problems_dir / PROBLEM, ("1.0.0", "2.0.0"))
    second = make_world()

    assert (head(second).version, head(second).solvers) == ("2.0.0", 0)
    assert head(second).revision > first.revision
    assert rows(second) == []


def test_only_a_change_makes_a_revision(world: World) -> None:
    alice = world.person("alice")
    revisions = [head(world).revision]
    for mode, verdict in (("test", Verdict.AC), ("ranked", Verdict.WA), ("ranked", Verdict.AC)):
        world.submit(alice, mode=mode)
        world.finish(world.claim(), verdict=verdict)
        revisions.append(head(world).revision)

    assert [b - a for a, b in pairwise(revisions)] == [0, 0, 1]


def test_the_reader_who_has_it_is_not_sent_it_again(world: World) -> None:
    path = f"{API}/standings/{PROBLEM}/cpu"
    first = world.client.get(path)
    tag = first.headers["etag"]

    again = world.client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag

    world.judge(world.person("alice"), 2.0)
    changed = world.client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert "alice" in changed.text


@pytest.mark.parametrize(
    "cursor",
    ["x", "1", "1_2_3", "1_1e999_3_4x", "1_1.0.0_3_4", "-1_1.0_3_4", "1_nan_3_4", "9" * 70],
)
def test_a_cursor_of_ones_own_making_is_refused(world: World, cursor: str) -> None:
    response = world.get(f"/standings/{PROBLEM}/cpu", after=cursor)

    document = assert_problem(response, 422, "bad-cursor")
    assert "leave it out" in document.detail


def test_a_page_is_not_kept_beyond_a_change(world: World) -> None:
    names = (f"person{i}" for i in count())
    for value in (2.0, 3.0, 4.0):
        world.judge(world.person(next(names)), value)
        assert shown(world, 2) == recomputed(world)


def statements(world: World, act: Callable[[], object]) -> list[tuple[str, Any]]:
    """What a use case asks the database."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    engine = world.services.db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return seen


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_a_visitor_asks_for_reads_the_whole_history(world: World) -> None:
    """As SQLite explains it; PostgreSQL plans by statistics, and reads small tables whole."""
    alice = world.person("alice")
    judged, waiting = world.judge(alice, 2.0), world.submit(alice)
    of_alice, here = {"user": "alice"}, {"problem": PROBLEM}
    looks: list[Callable[[], object]] = [
        lambda: world.board(),
        lambda: world.client.get("/"),
        lambda: world.detail(judged),
        lambda: world.detail(waiting),
        lambda: world.submit(alice),
        lambda: world.post_claim(),
        lambda: end_leases(world.services, world.clock.now),
        *(
            partial(world.get, "/submissions", None, **query)
            for query in ({}, of_alice, here, of_alice | here, {"before": 9})
        ),
    ]

    asked = [line for look in looks for line in statements(world, look)]

    assert len(asked) > 30
    with world.services.db.engine.connect() as connection:
        for statement, parameters in asked:
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = [str(line[-1]) for line in explained]
            assert not any(_reads_all(step, statement) for step in plan), (statement, plan)


def _reads_all(step: str, statement: str) -> bool:
    if step == "USE TEMP B-TREE FOR ORDER BY":
        return True
    for table in ("submission", "judgement", "standing", "run", "user_account"):
        if step == f"SCAN {table}":
            # From its newest row on, and no further than a page.
            return not (table == "submission" and "LIMIT" in statement)
    return False
