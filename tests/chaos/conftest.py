"""Fixtures: the databases of the service's own tests."""

from tests.leaderboard.conftest import clock as clock
from tests.leaderboard.conftest import database_url as database_url
from tests.leaderboard.conftest import empty_database_url as empty_database_url
from tests.leaderboard.conftest import folder as folder
from tests.leaderboard.conftest import logging as logging
from tests.leaderboard.conftest import make_settings as make_settings
from tests.leaderboard.conftest import make_world as make_world
from tests.leaderboard.conftest import postgres_socket as postgres_socket
from tests.leaderboard.conftest import problems_dir as problems_dir
from tests.leaderboard.conftest import sqlite_template as sqlite_template
from tests.leaderboard.conftest import world as world
