"""Settings: where they come from and what they refuse."""

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from judge.errors import UserError
from leaderboard.settings import Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPJUDGE_LEASE_S", "12.5")
    monkeypatch.setenv("OPJUDGE_OPEN_REGISTRATION", "no")
    monkeypatch.setenv("OPJUDGE_DATA_DIR", "/srv/judge")

    settings = Settings()

    assert settings.lease_s == 12.5
    assert settings.open_registration is False
    assert settings.database == "sqlite:////srv/judge/opjudge.db"
    assert settings.packages_dir == Path("/srv/judge/packages")


def test_links_lead_to_where_the_server_listens_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPJUDGE_PUBLIC_URL", raising=False)
    assert Settings().public_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("OPJUDGE_HOST", "0.0.0.0")
    monkeypatch.setenv("OPJUDGE_PORT", "8123")
    assert Settings().public_url == "http://127.0.0.1:8123"
    monkeypatch.setenv("OPJUDGE_PUBLIC_URL", "https://judge.example")
    assert Settings().public_url == "https://judge.example"


def test_a_database_url_wins(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql://db/judge")

    assert settings.database == "postgresql://db/judge"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPJUDGE_LEASE_S", "0"),
        ("OPJUDGE_LEASE_S", "soon"),
        ("OPJUDGE_PORT", "70000"),
        ("OPJUDGE_OPEN_REGISTRATION", "perhaps"),
        ("OPJUDGE_QUEUE_DEPTH", "0"),
    ],
)
def test_a_bad_value_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError):
        Settings()


def test_the_workers_token_is_made_once_and_is_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")

    token = settings.bootstrap_token()

    path = tmp_path / "new" / "worker.token"
    assert settings.bootstrap_token() == token == path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) > 40
    assert Settings(data_dir=tmp_path / "other").bootstrap_token() != token


def test_a_given_token_is_used_and_not_written_down(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, worker_token="sixteen characters")

    assert settings.bootstrap_token() == "sixteen characters"
    assert list(tmp_path.iterdir()) == []
    assert "sixteen" not in repr(settings)


@pytest.mark.parametrize("token", ["", "short", " " * 30])
def test_a_token_that_is_no_secret_is_refused(tmp_path: Path, token: str) -> None:
    (tmp_path / "worker.token").write_text(token)

    with pytest.raises(UserError, match="at least 16"):
        Settings(data_dir=tmp_path).bootstrap_token()
