"""What every request needs, put together once and passed down."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from judge.building import CPP_FLAGS
from judge.package import load_all
from judge.signing import Signer, load_signer
from leaderboard import queueing
from leaderboard.accounts import Passwords
from leaderboard.attempts import Moved
from leaderboard.catalog import Catalog
from leaderboard.db import Database
from leaderboard.dispatch import Dispatcher
from leaderboard.events import EventHub, board_topic, queue_topic, submission_topic
from leaderboard.kept import Kept
from leaderboard.metrics import Metrics
from leaderboard.relay import Relay
from leaderboard.settings import Settings
from leaderboard.throttle import Throttle

# Of a hundred rows each: some 50 MB if every one of them is in use.
_PAGES = 256

Clock = Callable[[], datetime]

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The present, with its time zone."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running service.

    Attributes:
        pages: boards as they were last shown.
    """

    settings: Settings
    db: Database
    catalog: Catalog
    hub: EventHub
    relay: Relay
    dispatcher: Dispatcher
    passwords: Passwords
    clock: Clock
    pages: Kept
    metrics: Metrics
    throttle: Throttle

    @property
    def signer(self) -> Signer:
        """What records are signed with. Raises UserError if the key file is damaged."""
        return load_signer(self.settings.signing_key)

    def announce(self, moved: Moved, *, board: bool = False) -> None:
        """After a commit: tell the streams, and hand more work to the queue.

        Args:
            board: whether the board looks different now.
        """
        if moved.gave_up:
            self._alert(moved)
        topics = [submission_topic(moved.submission_id), queue_topic(moved.device)]
        if board:
            topics.append(board_topic(moved.problem, moved.device))
        self.relay.publish(*topics)
        self.feed(moved.device)

    def _alert(self, moved: Moved) -> None:
        """For whoever operates this: it is our fault, and nothing tries it again."""
        log.error(
            "gave up judging a submission: see why, then `opjudge admin rejudge`",
            submission=str(moved.submission_id),
            problem=moved.problem,
            device=moved.device,
            reason=moved.gave_up,
        )
        self.metrics.given_up.labels(moved.device).inc()

    def announce_progress(self, moved: Moved) -> None:
        """After a commit that changed no queue and no board."""
        self.relay.publish(submission_topic(moved.submission_id))

    def feed(self, device: str) -> None:
        """Keep the queue of a device a few judgements deep."""
        if not self.dispatcher.enabled:
            return
        depth = self.settings.queue_depth
        # While many hand in it is deep enough, and they need not wait for each other here.
        # Whoever makes room later sees what is waiting now, and feeds it.
        with self.db.read() as session:
            if queueing.sent(session, device) >= depth:
                return
        with self.db.write() as session:
            taken = queueing.take_for_redis(session, device, self.clock(), depth)
        for judgement_id, attempt in taken:
            self.dispatcher.enqueue(judgement_id, attempt, device)


def build(settings: Settings, clock: Clock = utc_now) -> Services:
    """Make the parts. Opens no connection and writes nothing yet.

    Raises ProblemError if a problem package is invalid.
    """
    db, hub = Database(settings.database), EventHub(settings.stream_refresh_s)
    catalog = Catalog(
        load_all(settings.problems_dir),
        settings.packages_dir,
        compile_command=shlex.join(("g++", *CPP_FLAGS)),
        certificates=settings.require_certificate,
    )
    return Services(
        settings=settings,
        db=db,
        catalog=catalog,
        hub=hub,
        relay=Relay(settings.redis, hub.publish, hub.publish_all),
        dispatcher=Dispatcher(settings.redis),
        passwords=Passwords(settings.password_time_cost, settings.password_memory_kib),
        clock=clock,
        pages=Kept(_PAGES),
        metrics=Metrics(db, hub, catalog.devices, clock),
        throttle=Throttle(settings),
    )
