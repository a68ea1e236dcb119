"""The mutation certificate a problem was published with."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("problem_version", sa.Column("certificate", sa.Text()))


def downgrade() -> None:
    op.drop_column("problem_version", "certificate")
