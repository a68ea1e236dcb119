"""The worker's job: one claimed submission, whatever happens on the way."""

import errno
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from judge.cache import PackageCache
from judge.client import Client
from judge.errors import BaselineFailed, InfrastructureError
from judge.hygiene import Hygiene
from judge.lease import Abort, Interrupts, Reason
from judge.package import Package, load_package, pack
from judge.settings import WorkerSettings
from judge.spool import Spool, Undelivered
from judge.verdict import Status, Verdict
from judge.wire import Claim, JudgementResult, Progress
from judge.worker import Evaluate, Work, current, deliver, hand_in, judge, perform
from tests.fixtures import write_package
from tests.judge.samples import JUDGEMENT_ID, make_claim, make_result
from tests.judge.stub import Answer, Reply, StubApi, refuse, say

J = f"/worker/judgements/{JUDGEMENT_ID}"
CLAIM, PROGRESS, RESULT, RELEASE = (
    f"POST {J}/{what}" for what in ("claim", "progress", "result", "release")
)
Report = Callable[[Progress], None]


class Bench:
    """A worker's desk with a stub service; judging is whatever the test says it is."""

    def __init__(self, home: Path) -> None:
        self.package = load_package(write_package(home / "original" / "row_scale"))
        self.claim = make_claim(package_hash=self.package.hash)
        self.spool = Spool(home / "spool")
        self.interrupts = Interrupts()
        self.hygiene = Hygiene(home, looks=())
        self.api = StubApi()
        self._home = home
        self.api.on(f"GET /worker/packages/{self.package.hash}", Reply(200, pack(self.package)))
        for route in (PROGRESS, RESULT, RELEASE):
            self.api.on(route, Reply(204))
        self.api.on(CLAIM, say(self.claim))

    def work(self, evaluate: Evaluate) -> Work:
        return Work(
            settings=WorkerSettings(name="w", data_dir=self._home),
            connect=self.api.client,
            evaluate=evaluate,
            packages=PackageCache(self._home / "packages"),
            spool=self.spool,
            interrupts=self.interrupts,
            hygiene=self.hygiene,
        )

    def perform(self, evaluate: Evaluate) -> None:
        with self.api.client() as client:
            perform(self.claim, self.work(evaluate), client)

    def sent(self, route: str) -> list[object]:
        return [seen.json for seen in self.api.requests(route)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("judge.worker.time.sleep", lambda _seconds: None)
    return Bench(tmp_path)


def accept(_claim: Claim, package: Package, _report: Report) -> JudgementResult:
    return make_result(package_hash=package.hash)


def failing(error: BaseException) -> Evaluate:
    def evaluate(_claim: Claim, _package: Package, _report: Report) -> JudgementResult:
        raise error

    return evaluate


def test_the_result_is_handed_in_under_the_lease(bench: Bench) -> None:
    bench.perform(accept)
    assert bench.sent(RESULT) == [
        make_result(package_hash=bench.package.hash).model_dump(mode="json")
    ]
    assert bench.api.requests(RESULT)[0].headers["lease-token"] == "lease"
    assert bench.sent(RELEASE) == []


def test_judging_gets_the_package_the_judgement_names(bench: Bench) -> None:
    seen: list[Package] = []

    def evaluate(claim: Claim, package: Package, report: Report) -> JudgementResult:
        seen.append(package)
        report(Progress(status=Status.CHECKING))
        assert claim == bench.claim
        return make_result()

    bench.perform(evaluate)
    bench.perform(evaluate)
    assert {p.hash for p in seen} == {bench.package.hash}
    assert len(bench.api.requests(f"GET /worker/packages/{bench.package.hash}")) == 1
    assert bench.sent(PROGRESS)[0] == Progress(status=Status.CHECKING).model_dump(mode="json")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BaselineFailed("the baseline crashed"), "BaselineFailed: the baseline crashed"),
        (InfrastructureError("gone"), "InfrastructureError: gone"),
        (ZeroDivisionError("a bug of ours"), "ZeroDivisionError: a bug of ours"),
    ],
)
def test_our_failures_give_the_judgement_back(bench: Bench, error: Exception, reason: str) -> None:
    bench.perform(failing(error))
    assert bench.sent(RELEASE) == [{"reason": reason, "stopping": False}]
    assert bench.sent(RESULT) == []


def test_a_package_that_cannot_be_had_gives_it_back(bench: Bench) -> None:
    bench.api.on(f"GET /worker/packages/{bench.package.hash}", Reply(200, b"broken"))
    bench.perform(accept)
    (released,) = bench.sent(RELEASE)
    assert "ProblemError" in str(released)


def test_a_reason_of_any_length_can_be_told(bench: Bench) -> None:
    bench.perform(failing(ValueError("x" * 100_000)))
    (released,) = bench.api.requests(RELEASE)
    assert len(released.json["reason"]) == 2000


@pytest.mark.parametrize(
    ("reason", "released"),
    [
        (Reason.STOPPING, [{"reason": "worker-stopping", "stopping": True}]),
        (Reason.TOO_LONG, [{"reason": "took-too-long", "stopping": False}]),
        (Reason.LOST, []),
        (Reason.CANCELLED, []),
    ],
)
def test_what_is_broken_off_is_given_back_only_if_it_is_still_ours(
    bench: Bench, reason: Reason, released: list[object]
) -> None:
    bench.perform(failing(Abort(reason)))
    assert bench.sent(RELEASE) == released
    assert bench.sent(RESULT) == []


