"""Secrets from files: which are found, what wins, and that none is shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from judge.doctor import _redis
from judge.errors import UserError
from judge.requirement import State
from judge.secret_files import VARIABLE, with_password, without_password
from judge.settings import WorkerSettings
from leaderboard.settings import Settings
from tests.judge.machinery import valkey

ODD = "p/@ :%#?é"


@pytest.fixture(params=[VARIABLE, "CREDENTIALS_DIRECTORY"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(request.param, str(tmp_path))
    return tmp_path


def test_both_sides_find_what_they_need(folder: Path) -> None:
    (folder / "opjudge_worker_token").write_text("a token from a file\n")
    (folder / "opjudge_redis_password").write_text(ODD + "\n")
    (folder / "opjudge_database_password").write_text(ODD)
    (folder / "unrelated").write_text("x")

    worker = WorkerSettings(redis_url="redis://queue:6379/2")
    server = Settings(
        redis_url="redis://queue", database_url="postgresql+psycopg://judge@db/opjudge"
    )

    assert worker.token() == server.bootstrap_token() == "a token from a file"
    assert worker.redis is not None
    assert Redis.from_url(worker.redis).connection_pool.connection_kwargs["password"] == ODD
    assert server.database.endswith("@db/opjudge")
    assert server.database.startswith("postgresql+psycopg://judge:p%2F%40")
    assert server.redis is not None
    assert ODD not in repr(server) + repr(worker) + str(server.model_dump())


def test_the_variable_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "opjudge_worker_token").write_text("a token from a file")
    monkeypatch.setenv("OPJUDGE_WORKER_TOKEN", "a token from the environment")
    assert WorkerSettings().token() == "a token from the environment"


def test_a_missing_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    with pytest.raises(UserError, match=f"{VARIABLE}: there is no folder"):
        WorkerSettings()


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://queue:6379", "redis://:s%40@queue:6379"),
        ("unix:///run/valkey.sock?db=1", "unix://:s%40@/run/valkey.sock?db=1"),
        ("postgresql://judge@/x?host=/tmp/y", "postgresql://judge:s%40@/x?host=/tmp/y"),
        ("redis://user@queue", "redis://user:s%40@queue"),
        ("redis://:written@queue", "redis://:written@queue"),
    ],
)
def test_a_password_gets_into_a_url_and_out_of_what_is_shown(url: str, whole: str) -> None:
    assert with_password(url, SecretStr("s@\n")) == whole
    assert with_password(url, None) == url
    shown = without_password(whole)
    assert "***" in shown
    assert "s%40" not in shown
    assert "written" not in shown


def test_a_url_without_a_password_is_shown_as_it_is() -> None:
    assert without_password("unix:///run/valkey.sock") == "unix:///run/valkey.sock"


def test_doctor_asks_a_redis_whose_password_is_in_a_file(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with valkey(tmp_path_factory.mktemp("v")) as server:
        with Redis.from_url(server.url) as redis:
            redis.config_set("requirepass", "from a file")
        without = _redis(WorkerSettings(redis_url=server.url).redis)
        (folder / "opjudge_redis_password").write_text("from a file")
        found = _redis(WorkerSettings(redis_url=server.url).redis)
    assert "authenticate" in without.seen
    assert (found.state, found.seen) == (State.OK, "answers")
