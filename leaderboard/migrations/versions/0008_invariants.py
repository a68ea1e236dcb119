"""What must never happen to a judgement is refused by the database itself.

The text is a copy of `leaderboard.machine` as it was when this was written: a migration must do the
same for ever. SQLite could take CHECK constraints only by copying the table, which other tables
point to, so it gets triggers instead; PostgreSQL gets constraints, and triggers for the moves.
"""

import re

import sqlalchemy as sa
from alembic import op

from judge.errors import UserError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WITH_WORKER = "('building', 'checking', 'timing')"
CHECKS = {
    "known_state": "state IN ('queued', 'building', 'checking', 'timing', 'judged',"
    " 'cancelled', 'abandoned')",
    "lease_with_worker": f"(lease_until IS NOT NULL) = (state IN {WITH_WORKER})",
    "result_under_lease": "state IN ('queued', 'cancelled')"
    " OR (token_hash IS NOT NULL AND claimed_at IS NOT NULL)",
    "queued_is_nobodys": "state <> 'queued' OR (token_hash IS NULL AND claimed_at IS NULL)",
    "ended_at_when_ended": "(ended_at IS NOT NULL)"
    " = (state IN ('judged', 'cancelled', 'abandoned'))",
    "verdict_when_judged": "(verdict IS NOT NULL) = (state = 'judged')",
    "result_when_judged": "(result IS NOT NULL) = (state = 'judged')",
    "failure_explained": "(failure IS NOT NULL)"
    " = (state = 'abandoned' OR COALESCE(verdict, '') = 'JE')",
    "score_is_of_accepted": "score IS NULL OR COALESCE(verdict, '') = 'AC'",
    "score_in_interval": "(score IS NULL) = (score_low IS NULL)"
    " AND (score IS NULL) = (score_high IS NULL)"
    " AND (score IS NULL OR (0 < score_low AND score_low <= score AND score <= score_high))",
    "abandoned_is_past": "NOT (is_current AND state = 'abandoned')",
    "past_has_ended": "is_current OR ended_at IS NOT NULL",
    "counted_from_one": "attempt >= 1 AND round >= 1 AND device_s >= 0",
}
COLUMNS = (
    "state", "lease_until", "token_hash", "claimed_at", "ended_at", "verdict", "result",
    "failure", "score", "score_low", "score_high", "is_current", "attempt", "round", "device_s",
)  # fmt: skip
# The same for both: an ended row stays what it is, and nothing leaves its submission.
FORBIDDEN = (
    "(OLD.state = 'queued' AND NEW.state NOT IN ('queued', 'building', 'cancelled'))"
    " OR (OLD.ended_at IS NOT NULL AND (OLD.state <> NEW.state"
    " OR COALESCE(OLD.verdict, '') <> COALESCE(NEW.verdict, '')"
    " OR COALESCE(OLD.token_hash, '') <> COALESCE(NEW.token_hash, '')))"
    " OR OLD.submission_id <> NEW.submission_id OR OLD.attempt <> NEW.attempt"
    " OR OLD.round <> NEW.round"
)
UNEARNED = (
    "NOT EXISTS (SELECT 1 FROM judgement WHERE judgement.submission_id = NEW.submission_id"
    " AND judgement.is_current AND judgement.verdict = 'AC' AND judgement.score IS NOT NULL)"
)
TRIGGERS = {
    "judgement": ("judgement_moves", "UPDATE", FORBIDDEN, "a judgement that ended stays as it is"),
    "standing": ("standing_earned", "INSERT OR UPDATE", UNEARNED, "a rank needs a verdict"),
}


def upgrade() -> None:
    # With a default, for the reason given in 0002.
    op.add_column("judgement", sa.Column("round", sa.Integer, nullable=False, server_default="1"))
    _refuse_broken()
    judged = sa.text("verdict IS NOT NULL AND failure IS NULL")
    op.create_index(
        "ix_judgement_verdict",
        "judgement",
        ["submission_id", "round"],
        unique=True,
        sqlite_where=judged,
        postgresql_where=judged,
    )
    if op.get_bind().dialect.name == "sqlite":
        _sqlite()
    else:
        _postgresql()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in ("judgement_made", "judgement_kept", "judgement_moves"):
            op.execute(f"DROP TRIGGER {name}")
        for name in ("standing_earned_insert", "standing_earned_update"):
            op.execute(f"DROP TRIGGER {name}")
    else:
        for table, (name, _, _, _) in TRIGGERS.items():
            op.execute(f"DROP TRIGGER {name} ON {table}")
            op.execute(f"DROP FUNCTION opjudge_{name}()")
        for name in CHECKS:
            op.execute(f"ALTER TABLE judgement DROP CONSTRAINT ck_judgement_{name}")
    op.drop_index("ix_judgement_verdict", "judgement")
    op.drop_column("judgement", "round")


def _refuse_broken() -> None:
    for name, check in CHECKS.items():
        found = op.get_bind().execute(
            sa.text(f"SELECT submission_id, attempt FROM judgement WHERE NOT ({check}) LIMIT 3")  # noqa: S608
        )
        broken = ", ".join(f"{submission} attempt {attempt}" for submission, attempt in found)
        if broken:
            raise UserError(
                f"the database cannot be brought up to date: judgements break the rule {name} "
                f"({broken}, perhaps more); restore a backup, or mend them by hand: {check}",
                code="broken-judgements",
            )


def _sqlite() -> None:
    cases = " ".join(
        f"WHEN NOT ({_of_new(check)}) THEN RAISE(ABORT, 'judgement breaks the rule {name}')"
        for name, check in CHECKS.items()
    )
    body = f"BEGIN SELECT CASE {cases} END; END"
    op.execute(f"CREATE TRIGGER judgement_made BEFORE INSERT ON judgement {body}")
    op.execute(f"CREATE TRIGGER judgement_kept BEFORE UPDATE ON judgement {body}")
    for table, (name, events, condition, message) in TRIGGERS.items():
        for event in events.split(" OR "):
            suffix = f"_{event.lower()}" if " OR " in events else ""
            op.execute(
                f"CREATE TRIGGER {name}{suffix} BEFORE {event} ON {table} WHEN {condition}"
                f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )


def _of_new(check: str) -> str:
    """The check, of the row as it would be. What is in quotes is a value, not a column."""
    return re.sub(
        rf"'[^']*'|\b({'|'.join(COLUMNS)})\b",
        lambda found: f"NEW.{found[1]}" if found[1] else found[0],
        check,
    )


def _postgresql() -> None:
    for name, check in CHECKS.items():
        op.execute(f"ALTER TABLE judgement ADD CONSTRAINT ck_judgement_{name} CHECK ({check})")
    for table, (name, events, condition, message) in TRIGGERS.items():
        op.execute(
            f"CREATE FUNCTION opjudge_{name}() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN IF {condition} THEN RAISE EXCEPTION '{message}'"
            f" USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {events} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION opjudge_{name}()"
        )
