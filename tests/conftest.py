"""What every test starts from."""

from collections.abc import Iterator

import pytest
import structlog

from tests.docker_engine import docker_engine as docker_engine


@pytest.fixture(autouse=True)
def logging_as_new() -> Iterator[None]:
    """A command under test sets up logging to its own, since closed, stderr."""
    yield
    structlog.reset_defaults()
