"""Look at the raw tables and say which promises they break. It shares no code with the service.

python -m tests.chaos.invariants DATABASE_URL [--final]

Plain SQL through the databases' own drivers: what the service believes of itself does not count.
Prints one JSON object; exit status 1 if a promise is broken. `--final`: nothing may be pending.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

import psycopg

_STATES = "('queued', 'building', 'checking', 'timing', 'judged', 'cancelled', 'abandoned')"
_WITH_WORKER = "('building', 'checking', 'timing')"
_PENDING = "('queued', 'building', 'checking', 'timing')"
_ENDED = "('judged', 'cancelled', 'abandoned')"
_SHOWN = 5

BROKEN: Mapping[str, str] = {
    "a submission without exactly one current judgement": """
        SELECT s.id, COUNT(j.id) FROM submission s
        LEFT JOIN judgement j ON j.submission_id = s.id AND j.is_current
        GROUP BY s.id HAVING COUNT(j.id) <> 1""",
    "attempts that do not count 1, 2, 3": """
        SELECT submission_id, COUNT(*) FROM judgement GROUP BY submission_id
        HAVING MIN(attempt) <> 1 OR MAX(attempt) <> COUNT(*)
        OR COUNT(DISTINCT attempt) <> COUNT(*)""",
    "a current judgement that is not the last": """
        SELECT j.id, j.attempt FROM judgement j WHERE j.is_current AND EXISTS
        (SELECT 1 FROM judgement o WHERE o.submission_id = j.submission_id
         AND o.attempt > j.attempt)""",
    "a judgement in no known state": f"""
        SELECT id, state FROM judgement WHERE state NOT IN {_STATES}""",
    "a lease without a worker, or a worker without a lease": f"""
        SELECT id, state FROM judgement
        WHERE (lease_until IS NOT NULL) <> (state IN {_WITH_WORKER})
        OR (state IN {_WITH_WORKER} AND (token_hash IS NULL OR claimed_at IS NULL))""",
    "one lease for two judgements": """
        SELECT token_hash, COUNT(*) FROM judgement WHERE token_hash IS NOT NULL
        GROUP BY token_hash HAVING COUNT(*) > 1""",
    "a result without a lease": """
        SELECT id, state FROM judgement
        WHERE (verdict IS NOT NULL OR result IS NOT NULL) AND token_hash IS NULL""",
    "a verdict that was not judged, or the reverse": """
        SELECT id, state FROM judgement WHERE (verdict IS NOT NULL) <> (state = 'judged')
        OR (result IS NOT NULL) <> (state = 'judged')""",
    "an end without a moment, or the reverse": f"""
        SELECT id, state FROM judgement WHERE (ended_at IS NOT NULL) <> (state IN {_ENDED})""",
    "a submission left hanging: its last attempt was abandoned": """
        SELECT id, submission_id FROM judgement WHERE is_current AND state = 'abandoned'""",
    "a past judgement that goes on": f"""
        SELECT id, state FROM judgement WHERE NOT is_current AND state IN {_PENDING}""",
    "judged twice: repeated although it had not failed": """
        SELECT j.id, j.state FROM judgement j
        JOIN judgement n ON n.submission_id = j.submission_id AND n.attempt = j.attempt + 1
        WHERE n.round = j.round AND j.failure IS NULL""",
    "our error without a reason": """
        SELECT id, state FROM judgement
        WHERE (verdict = 'JE' OR state = 'abandoned') AND (failure IS NULL OR reason = '')""",
    "a score without an accepted verdict": """
        SELECT id, verdict FROM judgement WHERE score IS NOT NULL AND verdict <> 'AC'""",
    "device time charged for our own failure": """
        SELECT id, device_s FROM judgement WHERE failure IS NOT NULL AND device_s <> 0""",
    "a judgement of somebody else's submission": """
        SELECT j.id, s.id FROM judgement j JOIN submission s ON s.id = j.submission_id
        WHERE j.user_id <> s.user_id OR j.number <> s.number OR j.device <> s.device""",
    "runs of what is not judged": """
        SELECT DISTINCT r.judgement_id, j.state FROM run r
        LEFT JOIN judgement j ON j.id = r.judgement_id WHERE j.state IS NULL
        OR j.state <> 'judged'""",
    "a rank without a verdict": """
        SELECT t.submission_id, t.score FROM standing t WHERE NOT EXISTS
        (SELECT 1 FROM judgement j JOIN submission s ON s.id = j.submission_id
         WHERE j.submission_id = t.submission_id AND j.is_current AND j.state = 'judged'
         AND j.verdict = 'AC' AND j.score = t.score AND s.user_id = t.user_id
         AND s.problem = t.problem AND s.device = t.device AND s.mode = 'ranked')""",
    "a verdict without its rank": """
        SELECT s.id, j.score FROM submission s
        JOIN judgement j ON j.submission_id = s.id AND j.is_current
        JOIN problem_version v ON v.problem = s.problem AND v.package_hash = j.package_hash
        JOIN board b ON b.problem = s.problem AND b.device = s.device AND b.version = v.version
        WHERE s.mode = 'ranked' AND j.verdict = 'AC' AND j.score IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM standing t WHERE t.problem = s.problem AND t.device = s.device
         AND t.user_id = s.user_id)""",
    "a board that counts its people wrong": """
        SELECT b.problem, b.solvers FROM board b WHERE b.solvers <>
        (SELECT COUNT(*) FROM standing t WHERE t.problem = b.problem AND t.device = b.device)""",
}
"""What must return no row, at any moment."""

UNFINISHED = f"SELECT submission_id, state FROM judgement WHERE is_current AND state IN {_PENDING}"
"""What must return no row once all is done."""


class Connection(Protocol):
    """What both drivers have in common."""

    def execute(self, query: Any) -> Any: ...
    def close(self) -> None: ...


def connect(url: str) -> Connection:
    """A connection to the database of a SQLAlchemy URL, past SQLAlchemy."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        return sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None, timeout=30)
    return psycopg.connect(url, autocommit=True)


def broken_promises(url: str, *, final: bool = False) -> dict[str, Sequence[Any]]:
    """Which promises are broken, and by which rows (some of them)."""
    queries = {**BROKEN, **({"a submission without an end": UNFINISHED} if final else {})}
    found: dict[str, Sequence[Any]] = {}
    with closing(connect(url)) as connection:
        connection.execute("BEGIN" if url.startswith("sqlite") else
                           "BEGIN ISOLATION LEVEL REPEATABLE READ")  # fmt: skip
        for name, query in queries.items():
            rows = connection.execute(query).fetchall()
            if rows:
                found[name] = [[str(value) for value in row] for row in rows[:_SHOWN]]
        connection.execute("ROLLBACK")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.invariants", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--final", action="store_true")
    options = parser.parse_args()
    found = broken_promises(options.url, final=options.final)
    print(json.dumps({"promises": len(BROKEN) + options.final, "broken": found}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
