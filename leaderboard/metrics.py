"""What `/metrics` tells Prometheus. Queues and devices are asked for at each scrape."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlmodel import Session, col, func, select

from judge.verdict import Verdict
from leaderboard.db import Database
from leaderboard.events import EventHub
from leaderboard.models import WITH_WORKER, Failure, Judgement, State
from leaderboard.results import left_out

WINDOW = timedelta(hours=1)
"""How far back shares are counted."""
_LATENCIES_S = (1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """Counters of this process, and what the database knows of all.

    Args:
        devices: that problems are judged on.
        clock: the present.
    """

    def __init__(
        self, db: Database, hub: EventHub, devices: tuple[str, ...], clock: Callable[[], datetime]
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Present(db, hub, devices, clock))
        self.lease_expiries = Counter(
            "opjudge_lease_expiries", "Judgements taken from silent workers.",
            ["device"], registry=self._registry,
        )  # fmt: skip
        self.given_up = Counter(
            "opjudge_submissions_given_up", "Submissions that ended as JE; see the audit trail.",
            ["device"], registry=self._registry,
        )  # fmt: skip
        self.verdict_latency = Histogram(
            "opjudge_verdict_latency_seconds", "From handing in to the verdict.",
            ["device"], buckets=_LATENCIES_S, registry=self._registry,
        )  # fmt: skip
        self.canary_surprises = Counter(
            "opjudge_canary_surprises", "Known programs that were not judged as they must be.",
            ["device"], registry=self._registry,
        )  # fmt: skip
        for device in devices:
            self.canary_surprises.labels(device)
            self.lease_expiries.labels(device)
            self.given_up.labels(device)
            self.verdict_latency.labels(device)

    def text(self) -> bytes:
        """In the format of Prometheus."""
        return generate_latest(self._registry)


class _Present(Collector):
    """Looks when it is asked. What it reads is the queue and the last hour, never the history."""

    def __init__(
        self, db: Database, hub: EventHub, devices: tuple[str, ...], clock: Callable[[], datetime]
    ) -> None:
        self._db = db
        self._hub = hub
        self._devices = devices
        self._clock = clock

    def describe(self) -> Iterator[GaugeMetricFamily]:
        # Registering must not ask a database that may not be there yet.
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        streams = GaugeMetricFamily("opjudge_sse_clients", "Open event streams of this process.")
        streams.add_metric([], self._hub.followers)
        yield streams
        families = {
            name: GaugeMetricFamily(f"opjudge_{name}", text, labels=["device"])
            for name, text in _GAUGES.items()
        }
        now = self._clock()
        with self._db.read() as session:
            for device in self._devices:
                for name, value in _of_device(session, device, now).items():
                    families[name].add_metric([device], value)
        yield from families.values()


_GAUGES = {
    "queue_length": "Judgements that wait.",
    "oldest_waiting_seconds": "How long the oldest of them has waited; 0 if none does.",
    "judgements_running": "Judgements with a worker.",
    "judging_error_ratio": "Share of attempts at judging in the last hour that failed through us.",
    "device_busy_ratio": "Share of the last hour that the device's workers were judging.",
}


def _of_device(session: Session, device: str, now: datetime) -> dict[str, float]:
    pending = (col(Judgement.ended_at).is_(None), Judgement.device == device)
    waiting, since = session.exec(
        select(func.count(), func.min(Judgement.created_at)).where(
            *pending, Judgement.state == State.QUEUED
        )
    ).one()
    running = session.exec(
        select(Judgement.worker, Judgement.claimed_at).where(
            *pending, col(Judgement.state).in_(WITH_WORKER)
        )
    ).all()
    ended = session.exec(
        select(Judgement)
        .options(left_out())
        .where(Judgement.device == device, col(Judgement.ended_at) > now - WINDOW)
    ).all()
    spans = [(worker, claimed, now) for worker, claimed in running]
    spans += [(each.worker, each.claimed_at, each.ended_at) for each in ended if each.ended_at]
    failed = sum(
        each.verdict is Verdict.JE or each.failure in (Failure.ERROR, Failure.EXPIRED)
        for each in ended
    )
    return {
        "queue_length": waiting,
        "oldest_waiting_seconds": max(0.0, (now - since).total_seconds()) if since else 0.0,
        "judgements_running": len(running),
        "judging_error_ratio": failed / len(ended) if ended else 0.0,
        "device_busy_ratio": _busy(spans, now),
    }


def _busy(spans: list[tuple[str, datetime | None, datetime]], now: datetime) -> float:
    """Of the time of all workers that were heard of within the window."""
    workers = {worker for worker, claimed, _ in spans if claimed}
    begin = now - WINDOW
    seconds = sum(
        (end - max(claimed, begin)).total_seconds() for _, claimed, end in spans if claimed
    )
    return seconds / (WINDOW.total_seconds() * len(workers)) if workers else 0.0
