"""Leases: extended, given up at once when lost, and never in the way of judging."""

import os
import signal
import threading
from collections.abc import Iterator

import httpx2
import pytest

from judge.errors import ApiError
from judge.lease import Abort, Interrupts, Lease, Reason, ended
from judge.verdict import Status
from judge.wire import Heartbeat, Progress
from tests.judge.samples import JUDGEMENT_ID, make_claim
from tests.judge.stub import Answer, Reply, StubApi, refuse, say

BEAT = f"POST /worker/judgements/{JUDGEMENT_ID}/heartbeat"
PROGRESS = f"POST /worker/judgements/{JUDGEMENT_ID}/progress"
PATIENCE_S = 10.0


class Aborted:
    """Waits for the reason a lease gives up for."""

    def __init__(self) -> None:
        self._there = threading.Event()
        self.reason: Reason | None = None

    def __call__(self, reason: Reason) -> None:
        self.reason = reason
        self._there.set()

    def wait(self) -> Reason | None:
        assert self._there.wait(PATIENCE_S), "the lease was never given up"
        return self.reason


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def keep_until_aborted(api: StubApi, limit_s: float = 3600.0) -> Reason | None:
    aborted = Aborted()
    claim = make_claim(lease_s=0.03)
    with api.client() as client, Lease(client, claim, aborted, limit_s):
        return aborted.wait()


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (refuse(409, "lease-lost"), Reason.LOST),
        (refuse(409, "cancelled"), Reason.CANCELLED),
        (refuse(404, "unknown-judgement"), Reason.LOST),
    ],
)
def test_a_lease_that_is_over_ends_the_judging(refusal: Reply, reason: Reason) -> None:
    api = StubApi()
    api.on(BEAT, say(Heartbeat(lease_s=0.03)), refusal)
    assert keep_until_aborted(api) is reason
    assert [s.headers["lease-token"] for s in api.seen] == ["lease", "lease"]


def test_a_service_that_is_away_is_no_reason_to_give_up() -> None:
    api = StubApi()
    away: list[Answer] = [httpx2.ConnectError("refused"), Reply(500), httpx2.ReadTimeout("slow")]
    api.on(BEAT, *away, refuse(409, "lease-lost"))
    assert keep_until_aborted(api) is Reason.LOST
    assert len(api.seen) == 4


def test_the_granted_time_sets_the_pace() -> None:
    api = StubApi()
    beats = threading.Semaphore(0)

    def beat(_seen: object) -> Reply:
        beats.release()
        return say(Heartbeat(lease_s=3600.0))

    api.on(BEAT, beat)
    with api.client() as client, Lease(client, make_claim(lease_s=0.03), Aborted(), 3600.0):
        assert beats.acquire(timeout=PATIENCE_S)
        # The next one is due in twenty minutes.
        assert not beats.acquire(timeout=0.2)


def test_a_judging_that_hangs_loses_its_lease() -> None:
    api = StubApi()
    api.on(BEAT, say(Heartbeat(lease_s=0.03)))
    assert keep_until_aborted(api, limit_s=0.0) is Reason.TOO_LONG


def test_leaving_ends_the_thread() -> None:
    with StubApi().client() as client, Lease(client, make_claim(), Aborted(), 3600.0):
        assert any(t.name == "lease" for t in threading.enumerate())
    assert not any(t.name == "lease" for t in threading.enumerate())


# --- progress -----------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api() -> StubApi:
    return StubApi()


@pytest.fixture
def lease(api: StubApi, clock: Clock) -> Iterator[Lease]:
    with api.client() as client:
        yield Lease(client, make_claim(), Aborted(), 3600.0, clock)


def timing(done: int) -> Progress:
    return Progress(status=Status.TIMING, workload="large", done=done, total=30)


def test_progress_is_passed_on_now_and_then(api: StubApi, lease: Lease, clock: Clock) -> None:
    api.on(PROGRESS, Reply(204))
    for done in range(10):
        lease.report(timing(done))
        clock.now += 0.125
    assert [s.json["done"] for s in api.seen] == [0, 4, 8]


def test_a_new_stage_is_told_at_once_but_for_the_one_every_claim_begins_with(
    api: StubApi, lease: Lease
) -> None:
    api.on(PROGRESS, Reply(204))
    for status in (Status.BUILDING, Status.CHECKING, Status.CHECKING, Status.TIMING):
        lease.report(Progress(status=status))
    assert [s.json["status"] for s in api.seen] == ["checking", "timing"]


@pytest.mark.parametrize("trouble", [httpx2.ReadTimeout("slow"), Reply(500)])
def test_a_silent_service_is_left_alone_for_a_while(
    api: StubApi, lease: Lease, clock: Clock, trouble: Answer
) -> None:
    api.on(PROGRESS, trouble, Reply(204))
    lease.report(timing(0))
    clock.now += 4.9
    lease.report(timing(1))
    clock.now += 0.2
    lease.report(timing(2))
    assert [s.json["done"] for s in api.seen] == [0, 2]


def test_progress_learns_that_the_submission_was_cancelled(api: StubApi, lease: Lease) -> None:
    api.on(PROGRESS, refuse(409, "cancelled"))
    with pytest.raises(Abort) as caught:
        lease.report(timing(0))
    assert caught.value.reason is Reason.CANCELLED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiError("", status=409, code="cancelled"), Reason.CANCELLED),
        (ApiError("", status=409, code="lease-lost"), Reason.LOST),
        (ApiError("", status=404), Reason.LOST),
        (ApiError("", status=410), Reason.LOST),
        (ApiError("", status=0), None),
        (ApiError("", status=401), None),
        (ApiError("", status=503), None),
    ],
)
def test_what_ends_a_lease(error: ApiError, reason: Reason | None) -> None:
    assert ended(error) is reason


# --- interrupts ---------------------------------------------------------------------------


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1)}
    made = Interrupts()
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sigterm_strikes_inside_armed(interrupts: Interrupts) -> None:
    with pytest.raises(Abort) as caught, interrupts.armed():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.reason is Reason.STOPPING


def test_another_thread_interrupts_a_system_call_that_waits(interrupts: Interrupts) -> None:
    reader, writer = os.pipe()
    thread = threading.Thread(target=interrupts.abort, args=(Reason.LOST,))

    def wait_for_ever() -> None:
        with interrupts.armed():
            thread.start()
            os.read(reader, 1)  # nobody ever writes

    with pytest.raises(Abort) as caught:
        wait_for_ever()
    thread.join()
    os.close(reader)
    os.close(writer)
    assert caught.value.reason is Reason.LOST


def test_outside_it_only_leaves_a_note(interrupts: Interrupts) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert interrupts.reason is Reason.STOPPING
    with pytest.raises(Abort), interrupts.armed():
        pytest.fail("an earlier interrupt strikes on entering")


def test_it_strikes_once_so_that_cleaning_up_is_not_torn(interrupts: Interrupts) -> None:
    cleaned = False

    def clean_up() -> None:
        nonlocal cleaned
        with interrupts.armed():
            try:
                interrupts.abort(Reason.CANCELLED)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                cleaned = True

    with pytest.raises(Abort):
        clean_up()
    assert cleaned
    assert interrupts.reason is Reason.CANCELLED


def test_no_handler_for_exceptions_swallows_an_abort() -> None:
    assert not issubclass(Abort, Exception)
