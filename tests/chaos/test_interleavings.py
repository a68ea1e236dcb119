"""Workers, owners, organizers and reconcilers act in any order, on clocks that disagree.

After each step the promises are looked for in the raw tables, by a script that shares no code with
what is tested. The model beside it knows who holds what, and what was accepted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlmodel import Session, SQLModel, col, select

from judge import wire
from judge.errors import ApiError
from judge.verdict import Language, Mode, Status, Verdict
from leaderboard import boards, judgements, queueing
from leaderboard.attempts import Moved
from leaderboard.db import Database
from leaderboard.models import WITH_WORKER, Judgement, Problem, ProblemVersion, State, Submission
from leaderboard.models import User as Person
from leaderboard.retries import MAX_FAILURES
from tests.chaos.invariants import broken_promises
from tests.leaderboard.conftest import MIGRATED, postgres_url
from tests.leaderboard.world import Clock, make_result

HASH = "ab" * 32
LEASE_S = 30.0
PEOPLE = ("ada", "bob")
WORKERS = ("w1", "w2", "w3")
# What somebody's clock may say, in seconds beside the truth: more than a lease either way.
SKEWS = st.sampled_from([0.0, 0.0, 0.0, -45.0, 45.0])
ACTS = st.sampled_from(["heartbeat", "progress", "release", "stop", "AC", "AC", "WA", "JE"])


@dataclass(frozen=True)
class Handed:
    """A claim that was once given out; whoever has it may speak at any time, more than once."""

    claim: wire.Claim
    worker: str


class Judging(RuleBasedStateMachine):
    """One service, at any moment of any history."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.db = self.database()
        self.clock = Clock()
        self.submissions: list[UUID] = []
        self.handed: list[Handed] = []
        self.jobs: list[UUID] = []
        self.verdicts: dict[tuple[UUID, int], int] = {}
        self.scores = 1.0
        with self.db.write() as session:
            session.add(Problem(slug="p", uuid="u", package_hash=HASH))
            for name in PEOPLE:
                session.add(Person(name=name, key=name, created_at=self.clock()))
        with self.db.write() as session:
            version = ProblemVersion(
                problem="p", package_hash=HASH, version="1", created_at=self.clock()
            )
            session.add(version)
            boards.rebuild(session, "p", "cpu", "1", self.clock())

    def database(self) -> Database:
        raise NotImplementedError

    def teardown(self) -> None:
        self.db.close()

    def now(self, skew_s: float) -> datetime:
        return self.clock() + timedelta(seconds=skew_s)

    # --- people ---------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.submit(0, 0.0)

    @precondition(lambda self: len(self.submissions) < 5)
    @rule(person=st.sampled_from([0, 1]), skew_s=SKEWS)
    def submit(self, person: int, skew_s: float) -> None:
        with self.db.write() as session:
            submission = Submission(
                id=uuid4(),
                user_id=session.exec(select(Person.id).where(Person.name == PEOPLE[person])).one(),
                problem="p",
                device="cpu",
                mode=Mode.RANKED,
                language=Language.PYTHON,
                filename="a.py",
                source_hash="s",
                submitted_at=self.now(skew_s),
            )
            session.add(submission)
            session.flush()
            made = judgements.enqueue(session, submission, HASH, self.now(skew_s))
        self.submissions.append(submission.id)
        self.jobs.append(made.id)

    @rule(data=st.data(), skew_s=SKEWS)
    def cancel(self, data: st.DataObject, skew_s: float) -> None:
        submission = data.draw(st.sampled_from(self.submissions))
        state = self.current(submission).state
        outcome = self.attempt(
            submission,
            lambda session: judgements.cancel(session, submission, self.now(skew_s)),
        )
        final = state in (State.JUDGED, State.CANCELLED)
        assert outcome == ("already-final" if final else "done")

    @rule(data=st.data(), skew_s=SKEWS)
    def rejudge(self, data: st.DataObject, skew_s: float) -> None:
        submission = data.draw(st.sampled_from(self.submissions))
        state = self.current(submission).state
        outcome = self.attempt(
            submission,
            lambda session: judgements.rejudge(session, submission, HASH, self.now(skew_s)),
        )
        final = state in (State.JUDGED, State.CANCELLED)
        assert outcome == ("done" if final else "not-final")
        self.jobs.append(self.current(submission).id)

    # --- time and the reconciler ----------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 20, 31]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(skew_s=SKEWS)
    def reconcile(self, skew_s: float) -> None:
        now = self.now(skew_s)
        with self.db.read() as session:
            overdue = judgements.overdue(session, now)
        for judgement_id in overdue:
            with self.db.write() as session:
                moved = judgements.expire(session, judgement_id, now)
                assert moved is not None, "nobody was faster"
                boards.refresh(session, moved.submission_id)
                assert judgements.expire(session, judgement_id, now) is None, "only once"
            self.jobs.append(self.current(moved.submission_id).id)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def reconcile_late(self, data: st.DataObject) -> None:
        """A second reconciler that looked long ago, and acts now."""
        judgement_id = data.draw(st.sampled_from(self.jobs))
        overdue = self.is_overdue(judgement_id)
        with self.db.write() as session:
            moved = judgements.expire(session, judgement_id, self.clock())
            assert (moved is not None) == overdue
            if moved is not None:
                boards.refresh(session, moved.submission_id)

    @rule(depth=st.sampled_from([1, 4]))
    def feed(self, depth: int) -> None:
        """Jobs go to Redis, which may lose or repeat them: `claim_by_job`."""
        with self.db.write() as session:
            taken = queueing.take_for_redis(session, "cpu", self.clock(), depth)
        self.jobs.extend(judgement_id for judgement_id, _ in taken)

    # --- workers --------------------------------------------------------------------------

    @rule(worker=st.sampled_from(WORKERS), skew_s=SKEWS)
    def poll(self, worker: str, skew_s: float) -> None:
        with self.db.read() as session:
            line = queueing.next_in_line(session, "cpu", self.now(skew_s))
        for judgement_id in line:
            assert self.claim(judgement_id, worker, skew_s) == "done"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS), skew_s=SKEWS)
    def claim_by_job(self, data: st.DataObject, worker: str, skew_s: float) -> None:
        """A job arrives: for the first time, again, or long after all is over."""
        judgement_id = data.draw(st.sampled_from(self.jobs))
        with self.db.read() as session:
            judgement = session.get(Judgement, judgement_id)
            assert judgement is not None
        waits = judgement.state is State.QUEUED
        outcome = self.claim(judgement_id, worker, skew_s)
        assert outcome == ("done" if waits else "already-claimed")

    def claim(self, judgement_id: UUID, worker: str, skew_s: float) -> str:
        request = wire.ClaimRequest(worker=worker, device="cpu")
        try:
            with self.db.write() as session:
                now = self.now(skew_s)
                claim = judgements.claim(session, judgement_id, request, now, LEASE_S)
        except ApiError as error:
            return error.code
        self.handed.append(Handed(claim, worker))
        return "done"

    @precondition(lambda self: self.handed)
    @rule(data=st.data(), act=ACTS, skew_s=SKEWS)
    def worker_speaks(self, data: st.DataObject, act: str, skew_s: float) -> None:
        """In time, late, or again."""
        claim = data.draw(st.sampled_from(self.handed)).claim
        with self.db.read() as session:
            before = session.get(Judgement, claim.judgement_id)
            assert before is not None
        held, moved = before.state in WITH_WORKER, list[Moved | None]()
        outcome = self.attempt(
            claim.submission_id,
            lambda session: moved.append(self.act(session, claim, act, self.now(skew_s))),
        )
        if held:
            assert outcome == "done", f"{act} by the holder was refused: {outcome}"
        elif outcome == "done":
            assert act not in ("heartbeat", "progress")
            assert moved == [None], "a repetition changes nothing"
        else:
            assert outcome in ("lease-lost", "cancelled")
        if act in ("AC", "WA") and moved and moved[0] is not None:
            key = (claim.submission_id, before.round)
            self.verdicts[key] = self.verdicts.get(key, 0) + 1
            assert self.verdicts[key] == 1, "judged twice"

    @precondition(lambda self: self.handed)
    @rule(data=st.data(), act=ACTS)
    def a_stranger_speaks(self, data: st.DataObject, act: str) -> None:
        """The right judgement with the token of another claim."""
        one, other = (data.draw(st.sampled_from(self.handed)).claim for _ in range(2))
        if one.judgement_id == other.judgement_id:
            return
        forged = one.model_copy(update={"lease_token": other.lease_token})
        outcome = self.attempt(
            one.submission_id, lambda session: self.act(session, forged, act, self.clock())
        )
        assert outcome == "lease-lost"

    def act(self, session: Session, claim: wire.Claim, act: str, now: datetime) -> Moved | None:
        judgement_id, token = claim.judgement_id, claim.lease_token
        if act == "heartbeat":
            judgements.heartbeat(session, judgement_id, token, now, LEASE_S)
            return None
        if act == "progress":
            report = wire.Progress(status=Status.CHECKING)
            return judgements.progress(session, judgement_id, token, report, now)
        if act in ("release", "stop"):
            charged = act == "release"
            return judgements.release(session, judgement_id, token, act, now, charged=charged)
        self.scores += 0.5
        score = wire.Interval(value=self.scores, low=self.scores - 0.1, high=self.scores + 0.1)
        changes = {"score": score, "artifact_hash": claim.submission_id.hex} if act == "AC" else {}
        message = "" if act == "AC" else "the device is gone"
        result = make_result(HASH, verdict=Verdict(act), message=message, **changes)
        return judgements.record(session, judgement_id, token, result, now)

    # --- the promises ---------------------------------------------------------------------

    def attempt(self, submission: UUID, action: Callable[[Session], object]) -> str:
        """A use case: the move, and the board with it, in one transaction."""
        try:
            with self.db.write() as session:
                action(session)
                boards.refresh(session, submission)
        except ApiError as error:
            return error.code
        return "done"

    def current(self, submission: UUID) -> Judgement:
        with self.db.read() as session:
            return session.exec(
                select(Judgement).where(
                    Judgement.submission_id == submission, col(Judgement.is_current)
                )
            ).one()

    def is_overdue(self, judgement_id: UUID) -> bool:
        with self.db.read() as session:
            return judgement_id in judgements.overdue(session, self.clock())

    @invariant()
    def promises(self) -> None:
        assert broken_promises(self.url) == {}

    @invariant()
    def trying_ends(self) -> None:
        with self.db.read() as session:
            rows = session.exec(
                select(Judgement.submission_id, Judgement.round).where(
                    col(Judgement.charged), col(Judgement.failure).is_not(None)
                )
            ).all()
        assert all(rows.count(row) <= MAX_FAILURES for row in rows)

    @invariant()
    def verdicts_stay(self) -> None:
        for (submission, round), _ in self.verdicts.items():
            current = self.current(submission)
            assert current.round > round or current.verdict in (Verdict.AC, Verdict.WA)


def explore(machine: type[Judging], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_interleaving_keeps_the_promises(folder: Path, sqlite_template: Path) -> None:
    class OnSqlite(Judging):
        def database(self) -> Database:
            path = folder / f"{uuid4().hex}.db"
            path.write_bytes(sqlite_template.read_bytes())
            self.url = f"sqlite:///{path}"
            return Database(self.url)

    explore(OnSqlite, examples=25, steps=30)


def test_some_interleavings_on_postgresql(postgres_socket: str) -> None:
    url = postgres_url(postgres_socket, MIGRATED)

    class OnPostgresql(Judging):
        def database(self) -> Database:
            self.url = url
            database = Database(url)
            tables = ", ".join(SQLModel.metadata.tables)
            with database.engine.begin() as connection:
                connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
            return database

    explore(OnPostgresql, examples=5, steps=25)
