"""Fixtures: what needs a database runs on SQLite, and on PostgreSQL where there is one."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlmodel import SQLModel
from starlette.testclient import TestClient

from leaderboard import logs
from leaderboard.app import create_app
from leaderboard.db import Database
from leaderboard.settings import Settings
from tests.fixtures import write_package
from tests.leaderboard import clusters
from tests.leaderboard.world import PROBLEM, Clock, World

_POSTGRES = clusters.postgres_bin()
MIGRATED = "migrated"
DATABASES = ["sqlite", *(["postgresql"] if _POSTGRES else [])]
WORKER_TOKEN = "a worker token for tests"

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """The cluster, with a database that is migrated already."""
    assert _POSTGRES is not None
    with clusters.postgres(_POSTGRES) as socket_dir:
        clusters.postgres_execute(socket_dir, [f"CREATE DATABASE {MIGRATED}"])
        database = Database(postgres_url(socket_dir, MIGRATED))
        database.migrate()
        database.close()
        yield socket_dir


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that is migrated already."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


def postgres_url(socket_dir: str, name: str) -> str:
    return f"postgresql://judge@/{name}?host={socket_dir}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A temporary folder in memory where there is one: every commit waits for the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="opjudge-", dir=memory) as name:
        yield Path(name)


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """A database without any tables."""
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'empty.db'}"
    socket_dir = request.getfixturevalue("postgres_socket")
    name = f"empty_{uuid.uuid4().hex}"
    clusters.postgres_execute(socket_dir, [f"CREATE DATABASE {name}"])
    return postgres_url(socket_dir, name)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """A migrated database without any rows."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "test.db")
        return f"sqlite:///{folder / 'test.db'}"
    socket_dir = request.getfixturevalue("postgres_socket")
    # Emptying one database is ten times quicker than copying a template.
    tables = ", ".join(SQLModel.metadata.tables)
    clusters.postgres_execute(
        socket_dir, [f"TRUNCATE {tables} RESTART IDENTITY CASCADE"], database=MIGRATED
    )
    return postgres_url(socket_dir, MIGRATED)


@pytest.fixture(scope="session", params=["valkey", "redis"])
def valkey_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a Valkey, and of the distribution's Redis."""
    with clusters.valkey() if request.param == "valkey" else clusters.redis_server() as url:
        yield url


@pytest.fixture(autouse=True)
def logging() -> Iterator[None]:
    """As in the running service."""
    logs.configure()
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def problems_dir(tmp_path: Path) -> Path:
    problems = tmp_path / "problems"
    write_package(problems / PROBLEM)
    return problems


@pytest.fixture
def make_settings(folder: Path, problems_dir: Path) -> Callable[..., Settings]:
    """Settings for a service in a temporary folder, changed as told."""

    def make(**changes: Any) -> Settings:
        usual: dict[str, Any] = {
            "data_dir": folder / "data",
            "problems_dir": problems_dir,
            "worker_token": WORKER_TOKEN,
            "require_certificate": False,
            "canary_every_s": 0,
            "password_time_cost": 1,
            "password_memory_kib": 64,
            # All of a test's people come from one address, and faster than people do.
            "login_rate": "off",
            "login_address_rate": "off",
            "api_rate": "off",
            "api_address_rate": "off",
        }
        return Settings(**{**usual, **changes})

    return make


@pytest.fixture
def make_world(
    database_url: str, make_settings: Callable[..., Settings], clock: Clock
) -> Iterator[MakeWorld]:
    """Starts services on one database, with settings changed as told."""
    clients = []

    def make(**changes: Any) -> World:
        settings = make_settings(**{"database_url": database_url, **changes})
        app = create_app(settings, clock=clock, reconciling=False)
        client = TestClient(app, raise_server_exceptions=True)
        client.__enter__()
        clients.append(client)
        return World(client, clock, {"Authorization": f"Bearer {WORKER_TOKEN}"})

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A running service."""
    return make_world()
