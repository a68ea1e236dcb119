"""Fixtures for pages: a running service with people, and browsers to look at it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.leaderboard.pages.browser import Browser
from tests.leaderboard.world import Person, World


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """SQLite only: the pages hold no SQL, and the use cases are tested on every database."""
    path = tmp_path / "test.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def alice(world: World) -> Person:
    return world.person("alice")


@pytest.fixture
def visitor(world: World) -> Browser:
    """Nobody in particular."""
    return Browser(world)


@pytest.fixture
def logged_in(world: World) -> Callable[[Person], Browser]:
    """Lets somebody log in with a browser."""

    def log_in(person: Person) -> Browser:
        browser = Browser(world)
        assert browser.log_in(person.name).status_code == 303
        return browser

    return log_in


LogIn = Callable[[Person], Browser]
