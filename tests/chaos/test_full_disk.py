"""A disk without room: clear refusals, and with room again all goes on as if nothing was."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import event

from judge.verdict import Status, Verdict
from tests.chaos.invariants import broken_promises
from tests.leaderboard.world import World, assert_problem


@pytest.fixture
def database_url(folder: Path, sqlite_template: Path) -> str:
    """SQLite, which can be told how large its file may grow."""
    shutil.copy(sqlite_template, folder / "test.db")
    return f"sqlite:///{folder / 'test.db'}"


@contextmanager
def no_room(world: World) -> Iterator[None]:
    """The database cannot grow: what SQLite says then is what it says of a full disk."""
    engine = world.services.db.engine

    def limit(connection: object, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1").close()  # type: ignore[attr-defined]

    engine.dispose()
    event.listen(engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(engine, "connect", limit)
        engine.dispose()


def test_nothing_is_accepted_that_cannot_be_kept(world: World) -> None:
    alice, id = world.person("alice"), str(uuid4())
    content = b"def solve(x, y, eps):\n    y[:] = x\n" + b"# full\n" * 20_000

    with no_room(world):
        refused = world.post_submission(alice, content, id=id)
        assert_problem(refused, 503, "database-unavailable")
        assert world.get("/submissions").json()["items"] == [], "reading goes on"

    assert world.post_submission(alice, content, id=id).status_code == 201
    assert broken_promises(world.services.settings.database) == {}


def test_a_result_that_cannot_be_kept_is_welcome_later(world: World) -> None:
    submission = world.submit(world.person("alice"))
    claim = world.claim()

    with no_room(world):
        assert_problem(world.finish(claim, log="x" * 500_000), 503, "database-unavailable")
        assert world.detail(submission).status is Status.BUILDING

    assert world.finish(claim, log="x" * 500_000).status_code == 200
    assert world.detail(submission).verdict is Verdict.AC
    assert broken_promises(world.services.settings.database) == {}