def test_a_stop_that_came_before_the_judging_prevents_it(bench: Bench) -> None:
    bench.interrupts.reason = Reason.STOPPING
    bench.perform(failing(AssertionError("must not be judged")))
    assert bench.sent(RELEASE) == [{"reason": "worker-stopping", "stopping": True}]


def test_a_service_that_is_back_soon_gets_the_result(bench: Bench) -> None:
    bench.api.on(RESULT, httpx2.ConnectError("refused"), Reply(503), Reply(204))
    bench.perform(accept)
    assert len(bench.api.requests(RESULT)) == 3
    assert list(bench.spool) == []


def test_a_service_that_stays_away_finds_the_result_later(bench: Bench) -> None:
    bench.api.on(RESULT, httpx2.ConnectError("refused"))
    bench.perform(accept)
    (kept,) = bench.spool
    assert (kept.judgement_id, kept.lease_token) == (JUDGEMENT_ID, "lease")
    assert kept.result.verdict is Verdict.AC
    assert bench.sent(RELEASE) == []


def test_a_full_disk_ends_no_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease runs out, and the judging is repeated."""

    def full(_spool: Spool, _undelivered: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, "put", full)
    bench.api.on(RESULT, httpx2.ConnectError("refused"))
    bench.perform(accept)
    assert bench.sent(RELEASE) == []


def test_a_worker_told_to_stop_does_not_wait_for_the_service(bench: Bench) -> None:
    bench.api.on(RESULT, httpx2.ConnectError("refused"))

    def evaluate(claim: Claim, package: Package, report: Report) -> JudgementResult:
        result = accept(claim, package, report)
        bench.interrupts.reason = Reason.STOPPING
        return result

    bench.perform(evaluate)
    assert len(bench.api.requests(RESULT)) == 1
    assert len(list(bench.spool)) == 1


def test_a_result_nobody_wants_any_more_is_dropped(bench: Bench) -> None:
    bench.api.on(RESULT, httpx2.ConnectError("refused"))
    bench.interrupts.reason = Reason.CANCELLED
    with bench.api.client() as client:
        deliver(undelivered(), bench.work(accept), client)
    assert list(bench.spool) == []


def undelivered() -> Undelivered:
    return Undelivered(judgement_id=JUDGEMENT_ID, lease_token="lease", result=make_result())


@pytest.mark.parametrize(
    ("answer", "settled", "released"),
    [
        (Reply(204), True, False),
        (refuse(409, "lease-lost"), True, False),
        (refuse(409, "cancelled"), True, False),
        (refuse(404, "unknown-judgement"), True, False),
        (refuse(422, "invalid-result"), True, True),
        (refuse(413, "too-large"), True, True),
        (refuse(401, "invalid-token"), False, False),
        (refuse(500, "server-error"), False, False),
        (httpx2.ConnectError("refused"), False, False),
    ],
)
def test_when_a_result_need_not_be_tried_again(
    bench: Bench, answer: Answer, settled: bool, released: bool
) -> None:
    bench.api.on(RESULT, answer)
    with bench.api.client() as client:
        assert hand_in(undelivered(), client) is settled
    assert bool(bench.sent(RELEASE)) is released


def test_a_release_that_does_not_arrive_is_left_to_the_lease(bench: Bench) -> None:
    bench.api.on(RELEASE, httpx2.ConnectError("refused"))
    bench.perform(failing(ValueError("x")))
    assert bench.sent(RESULT) == []


# --- the RQ job ---------------------------------------------------------------------------


def run_job(bench: Bench, evaluate: Evaluate) -> None:
    token = current.set(bench.work(evaluate))
    try:
        judge(str(JUDGEMENT_ID), 1)
    finally:
        current.reset(token)


def test_the_job_claims_and_judges(bench: Bench) -> None:
    run_job(bench, accept)
    assert bench.sent(CLAIM) == [{"worker": "w", "device": "cpu"}]
    assert len(bench.sent(RESULT)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        refuse(409, "already-claimed"),
        refuse(404, "unknown-judgement"),
        refuse(503, "database-unavailable"),
        httpx2.ConnectError("refused"),
    ],
)
def test_a_job_with_nothing_to_do_is_quietly_done(bench: Bench, answer: Answer) -> None:
    bench.api.on(CLAIM, answer)
    run_job(bench, failing(AssertionError("must not be judged")))
    assert bench.sent(RELEASE) == []


def test_a_job_without_a_worker_around_it_is_a_mistake() -> None:
    with pytest.raises(LookupError):
        judge(str(UUID(int=0)), 1)


def test_each_process_connects_for_itself(bench: Bench) -> None:
    clients: list[Client] = []

    def connect() -> Client:
        clients.append(bench.api.client())
        return clients[-1]

    work = bench.work(accept)
    token = current.set(
        Work(**{f: getattr(work, f) for f in Work.__slots__} | {"connect": connect})
    )
    try:
        judge(str(JUDGEMENT_ID), 1)
    finally:
        current.reset(token)
    assert len(clients) == 1
