"""A long history for a database: people, problems, submissions, judgements, made up but plausible.

Few problems get most of the submissions and few people hand in most of them (both by Zipf's law),
a good half of the submissions is ranked, under half of those are accepted, scores scatter widely.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Engine, create_engine, make_url

from judge import wire
from judge.verdict import Verdict
from tests.fixtures import PROBLEM_YAML, write_package
from tests.leaderboard.world import make_result

USERS = 100_000
PROBLEMS = 500
DEVICE = "cpu"
_BATCH = 20_000
_MODES = (("ranked", 0.6), ("test", 0.3), ("benchmark", 0.1))
_VERDICTS = (("AC", 0.45), ("WA", 0.3), ("RTE", 0.1), ("CE", 0.1), ("TLE", 0.05))
_BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
_SPAN = timedelta(days=120)
_SOURCE = b"import torch\n\n\ndef solve(x, y, eps):\n    torch.mul(x, 1 + eps, out=y)\n" * 6


@dataclass(frozen=True)
class History:
    """What a bench needs to know of it.

    Attributes:
        tokens: of as many people, to hand in with.
        submissions: the ids of some.
        hottest: problems, the one with the most submissions first.
        active: names of people who handed in a lot.
    """

    tokens: tuple[str, ...]
    submissions: tuple[UUID, ...]
    hottest: tuple[str, ...]
    active: tuple[str, ...]


def slug(number: int) -> str:
    return f"problem_{number:03d}"


def write_problems(folder: Path, count: int = PROBLEMS) -> None:
    """The packages, which differ in name alone."""
    for number in range(count):
        root = folder / slug(number)
        write_package(root)
        text = PROBLEM_YAML.replace("6f2d3b1a7e01", f"{number:012x}")
        (root / "problem.yaml").write_text(text, encoding="utf-8")


def fill(url: str, hashes: dict[str, str], count: int, tokens: int = 1000) -> History:
    """Write `count` judged submissions into an empty, migrated database.

    Args:
        hashes: package hash of each problem, by slug.
        tokens: how many people get one.
    """
    rng = np.random.default_rng(7)
    slugs = [slug(number) for number in range(len(hashes))]
    users = _zipf(rng, USERS, count, 0.6) + 1
    problems = _zipf(rng, len(slugs), count, 1.0)
    secrets = [f"bench-token-{i}" for i in range(tokens)]
    sink = _Sink(url)
    sink.write("user_account", ("id", "name", "key", "created_at"), _people())
    sink.write(
        "token",
        ("id", "sha256", "user_id", "label", "scopes", "created_at"),
        (
            (i + 1, hashlib.sha256(s.encode()).hexdigest(), USERS - i, "bench", "submit", _BEGIN)
            for i, s in enumerate(secrets)
        ),
    )
    ids = [UUID(int=int(n) | (1 << 100)) for n in range(count)]
    _submissions(sink, rng, ids, users, [slugs[p] for p in problems], hashes)
    sink.close()
    settle(url)
    some = rng.integers(0, count, 300)
    names, counts = np.unique(users, return_counts=True)
    return History(
        tokens=tuple(secrets),
        submissions=tuple(ids[i] for i in some),
        hottest=tuple(slugs[:60]),
        active=tuple(_name(int(names[i])) for i in np.argsort(-counts)[:20]),
    )


def _zipf(rng: np.random.Generator, kinds: int, count: int, slope: float) -> "np.ndarray[Any, Any]":
    weights = 1.0 / np.arange(1, kinds + 1) ** slope
    return rng.choice(kinds, count, p=weights / weights.sum())


def _pick(
    rng: np.random.Generator, choices: Sequence[tuple[str, float]], count: int
) -> "np.ndarray[Any, Any]":
    return rng.choice([c for c, _ in choices], count, p=[p for _, p in choices])


def _name(user: int) -> str:
    return f"person{user:06d}"


def _people() -> Iterator[tuple[Any, ...]]:
    for user in range(1, USERS + 1):
        yield user, _name(user), _name(user), _BEGIN


def _submissions(
    sink: "_Sink",
    rng: np.random.Generator,
    ids: Sequence[UUID],
    users: "np.ndarray[Any, Any]",
    problems: Sequence[str],
    hashes: dict[str, str],
) -> None:
    count = len(ids)
    modes, verdicts = _pick(rng, _MODES, count), _pick(rng, _VERDICTS, count)
    scores = np.exp(rng.normal(0.3, 0.7, count))
    moments = [_BEGIN + _SPAN * (i / count) for i in range(count)]
    sink.write(
        "submission",
        ("number", "id", "user_id", "problem", "device", "mode", "language", "filename",
         "source_hash", "submitted_at"),
        (
            (i + 1, ids[i], int(users[i]), problems[i], DEVICE, modes[i], "python", "solution.py",
             f"{i:064x}", moments[i])
            for i in range(count)
        ),
    )  # fmt: skip
    sink.write(
        "submission_file",
        ("submission_id", "path", "content"),
        ((i, "solution.py", _SOURCE) for i in ids),
    )
    sink.write("judgement", _JUDGEMENT, (
        _judgement(i, ids[i], int(users[i]), hashes[problems[i]], moments[i], verdicts[i],
                   float(scores[i]))
        for i in range(count)
    ))  # fmt: skip
    sink.write("run", ("judgement_id", "position", "workload", "verdict", "detail", "samples"), (
        row for i in range(count) for row in _runs(ids[i], verdicts[i])
    ))  # fmt: skip


_JUDGEMENT = (
    "id", "submission_id", "user_id", "number", "attempt", "is_current", "device", "package_hash",
    "state", "since", "created_at", "claimed_at", "ended_at", "worker", "token_hash",
    "charged", "reason", "device_s", "verdict", "score", "score_low", "score_high", "latency_ns",
    "baseline_ns", "artifact_hash", "result",
)  # fmt: skip


def _judgement(
    i: int, id: UUID, user: int, package: str, moment: datetime, verdict: str, score: float
) -> tuple[Any, ...]:
    accepted = verdict == "AC"
    ended = moment + timedelta(seconds=20)
    figures = (score, score * 0.99, score * 1.01, 1e6, score * 1e6) if accepted else (None,) * 5
    return (
        id, id, user, i + 1, 1, True, DEVICE, package, "judged", ended, moment,
        moment + timedelta(seconds=5), ended, "bench-worker", f"{i:064x}",
        True, "", 12.5, verdict, *figures, f"{i:064x}", _RESULTS[verdict],
    )  # fmt: skip


def _result(verdict: str) -> str:
    result = make_result("a" * 64, verdict=Verdict(verdict), log="compiled\n" * 20)
    return result.model_copy(update={"runs": ()}).model_dump_json()


_RESULTS = {verdict: _result(verdict) for verdict, _ in _VERDICTS}


def _run_rows() -> list[tuple[int, str, str, str]]:
    samples = json.dumps([list(range(1000, 1030)), list(range(2000, 2030))])
    exclude = {"candidate_samples_ns", "baseline_samples_ns"}
    runs: Iterable[wire.Run] = make_result("a" * 64).runs
    return [
        (position, run.workload, run.model_dump_json(exclude=exclude), samples)
        for position, run in enumerate(runs)
    ]


_RUNS = _run_rows()


def _runs(id: UUID, verdict: str) -> Iterator[tuple[Any, ...]]:
    for position, workload, detail, samples in _RUNS:
        yield id, position, workload, verdict, detail, samples


def settle(url: str) -> None:
    """Have everything that was written in bulk on disk, and known to the planner of queries."""
    postgres = make_url(url).get_backend_name() == "postgresql"
    commands = (
        ("VACUUM ANALYZE", "CHECKPOINT") if postgres else ("PRAGMA wal_checkpoint(TRUNCATE)",)
    )
    engine = _engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for command in commands:
            connection.exec_driver_sql(command)
    engine.dispose()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return create_engine(parsed)


class _Sink:
    """Writes rows in bulk, past the service and its models."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._postgres = self._engine.dialect.name == "postgresql"

    def write(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        raw = self._engine.raw_connection()
        try:
            if self._postgres:
                self._copy(raw, table, columns, rows)
            else:
                self._insert(raw, table, columns, rows)
            raw.commit()
        finally:
            raw.close()

    def close(self) -> None:
        """Let the database count on from where the rows end."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if self._postgres:
                for table, column in (("user_account", "id"), ("token", "id"),
                                      ("submission", "number")):  # fmt: skip
                    connection.exec_driver_sql(
                        f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "
                        f"(SELECT max({column}) FROM {table}))"
                    )
        self._engine.dispose()

    def _copy(self, raw: Any, table: str, columns: Sequence[str], rows: Iterable[Any]) -> None:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row([str(v) if isinstance(v, np.str_) else v for v in row])

    def _insert(self, raw: Any, table: str, columns: Sequence[str], rows: Iterable[Any]) -> None:
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        cursor = raw.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        batch: list[tuple[Any, ...]] = []
        for row in rows:
            batch.append(tuple(_plain(value) for value in row))
            if len(batch) == _BATCH:
                cursor.executemany(statement, batch)
                batch.clear()
        cursor.executemany(statement, batch)


def _plain(value: Any) -> Any:
    """As SQLAlchemy stores it in SQLite."""
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return str(value) if isinstance(value, np.str_) else value
