"""Puts right what a process that died left behind.

Of several web processes one at a time does it. That spares work and nothing else: every move is
conditional, so two at once would do no harm.
"""

import threading
from datetime import datetime, timedelta

import structlog
from sqlmodel import col, select

from leaderboard import boards, canary, judgements
from leaderboard.machine import SEND, Actor, move
from leaderboard.models import Judgement, State
from leaderboard.services import Services

log = structlog.get_logger(__name__)


def reconcile(services: Services, now: datetime) -> None:
    """One round: end leases that ran out, look for jobs Redis lost, the canary, fill the queues."""
    with services.db.leading() as leading:
        if not leading:
            return
        end_leases(services, now)
        find_lost_jobs(services, now)
        canary.turn(services, now)
        for device in services.catalog.devices:
            services.feed(device)


def end_leases(services: Services, now: datetime) -> None:
    """Take judgements from silent workers."""
    with services.db.read() as session:
        overdue = judgements.overdue(session, now)
    for judgement_id in overdue:
        with services.db.write() as session:
            moved = judgements.expire(session, judgement_id, now)
            changed = moved is not None and boards.refresh(session, moved.submission_id)
        if moved is not None:
            log.warning(
                "lease expired",
                submission=str(moved.submission_id),
                judgement=str(judgement_id),
            )
            services.metrics.lease_expiries.labels(moved.device).inc()
            services.announce(moved, board=changed)


def find_lost_jobs(services: Services, now: datetime) -> None:
    """Hand judgements to Redis again that should lie there and do not."""
    if not services.dispatcher.enabled:
        return
    long_ago = now - timedelta(seconds=services.settings.requeue_s)
    with services.db.read() as session:
        sent = session.exec(
            select(Judgement.id, Judgement.attempt, Judgement.device).where(
                col(Judgement.ended_at).is_(None),
                Judgement.state == State.QUEUED,
                col(Judgement.enqueued_at) < long_ago,
            )
        ).all()
    for judgement_id, attempt, device in sent:
        if services.dispatcher.waiting(judgement_id, attempt) is not False:
            continue
        if services.dispatcher.enqueue(judgement_id, attempt, device):
            log.warning("job was lost, sent again", judgement=str(judgement_id))
            with services.db.write() as session:
                this = (Judgement.id == judgement_id,)
                move(session, SEND, Actor.RECONCILER, this, now, enqueued_at=now)


class Reconciler:
    """Runs a round every few seconds in a thread of its own, the first one at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                reconcile(self._services, self._services.clock())
            # The boundary of the thread: a round that fails (the database restarts) must not be
            # the last one.
            except Exception:
                log.exception("reconciling failed, trying again")
            self._stopped.wait(self._services.settings.reconcile_s)
