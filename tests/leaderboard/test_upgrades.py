"""Databases of every schema there ever was, with people's work in them, brought up to date."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from leaderboard.db import alembic_config
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.test_backup import furnish
from tests.leaderboard.test_boards import recomputed, shown


def revisions() -> list[str]:
    """From the first one to that before the present one."""
    with sa.create_engine("sqlite://").connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    return [script.revision for script in scripts.walk_revisions()][:0:-1]


@pytest.mark.parametrize("revision", revisions())
def test_nothing_is_lost_on_the_way_up(
    make_world: MakeWorld, empty_database_url: str, revision: str
) -> None:
    world = make_world(database_url=empty_database_url)
    furnish(world)
    board, listed = shown(world, 200), world.get("/submissions").json()
    with world.services.db.writing() as connection:
        command.downgrade(alembic_config(connection), revision)
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        assert found == revision

    upgraded = make_world(database_url=empty_database_url)

    assert shown(upgraded, 200) == board == recomputed(upgraded)
    assert upgraded.get("/submissions").json() == listed
    pending = upgraded.claim()
    assert upgraded.finish(pending).status_code == 200
    assert upgraded.person("carol")


def test_the_first_schema_is_among_them() -> None:
    assert revisions()[:3] == ["0001", "0002", "0003"]
