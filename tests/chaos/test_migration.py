"""The schema comes up from earlier ones with their data, and says so if it cannot."""

import pytest
from alembic import command
from sqlalchemy import text

from judge.errors import UserError
from leaderboard.db import alembic_config
from tests.chaos.invariants import broken_promises
from tests.chaos.test_invariants import furnish, url_of
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.test_boards import shown
from tests.leaderboard.world import World


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A database whose schema is nobody else's."""
    return empty_database_url


def go_back(world: World, revision: str) -> None:
    with world.services.db.writing() as connection:
        command.downgrade(alembic_config(connection), revision)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005", "0006", "0007"])
def test_up_from_an_earlier_schema_with_data(
    world: World, make_world: MakeWorld, revision: str
) -> None:
    furnish(world)
    before = shown(world, 200)
    items = world.get("/submissions").json()["items"]
    go_back(world, revision)

    again = make_world(database_url=url_of(world))

    assert broken_promises(url_of(again)) == {}
    assert again.get("/submissions").json()["items"] == items
    assert shown(again, 200) == before
    again.finish(again.claim())
    assert broken_promises(url_of(again)) == {}


def test_rows_that_break_a_rule_are_named_and_nothing_is_changed(world: World) -> None:
    furnish(world)
    go_back(world, "0007")
    with world.services.db.engine.begin() as connection:
        connection.execute(text("UPDATE judgement SET result = NULL WHERE verdict = 'WA'"))

    with pytest.raises(UserError, match=r"result_when_judged.*attempt 1") as caught:
        world.services.db.migrate()

    assert caught.value.code == "broken-judgements"
    with world.services.db.engine.connect() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version"))
        assert version.scalar_one() == "0007"
