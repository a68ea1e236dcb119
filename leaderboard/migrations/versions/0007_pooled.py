"""How many judgings of one artifact a row of a board stands for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("standing", sa.Column("pooled", sa.Integer(), nullable=False, server_default="1"))
    # Boards are derived: without a version they are made anew at the next start.
    op.execute("UPDATE board SET version = ''")


def downgrade() -> None:
    op.drop_column("standing", "pooled")
