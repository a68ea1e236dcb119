"""The state machine itself: fencing, expiry, and every interleaving hypothesis can think of."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from judge import wire
from judge.errors import ApiError
from judge.verdict import Language, Mode, Verdict
from leaderboard import judgements, queueing
from leaderboard.db import Database
from leaderboard.models import (
    Failure,
    Judgement,
    Problem,
    State,
    Submission,
    User,
)
from leaderboard.retries import MAX_ATTEMPTS, MAX_DEATHS, MAX_FAILURES, Past, why_stop
from tests.leaderboard.world import Clock, make_result

HASH = "ab" * 32
LEASE_S = 30.0
W1 = wire.ClaimRequest(worker="w1", device="cpu")


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    populate(database)
    yield database
    database.close()


def populate(db: Database) -> None:
    with db.write() as session:
        session.add(User(name="alice", key="alice", created_at=Clock().now))
        session.add(Problem(slug="p", uuid="u", package_hash=HASH))


def add_submission(db: Database, clock: Clock) -> UUID:
    with db.write() as session:
        user = session.exec(select(User)).one()
        submission = Submission(
            id=uuid4(),
            user_id=user.id,
            problem="p",
            device="cpu",
            mode=Mode.RANKED,
            language=Language.PYTHON,
            filename="a.py",
            source_hash="s",
            submitted_at=clock(),
        )
        session.add(submission)
        session.flush()
        judgements.enqueue(session, submission, HASH, clock())
        return submission.id


def current(session: Session, submission_id: UUID) -> Judgement:
    return session.exec(
        select(Judgement).where(Judgement.submission_id == submission_id, col(Judgement.is_current))
    ).one()


def claim_current(db: Database, submission_id: UUID, clock: Clock) -> wire.Claim:
    with db.write() as session:
        judgement = current(session, submission_id)
        return judgements.claim(session, judgement.id, W1, clock(), LEASE_S)


def outcome_of(action: Callable[[], object]) -> str:
    """What an action came to: done, or the code of its refusal."""
    try:
        action()
    except ApiError as error:
        return error.code
    return "done"


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(ApiError) as caught:
        yield
    assert caught.value.code == code


# --- expiry and fencing -------------------------------------------------------------------


def test_a_silent_worker_loses_its_judgement(db: Database, clock: Clock) -> None:
    submission_id = add_submission(db, clock)
    old = claim_current(db, submission_id, clock)
    now = clock.advance(LEASE_S + 1)

    with db.write() as session:
        assert judgements.overdue(session, now) == [old.judgement_id]
        assert judgements.expire(session, old.judgement_id, now) is not None
        assert judgements.expire(session, old.judgement_id, now) is None, "only once"

    new = claim_current(db, submission_id, clock)
    assert (new.attempt, new.judgement_id != old.judgement_id) == (2, True)
    with db.write() as session, refused("lease-lost"):
        late = make_result(HASH, verdict=Verdict.WA)
        judgements.record(session, old.judgement_id, old.lease_token, late, now)
    with db.write() as session, refused("lease-lost"):
        judgements.record(session, new.judgement_id, old.lease_token, make_result(HASH), now)
    with db.write() as session:
        result = make_result(HASH)
        assert judgements.record(session, new.judgement_id, new.lease_token, result, now)
        assert current(session, submission_id).verdict is Verdict.AC


def test_a_late_worker_that_nobody_replaced_is_still_welcome(db: Database, clock: Clock) -> None:
    claim = claim_current(db, add_submission(db, clock), clock)
    now = clock.advance(10 * LEASE_S)

    with db.write() as session:
        judgements.heartbeat(session, claim.judgement_id, claim.lease_token, now, LEASE_S)
        assert judgements.overdue(session, now) == []
        assert judgements.expire(session, claim.judgement_id, now) is None


def test_two_deaths_end_a_submission_as_our_error(db: Database, clock: Clock) -> None:
    submission_id = add_submission(db, clock)

    for _ in range(2):
        claim = claim_current(db, submission_id, clock)
        now = clock.advance(LEASE_S + 1)
        with db.write() as session:
            assert judgements.expire(session, claim.judgement_id, now) is not None

    with db.read() as session:
        judgement = current(session, submission_id)
        assert (judgement.state, judgement.verdict) == (State.JUDGED, Verdict.JE)
        assert "2 workers died" in judgement.reason
        assert judgement.result is not None
        result = wire.JudgementResult.model_validate_json(judgement.result)
        assert "w1 fell silent" in result.message
        assert result.environment.worker == "w1"
    with db.write() as session, refused("lease-lost"):
        judgements.record(
            session, claim.judgement_id, claim.lease_token, make_result(HASH), clock()
        )


def test_our_failures_are_charged_to_nobody(db: Database, clock: Clock) -> None:
    submission_id = add_submission(db, clock)
    first = claim_current(db, submission_id, clock)
    clock.advance(10)
    with db.write() as session:
        error = make_result(HASH, verdict=Verdict.JE)
        judgements.record(session, first.judgement_id, first.lease_token, error, clock())
        assert queueing.device_time_s(session, "cpu", clock()) in ({}, {1: 0.0})
    second = claim_current(db, submission_id, clock)
    clock.advance(7)
    with db.write() as session:
        judgements.record(
            session, second.judgement_id, second.lease_token, make_result(HASH), clock()
        )
        (used,) = queueing.device_time_s(session, "cpu", clock()).values()
    assert used == 7.0


def test_the_database_refuses_a_second_current_judgement(db: Database, clock: Clock) -> None:
    submission_id = add_submission(db, clock)

    twin = Judgement(
        id=uuid4(),
        submission_id=submission_id,
        user_id=1,
        number=1,
        attempt=2,
        device="cpu",
        package_hash=HASH,
        since=clock(),
        created_at=clock(),
    )
    with pytest.raises(IntegrityError), db.write() as session:
        session.add(twin)


def test_of_many_workers_at_once_one_gets_the_judgement(db: Database, clock: Clock) -> None:
    submission_id = add_submission(db, clock)
    with db.read() as session:
        judgement_id = current(session, submission_id).id
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def claim() -> None:
        with db.write() as session:
            judgements.claim(session, judgement_id, W1, clock(), LEASE_S)

    def race() -> None:
        start.wait()
        outcomes.append(outcome_of(claim))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["already-claimed"] * 7 + ["done"]


@pytest.mark.parametrize("_", range(10))
def test_result_and_cancel_at_once_leave_one_outcome(db: Database, clock: Clock, _: int) -> None:
    submission_id = add_submission(db, clock)
    claim = claim_current(db, submission_id, clock)
    start = threading.Barrier(2)
    outcomes: dict[str, str] = {}

    def finish() -> None:
        result, token = make_result(HASH), claim.lease_token
        with db.write() as session:
            judgements.record(session, claim.judgement_id, token, result, clock())

    def cancel() -> None:
        with db.write() as session:
            judgements.cancel(session, submission_id, clock())

    def race(name: str, action: Callable[[], None]) -> None:
        start.wait()
        outcomes[name] = outcome_of(action)

    threads = [
        threading.Thread(target=race, args=("finish", finish)),
        threading.Thread(target=race, args=("cancel", cancel)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with db.read() as session:
        state = current(session, submission_id).state
    assert (state, outcomes) in [
        (State.JUDGED, {"finish": "done", "cancel": "already-final"}),
        (State.CANCELLED, {"finish": "cancelled", "cancel": "done"}),
    ]


# --- when to stop trying ------------------------------------------------------------------

HISTORIES = st.lists(
    st.builds(Past, failure=st.sampled_from(Failure), charged=st.booleans()), max_size=30
)


@pytest.mark.parametrize(
    ("history", "stops"),
    [
        ([], False),
        ([Past(Failure.EXPIRED)], False),
        ([Past(Failure.EXPIRED)] * 2, True),
        ([Past(Failure.ERROR)] * 2, False),
        ([Past(Failure.ERROR)] * 3, True),
        ([Past(Failure.ERROR), Past(Failure.RELEASED), Past(Failure.EXPIRED)], True),
        ([Past(Failure.RELEASED, charged=False)] * 19, False),
        ([Past(Failure.RELEASED, charged=False)] * 20, True),
    ],
)
def test_when_we_stop_trying(history: list[Past], stops: bool) -> None:
    assert (why_stop(history) is not None) is stops


@given(HISTORIES)
def test_trying_ends_for_every_history(history: list[Past]) -> None:
    stopped = why_stop(history) is not None

    deaths = sum(p.failure is Failure.EXPIRED for p in history)
    charged = sum(p.charged for p in history)
    assert stopped == (
        deaths >= MAX_DEATHS or charged >= MAX_FAILURES or len(history) >= MAX_ATTEMPTS
    )
    if stopped:
        assert why_stop([*history, Past(Failure.ERROR)]) is not None, "it stays so"


def test_leases_end_in_time(db: Database, clock: Clock) -> None:
    claim = claim_current(db, add_submission(db, clock), clock)

    with db.read() as session:
        judgement = session.get(Judgement, claim.judgement_id)
        assert judgement is not None
        assert judgement.lease_until == clock() + timedelta(seconds=LEASE_S)
        assert judgements.overdue(session, judgement.lease_until) == []
