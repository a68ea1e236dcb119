"""The independent look at the tables: it is content with good ones, and sees each broken promise.

Tables are broken by hand, with what guards them taken away first: so this also shows that the
guards are what stands between such rows and the database.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from judge.verdict import Verdict
from leaderboard import machine
from leaderboard.models import State
from tests.chaos.invariants import BROKEN, broken_promises, connect
from tests.leaderboard.world import World

# What to do to a sound row, and which promise that breaks.
WOUNDS = {
    "UPDATE judgement SET is_current = {false} WHERE verdict = 'AC'":
        "a submission without exactly one current judgement",
    "UPDATE judgement SET attempt = 3 WHERE verdict = 'WA'": "attempts that do not count 1, 2, 3",
    "UPDATE judgement SET attempt = 1 - attempt WHERE state IN ('abandoned', 'building')":
        "a current judgement that is not the last",
    "UPDATE judgement SET state = 'lost' WHERE state = 'queued'": "a judgement in no known state",
    "UPDATE judgement SET lease_until = NULL WHERE state = 'building'":
        "a lease without a worker, or a worker without a lease",
    "UPDATE judgement SET token_hash = 'twice' WHERE ended_at IS NOT NULL AND state <> 'cancelled'":
        "one lease for two judgements",
    "UPDATE judgement SET token_hash = NULL WHERE verdict = 'AC'": "a result without a lease",
    "UPDATE judgement SET verdict = NULL WHERE verdict = 'WA'":
        "a verdict that was not judged, or the reverse",
    "UPDATE judgement SET result = NULL WHERE verdict = 'WA'":
        "a verdict that was not judged, or the reverse",
    "UPDATE judgement SET ended_at = NULL WHERE verdict = 'WA'":
        "an end without a moment, or the reverse",
    "UPDATE judgement SET state = 'abandoned' WHERE verdict = 'WA'":
        "a submission left hanging: its last attempt was abandoned",
    "UPDATE judgement SET state = 'queued' WHERE NOT is_current": "a past judgement that goes on",
    "UPDATE judgement SET failure = NULL WHERE NOT is_current":
        "judged twice: repeated although it had not failed",
    "UPDATE judgement SET failure = NULL WHERE state = 'abandoned'": "our error without a reason",
    "UPDATE judgement SET score = 1, score_low = 1, score_high = 1 WHERE verdict = 'WA'":
        "a score without an accepted verdict",
    "UPDATE judgement SET device_s = 5 WHERE state = 'abandoned'":
        "device time charged for our own failure",
    "UPDATE judgement SET number = 77 WHERE verdict = 'WA'":
        "a judgement of somebody else's submission",
    "UPDATE run SET judgement_id = (SELECT id FROM judgement WHERE state = 'building'),"
    " position = 99 WHERE position = 0 AND judgement_id ="
    " (SELECT id FROM judgement WHERE verdict = 'AC')": "runs of what is not judged",
    "UPDATE judgement SET verdict = 'WA' WHERE verdict = 'AC'": "a rank without a verdict",
    "UPDATE standing SET submission_id ="
    " (SELECT submission_id FROM judgement WHERE verdict = 'WA')": "a rank without a verdict",
    "UPDATE standing SET score = score * 2": "a rank without a verdict",
    "DELETE FROM standing": "a verdict without its rank",
    "UPDATE board SET solvers = 7": "a board that counts its people wrong",
}  # fmt: skip
# Refused by nothing but the look at the tables: they concern several rows, or figures.
UNGUARDED = {
    "a submission without exactly one current judgement",
    "a judgement of somebody else's submission",
    "device time charged for our own failure",
    "a verdict without its rank",
    "a board that counts its people wrong",
    "runs of what is not judged",
}


def furnish(world: World) -> None:
    """One of each: accepted, wrong, cancelled, waiting, with a worker, and a repeated one."""
    alice, bob = world.person("alice"), world.person("bob")
    world.judge(alice, 2.0)
    world.submit(alice)
    assert world.finish(world.claim(), verdict=Verdict.WA).status_code == 200
    world.cancel(world.submit(bob), bob)
    world.submit(bob)
    world.report(world.claim(), "release", {"reason": "the disk is full", "stopping": True})
    world.claim()
    world.submit(alice)


def url_of(world: World) -> str:
    return world.services.settings.database


@pytest.fixture
def sound(world: World) -> World:
    """A service with a bit of everything."""
    furnish(world)
    return world


@contextmanager
def raw(world: World, *unguarded: str) -> Iterator[Callable[[str], int]]:
    """Statements past the service, all taken back in the end; yields what executes one.

    Args:
        unguarded: statements that take guards away first.
    """
    with closing(connect(url_of(world))) as connection:
        connection.execute("BEGIN")
        for statement in unguarded:
            connection.execute(statement)

        def execute(statement: str) -> int:
            false = "0" if is_sqlite(world) else "FALSE"
            rows: int = connection.execute(statement.format(false=false)).rowcount
            return rows

        yield execute
        connection.execute("ROLLBACK")


def is_sqlite(world: World) -> bool:
    return world.services.db.engine.dialect.name == "sqlite"


def rules(world: World) -> list[str]:
    """What takes away the guards of single rows."""
    if is_sqlite(world):
        return ["DROP TRIGGER judgement_made", "DROP TRIGGER judgement_kept"]
    return [f"ALTER TABLE judgement DROP CONSTRAINT ck_judgement_{n}" for n in machine.INVARIANTS]


def moves(world: World) -> list[str]:
    """What takes away the guards of moves and boards."""
    if is_sqlite(world):
        names = ("judgement_moves", "standing_earned_insert", "standing_earned_update")
        return [f"DROP TRIGGER {name}" for name in names]
    pairs = (("judgement_moves", "judgement"), ("standing_earned", "standing"))
    return [f"DROP TRIGGER {name} ON {table}" for name, table in pairs]


def test_sound_tables_break_no_promise(sound: World) -> None:
    assert broken_promises(url_of(sound)) == {}
    assert list(broken_promises(url_of(sound), final=True)) == ["a submission without an end"]


def test_every_wound_is_seen_and_no_promise_is_idle(sound: World) -> None:
    assert set(WOUNDS.values()) == set(BROKEN)
    for wound, promise in WOUNDS.items():
        with closing(connect(url_of(sound))) as connection:
            connection.execute("BEGIN")
            for statement in [*rules(sound), *moves(sound)]:
                connection.execute(statement)
            false = "0" if is_sqlite(sound) else "FALSE"
            done = connection.execute(wound.format(false=false))
            assert done.rowcount, f"hit nothing: {wound}"
            assert connection.execute(BROKEN[promise]).fetchall(), wound
            connection.execute("ROLLBACK")
    assert broken_promises(url_of(sound)) == {}


def test_the_database_refuses_what_must_never_happen(sound: World) -> None:
    for wound, promise in WOUNDS.items():
        refused = False
        with raw(sound) as execute:
            try:
                execute(wound)
            except (sqlite3.IntegrityError, psycopg.IntegrityError):
                refused = True
        assert refused == (promise not in UNGUARDED and "score * 2" not in wound), wound


def test_the_database_refuses_a_second_verdict(sound: World) -> None:
    """Of one round of judging: an organizer may ask for another round."""
    columns = "submission_id, user_id, number, device, package_hash, state, since, created_at"
    columns += ", claimed_at, ended_at, worker, token_hash, charged, reason, device_s, verdict"
    columns += ", artifact_hash, result"
    for round, refused in ((1, True), (2, False)):
        seen = False
        with raw(sound) as execute:
            try:
                execute(
                    f"INSERT INTO judgement (id, attempt, is_current, round, {columns})"
                    f" SELECT '{uuid4().hex}', 2, {{false}}, {round}, {columns}"
                    " FROM judgement WHERE verdict = 'WA'"
                )
            except (sqlite3.IntegrityError, psycopg.IntegrityError):
                seen = True
        assert seen == refused, round


def test_every_rule_of_the_machine_is_the_databases_own(sound: World) -> None:
    """The migration is a copy of the rules: none may be missing, or different."""
    with sound.services.db.engine.connect() as connection:
        if is_sqlite(sound):
            sql = connection.execute(
                text("SELECT sql FROM sqlite_master WHERE name = 'judgement_kept'")
            ).scalar_one()
            plain = sql.replace("NEW.", "")
            kept = {n for n, check in machine.INVARIANTS.items() if f"NOT ({check})" in plain}
        else:
            found = connection.execute(
                text("SELECT conname FROM pg_constraint WHERE conname LIKE 'ck_judgement%'")
            )
            kept = {name.removeprefix("ck_judgement_") for (name,) in found}
    assert kept == set(machine.INVARIANTS)


def test_the_database_knows_the_same_moves(sound: World) -> None:
    """From each state to each other: let through if and only if a transition says so."""
    allowed = {(a, b) for t in machine.TRANSITIONS for a in t.sources for b in t.targets}
    with sound.services.db.engine.connect() as connection:
        rows = connection.execute(text("SELECT state, id FROM judgement"))
        ids = {str(state): judgement for state, judgement in rows.all()}
    assert {"queued", "building", "judged", "cancelled", "abandoned"} <= set(ids)
    for source, target in ((State(a), b) for a in ids for b in State):
        passed = True
        with raw(sound, *rules(sound)) as execute:
            try:
                execute(f"UPDATE judgement SET state = '{target}' WHERE id = '{ids[source]}'")
            except (sqlite3.IntegrityError, psycopg.IntegrityError):
                passed = False
        # What ended may be written again as it is.
        assert passed == ((source, target) in allowed or source == target), (source, target)


def test_as_a_command(sound: World) -> None:
    command = [sys.executable, "-m", "tests.chaos.invariants", url_of(sound)]
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    with sound.services.db.engine.begin() as connection:
        connection.execute(text("UPDATE board SET solvers = 7"))
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, "counts its people wrong" in done.stdout) == (1, True)
