"""The database: migrations, transactions, and many writers at once."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlmodel import SQLModel, select

from leaderboard.db import Database, alembic_config
from leaderboard.models import Problem
from tests.leaderboard.conftest import DATABASES


def make_problem(slug: str) -> Problem:
    return Problem(slug=slug, uuid="u", package_hash="h")


def test_both_databases_are_tested_here_or_it_is_said_so() -> None:
    assert "sqlite" in DATABASES


def test_migrations_and_models_agree(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    database.migrate()

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    database.close()


def test_the_schema_goes_all_the_way_back(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    database.migrate()
    with database.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    with database.engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.migrate()
    database.close()


def errors_of_three_at_once(url: str, act: Callable[[Database], None]) -> list[Exception]:
    databases = [Database(url) for _ in range(3)]
    errors: list[Exception] = []
    start = threading.Barrier(3)

    def go(database: Database) -> None:
        start.wait()
        try:
            act(database)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
            errors.append(error)

    threads = [threading.Thread(target=go, args=(d,)) for d in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    return errors


def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    assert errors_of_three_at_once(empty_database_url, Database.migrate) == []


def test_a_new_sqlite_file_is_made_by_one_of_many(tmp_path: Path) -> None:
    def write(database: Database) -> None:
        with database.writing() as connection:
            connection.execute(text("SELECT 1"))

    # Without turns about one file in seven was refused to somebody.
    for number in range(60):
        assert errors_of_three_at_once(f"sqlite:///{tmp_path}/{number}.db", write) == []


def test_a_block_that_raises_writes_nothing(database_url: str) -> None:
    database = Database(database_url)

    def write_and_fail() -> None:
        with database.write() as session:
            session.add(make_problem("p"))
            session.flush()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_and_fail()
    with database.read() as session:
        assert session.exec(select(Problem)).all() == []
    database.close()


def test_readers_see_no_half_written_state(database_url: str) -> None:
    database = Database(database_url)

    with database.write() as writing:
        writing.add(make_problem("p"))
        writing.flush()
        with database.read() as reading:
            assert reading.exec(select(Problem)).all() == []
    with database.read() as reading:
        assert len(reading.exec(select(Problem)).all()) == 1
    database.close()


def test_many_writers_take_turns(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as session:
        session.add(make_problem("p"))
    start = threading.Barrier(8)

    def count() -> None:
        start.wait()
        for _ in range(4):
            with database.write() as session:
                session.connection().execute(
                    text("UPDATE problem SET uuid = uuid || 'x' WHERE slug = 'p'")
                )

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as session:
        assert session.exec(select(Problem.uuid)).one() == "u" + 32 * "x"
    database.close()


def test_sqlite_is_set_up_to_lose_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'a.db'}")

    with database.engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.close()

    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10000,
    }


def test_a_reader_that_becomes_a_writer_is_not_refused(tmp_path: Path) -> None:
    """The trap that BEGIN IMMEDIATE avoids: a snapshot that is old by the time of the write."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    one, two = Database(url), Database(url)
    one.migrate()
    done = threading.Event()

    def other_process() -> None:
        with two.write() as session:
            session.add(make_problem("two"))
        done.set()

    with one.write() as session:
        assert session.exec(select(Problem)).all() == []
        thread = threading.Thread(target=other_process)
        thread.start()
        session.add(make_problem("one"))
        session.flush()
        assert not done.is_set()
    thread.join()

    with one.read() as session:
        assert len(session.exec(select(Problem)).all()) == 2
    one.close()
    two.close()
