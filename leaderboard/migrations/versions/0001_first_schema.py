"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _people()
    _problems()
    _submissions()
    _judgements()
    _runs()


def downgrade() -> None:
    for table in (
        "run",
        "judgement",
        "submission_file",
        "submission",
        "problem_version",
        "problem",
        "token",
        "user_account",
    ):
        op.drop_table(table)


def _people() -> None:
    op.create_table(
        "user_account",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("key", sa.String(32), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(256)),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column(
            "user_id", sa.Integer(), sa.ForeignKey("user_account.id"), nullable=False, index=True
        ),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
    )


def _problems() -> None:
    op.create_table(
        "problem",
        sa.Column("slug", sa.String(64), primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("package_hash", sa.String(128), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "problem_version",
        sa.Column("problem", sa.String(64), sa.ForeignKey("problem.slug"), primary_key=True),
        sa.Column("package_hash", sa.String(128), primary_key=True),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )


def _submissions() -> None:
    op.create_table(
        "submission",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("id", sa.Uuid(), nullable=False, unique=True),
        sa.Column(
            "user_id", sa.Integer(), sa.ForeignKey("user_account.id"), nullable=False, index=True
        ),
        sa.Column("problem", sa.String(64), sa.ForeignKey("problem.slug"), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("source_hash", sa.String(128), nullable=False),
        sa.Column("submitted_at", MOMENT, nullable=False),
    )
    op.create_index("ix_submission_board", "submission", ["problem", "device"])
    op.create_table(
        "submission_file",
        sa.Column("submission_id", sa.Uuid(), sa.ForeignKey("submission.id"), primary_key=True),
        sa.Column("path", sa.String(512), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )


def _judgements() -> None:
    op.create_table(
        "judgement",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("submission_id", sa.Uuid(), sa.ForeignKey("submission.id"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("package_hash", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("enqueued_at", MOMENT),
        sa.Column("claimed_at", MOMENT),
        sa.Column("ended_at", MOMENT, index=True),
        sa.Column("worker", sa.String(100), nullable=False),
        sa.Column("token_hash", sa.String(64)),
        sa.Column("lease_until", MOMENT),
        sa.Column("failure", sa.String(16)),
        sa.Column("charged", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("device_s", sa.Float(), nullable=False),
        sa.Column("progress", sa.Text()),
        sa.Column("verdict", sa.String(16)),
        sa.Column("score", sa.Float()),
        sa.Column("score_low", sa.Float()),
        sa.Column("score_high", sa.Float()),
        sa.Column("latency_ns", sa.Float()),
        sa.Column("baseline_ns", sa.Float()),
        sa.Column("artifact_hash", sa.String(128), nullable=False),
        sa.Column("result", sa.Text()),
        sa.UniqueConstraint("submission_id", "attempt", name="uq_judgement_attempt"),
    )
    op.create_index(
        "ix_judgement_current",
        "judgement",
        ["submission_id"],
        unique=True,
        sqlite_where=sa.text("is_current"),
        postgresql_where=sa.text("is_current"),
    )
    op.create_index("ix_judgement_queue", "judgement", ["device", "state"])


def _runs() -> None:
    op.create_table(
        "run",
        sa.Column("judgement_id", sa.Uuid(), sa.ForeignKey("judgement.id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("workload", sa.String(255), nullable=False),
        sa.Column("verdict", sa.String(16)),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("samples", sa.Text(), nullable=False),
    )
