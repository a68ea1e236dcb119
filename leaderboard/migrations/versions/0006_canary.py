"""Accounts that are no person's, and what the canary handed in."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "user_account",
        sa.Column("internal", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "canary_run",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("problem", sa.String(64), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("permitted", sa.String(64), nullable=False),
        sa.Column("min_speedup", sa.Float()),
        sa.Column("max_speedup", sa.Float()),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("complaint", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_canary_run"),
    )
    op.create_index("ix_canary_run_ended", "canary_run", ["ended_at"])


def downgrade() -> None:
    op.drop_table("canary_run")
    op.drop_column("user_account", "internal")
