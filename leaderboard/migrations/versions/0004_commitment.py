"""The commitment to a judgement's seed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("judgement", sa.Column("commitment", sa.String(64)))


def downgrade() -> None:
    op.drop_column("judgement", "commitment")
