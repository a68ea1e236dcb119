"""The worker's job: claim a judgement over HTTP, judge it, hand the result in.

The database is the queue. RQ only wakes the worker up: the job carries a judgement's id, and the
claim decides whether there is anything to do. `judge.dispatch` has the process around this.
"""

import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

import structlog

from judge.cache import PackageCache
from judge.client import Client
from judge.errors import ApiError
from judge.hygiene import Hygiene
from judge.lease import Abort, Interrupts, Lease, Reason, ended
from judge.package import Package
from judge.retry import Retry
from judge.settings import WorkerSettings
from judge.spool import Spool, Undelivered
from judge.wire import Claim, ClaimRequest, JudgementResult, Progress

_LOG = structlog.get_logger("opjudge.worker")

_DELIVERY = Retry(attempts=6, first_s=0.2, factor=2.5, longest_s=8.0)

_GIVES_BACK = (Reason.STOPPING, Reason.TOO_LONG)

Evaluate = Callable[[Claim, Package, Callable[[Progress], None]], JudgementResult]
"""Judges a claimed submission; may raise InfrastructureError, and lets Abort through."""


@dataclass(frozen=True, slots=True)
class Work:
    """What judging one submission needs; made by the parent, used in the child.

    Attributes:
        connect: opens a connection to the service. One each per process: sockets do not survive
            a fork.
    """

    settings: WorkerSettings
    connect: Callable[[], Client]
    evaluate: Evaluate
    packages: PackageCache
    spool: Spool
    interrupts: Interrupts
    hygiene: Hygiene


def claim_request(settings: WorkerSettings) -> ClaimRequest:
    """Who asks for work, and for which device."""
    return ClaimRequest(worker=settings.name, device=settings.device)


# RQ calls the job function by its name, with what travelled through Redis and nothing else.
current: ContextVar[Work] = ContextVar("work")


def judge(judgement_id: str, attempt: int) -> None:
    """The RQ job: judge this judgement, if it is still to be judged. Runs in the work-horse."""
    work = current.get()
    with work.connect() as client:
        try:
            claim = client.claim(UUID(judgement_id), claim_request(work.settings))
        except ApiError as error:
            # Judged, cancelled or claimed meanwhile; or no answer, then polling finds it again.
            _LOG.info("nothing to do", judgement=judgement_id, attempt=attempt, why=str(error))
            return
        perform(claim, work, client)


def perform(claim: Claim, work: Work, client: Client) -> None:
    """Judge a claimed submission and hand in what came of it."""
    log = _LOG.bind(judgement=str(claim.judgement_id), problem=claim.problem, attempt=claim.attempt)
    log.info("judging", mode=claim.mode.value)
    with Lease(client, claim, work.interrupts.abort, work.settings.judging_limit_s) as lease:
        try:
            with work.interrupts.armed():
                package = work.packages.whole(
                    claim.problem,
                    claim.package_hash,
                    lambda: client.worker_package(claim.package_hash),
                )
                result = work.evaluate(claim, package, lease.report)
        except Abort as abort:
            log.info("broken off", reason=abort.reason.value)
            if abort.reason in _GIVES_BACK:
                stopping = abort.reason is Reason.STOPPING
                _release(client, claim, abort.reason.value, stopping=stopping)
            return
        # The job boundary: whatever goes wrong on our side must give the judgement back at once,
        # so that it is retried (and ends as JE when retries are used up), never lost.
        except Exception as error:  # noqa: BLE001
            # As text: structlog's own rendering prints local variables, a contestant's among them.
            log.error("judging failed", exception=traceback.format_exc())
            _release(client, claim, f"{type(error).__name__}: {error}")
            return
        left = work.hygiene.left_by_judging()
        if left:
            # Measured on a machine that was not clean: it does not count, whatever it is.
            work.hygiene.quarantine(left)
            log.error("the judging left something behind; its result does not count", left=left)
            _release(client, claim, f"the worker is in quarantine: {'; '.join(left)}")
            return
        log.info("judged", verdict=result.verdict.value, elapsed_s=round(result.elapsed_s, 2))
        undelivered = Undelivered(
            judgement_id=claim.judgement_id, lease_token=claim.lease_token, result=result
        )
        deliver(undelivered, work, client)


def deliver(undelivered: Undelivered, work: Work, client: Client) -> None:
    """Hand a result in, trying for a while; what cannot be handed in goes to the spool."""
    for attempt in range(_DELIVERY.attempts):
        if hand_in(undelivered, client):
            return
        try:
            with work.interrupts.armed():
                time.sleep(_DELIVERY.wait_s(attempt))
        except Abort as abort:
            if abort.reason is not Reason.STOPPING:
                return
            break
    log = _LOG.bind(judgement=str(undelivered.judgement_id))
    try:
        work.spool.put(undelivered)
    except OSError as error:
        # Neither service nor disk: the lease runs out, and the judging is repeated.
        log.error("result lost: it can be neither delivered nor kept", why=str(error))
    else:
        log.warning("result kept for later")


def hand_in(undelivered: Undelivered, client: Client) -> bool:
    """One try. True if the result need not be tried again: accepted, or refused for good."""
    log = _LOG.bind(judgement=str(undelivered.judgement_id))
    judgement_id, token = undelivered.judgement_id, undelivered.lease_token
    try:
        client.push_result(judgement_id, token, undelivered.result)
    except ApiError as error:
        if ended(error) is not None:
            log.info("result superseded", why=str(error))
            return True
        if error.status in (400, 413, 422):
            log.error("result refused", why=str(error))
            _release_by(client, judgement_id, token, f"the service refused the result: {error}")
            return True
        log.warning("result not delivered", why=str(error))
        return False
    return True


def _release(client: Client, claim: Claim, reason: str, *, stopping: bool = False) -> None:
    _release_by(client, claim.judgement_id, claim.lease_token, reason, stopping=stopping)


def _release_by(
    client: Client, judgement_id: UUID, lease_token: str, reason: str, *, stopping: bool = False
) -> None:
    try:
        client.release(judgement_id, lease_token, reason[:2000], stopping=stopping)
    except ApiError as error:
        # The lease runs out by itself.
        _LOG.warning("not released", judgement=str(judgement_id), why=str(error))
