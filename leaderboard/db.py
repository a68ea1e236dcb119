"""The database: SQLite in WAL mode by default, PostgreSQL by URL."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

_WRITES = "opjudge_writes"
_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number, the same in every process: two web processes starting together migrate in turn.
_MIGRATION_LOCK = 7_020_226
_LEADER_LOCK = 7_020_227
_START_LOCK = 7_020_228


class Database:
    """Hands out short transactions.

    Args:
        url: SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(**{_WRITES: True})
        # SQLite lets one write at a time; the others would ask again and again with growing
        # pauses, each losing now and then to whoever came later. Here they wait in line.
        sqlite = self.engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[object] = threading.Lock() if sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of the database and changes nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end of the block, and rolls back if it raises.

        On SQLite it takes the write lock at once: one that read first and wrote later would be
        refused when another process wrote in between.
        """
        with (
            self._turn,
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Like `read`, for those who know tables and no models."""
        with self.engine.connect() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema up to date."""
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                connection.execute(lock, {"key": _MIGRATION_LOCK})
            command.upgrade(alembic_config(connection), "head")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process be in such a block at the same time."""
        if self.engine.dialect.name == "sqlite":
            with open(f"{self.engine.url.database}.start", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            return
        with self.engine.connect() as connection:
            # Held by the connection, not by a transaction: the block has many of those.
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _START_LOCK})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _START_LOCK})

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Like `write`, for those who know tables and no models."""
        with self._turn, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One state of the whole database, however long the block takes, while others write."""
        with self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def leading(self) -> Iterator[bool]:
        """Whether no other process leads while the block lasts; whoever dies leads no longer.

        On SQLite everybody leads: its processes are on one machine, and few.
        """
        if self.engine.dialect.name != "postgresql":
            yield True
            return
        with self.engine.begin() as connection:
            lock = text("SELECT pg_try_advisory_xact_lock(:key)")
            yield connection.execute(lock, {"key": _LEADER_LOCK}).scalar_one()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, built here so that no ini file has to be found at run time."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    # As many connections as the web server has threads, so that none waits for another's request.
    # The one used last comes first: what it has read of the database is still in its cache.
    pool: dict[str, Any] = {
        "pool_size": 10, "max_overflow": 40, "pool_timeout": 10, "pool_use_lifo": True,
    }  # fmt: skip
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, **pool)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, **pool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: SqliteConnection, _: ConnectionPoolEntry) -> None:
    # Transactions are begun by `_begin_sqlite`, never by the driver's own guess.
    connection.isolation_level = None
    for pragma in (
        "busy_timeout = 10000",
        "foreign_keys = ON",
        # A commit that was answered with 201 must survive a power cut.
        "synchronous = FULL",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    # Of two who give a new file its log at once SQLite refuses one, whatever its timeout.
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        with _alone_with(connection):
            connection.execute("PRAGMA journal_mode = WAL").close()


@contextmanager
def _alone_with(connection: SqliteConnection) -> Iterator[None]:
    """Let no other process be in such a block for a database in the same folder."""
    ((_, _, path),) = connection.execute("PRAGMA database_list")
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
