"""Runs migrations over the connection that `leaderboard.db` hands in."""

from alembic import context
from sqlmodel import SQLModel

import leaderboard.models  # noqa: F401 - fills the metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
# The caller's transaction is the only one: a failed migration leaves nothing behind.
context.run_migrations()
