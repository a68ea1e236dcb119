"""Boards as tables, and indexes that do not grow slow with the history."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
PENDING = sa.text("ended_at IS NULL")


def upgrade() -> None:
    _submissions()
    _judgements()
    _boards()


def downgrade() -> None:
    op.drop_table("standing")
    op.drop_table("board")
    for name in ("pending", "pending_user", "ended"):
        op.drop_index(f"ix_judgement_{name}", "judgement")
    op.drop_column("judgement", "number")
    op.drop_column("judgement", "user_id")
    op.create_index("ix_judgement_queue", "judgement", ["device", "state"])
    op.create_index("ix_judgement_ended_at", "judgement", ["ended_at"])
    for name in ("user", "problem", "user_problem"):
        op.drop_index(f"ix_submission_{name}", "submission")
    op.create_index("ix_submission_board", "submission", ["problem", "device"])
    op.create_index("ix_submission_user_id", "submission", ["user_id"])


def _submissions() -> None:
    op.drop_index("ix_submission_user_id", "submission")
    op.drop_index("ix_submission_board", "submission")
    op.create_index("ix_submission_user", "submission", ["user_id", "number"])
    op.create_index("ix_submission_problem", "submission", ["problem", "number"])
    op.create_index("ix_submission_user_problem", "submission", ["user_id", "problem", "number"])


def _judgements() -> None:
    # With a default, because SQLite could add them without one only by copying the table, which
    # other tables point to.
    op.add_column("judgement", sa.Column("user_id", sa.Integer, nullable=False, server_default="0"))
    op.add_column(
        "judgement", sa.Column("number", sa.BigInteger, nullable=False, server_default="0")
    )
    op.execute(
        "UPDATE judgement SET"
        " user_id = (SELECT user_id FROM submission WHERE id = submission_id),"
        " number = (SELECT number FROM submission WHERE id = submission_id)"
    )
    op.drop_index("ix_judgement_queue", "judgement")
    op.drop_index("ix_judgement_ended_at", "judgement")
    queue = (("pending", ["device", "state", "number"]), ("pending_user", ["user_id"]))
    for name, columns in queue:
        op.create_index(
            f"ix_judgement_{name}",
            "judgement",
            columns,
            sqlite_where=PENDING,
            postgresql_where=PENDING,
        )
    op.create_index("ix_judgement_ended", "judgement", ["device", "ended_at"])


def _boards() -> None:
    # Left empty: the service fills in at its start what is missing.
    op.create_table(
        "board",
        sa.Column("problem", sa.String(64), sa.ForeignKey("problem.slug"), primary_key=True),
        sa.Column("device", sa.String(32), primary_key=True),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("solvers", sa.Integer(), nullable=False),
        sa.Column("updated_at", MOMENT),
    )
    op.create_table(
        "standing",
        sa.Column("problem", sa.String(64), primary_key=True),
        sa.Column("device", sa.String(32), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user_account.id"), primary_key=True),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("score_low", sa.Float(), nullable=False),
        sa.Column("score_high", sa.Float(), nullable=False),
        sa.Column("latency_ns", sa.Float()),
        sa.Column("baseline_ns", sa.Float()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("submitted_at", MOMENT, nullable=False),
        sa.Column("judged_at", MOMENT, nullable=False),
    )
    op.create_index("ix_standing_order", "standing", ["problem", "device", "score", "number"])
