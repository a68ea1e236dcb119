"""Passes the news of changes on to the other web processes, through Redis.

What travels is a hint to look, never what there is to see: that is in the database, and every
process looks there by itself now and then. So with Redis away the streams of other processes are
late and miss nothing, and whoever can write to Redis can make them look, not lie.
"""

import json
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from uuid import uuid4

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

CHANNEL = "opjudge:changed"
_PAUSE_S = 1.0
_LISTEN_S = 0.5
# News that waits while Redis does not answer; what is beyond it is found by looking.
_MOST_WAITING = 1000
_LONGEST_BYTES = 4096

log = structlog.get_logger(__name__)


class Relay:
    """Between the streams of this process and those of the others.

    Args:
        redis_url: None if there is no Redis: then each process tells its own streams only.
        tell: tells the streams of this process that topics changed.
        tell_all: tells them that anything may have.
    """

    def __init__(
        self,
        redis_url: str | None,
        tell: Callable[..., None],
        tell_all: Callable[[], None],
    ) -> None:
        self._url = redis_url
        self._tell, self._tell_all = tell, tell_all
        self._name = uuid4().hex
        self._waiting: SimpleQueue[tuple[str, ...]] = SimpleQueue()
        self._stopped = threading.Event()
        self._threads: tuple[threading.Thread, ...] = ()

    def publish(self, *topics: str) -> None:
        """Say that these changed, here and elsewhere. From any thread; waits for nothing."""
        self._tell(*topics)
        if self._threads and self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(topics)

    def start(self) -> None:
        """Listen, and pass on, until stopped."""
        if self._url is not None:
            self._threads = tuple(
                threading.Thread(target=self._keep, args=(work,), name=name, daemon=True)
                for name, work in (("relay-in", self._listen), ("relay-out", self._pass_on))
            )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when both threads have ended: within a second or two."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _keep(self, work: Callable[[Redis], None]) -> None:
        """Work through one connection after another."""
        assert self._url is not None  # noqa: S101 - no threads without
        away = False
        while not self._stopped.is_set():
            # Without retries: a connection that was made anew behind our back has missed something.
            redis = Redis.from_url(
                self._url,
                socket_connect_timeout=1,
                socket_timeout=2,
                retry=Retry(NoBackoff(), 0),
            )
            try:
                with redis:
                    work(redis)
            except RedisError as error:
                if not away:
                    log.warning("redis unreachable, streams look by themselves", error=str(error))
                away = True
                self._stopped.wait(_PAUSE_S)
            else:
                away = False

    def _listen(self, redis: Redis) -> None:
        with redis.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(CHANNEL)
            while not self._stopped.is_set():
                self._hear(channel)

    def _hear(self, channel: PubSub) -> None:
        message = channel.get_message(timeout=_LISTEN_S)
        if message is None:
            return
        if message["type"] == "subscribe":
            # Whatever was said before this moment was not heard.
            self._tell_all()
        elif message["type"] == "message":
            self._tell(*self._read(message["data"]))

    def _read(self, data: bytes) -> Sequence[str]:
        """The topics of a message by another process; none of one that makes no sense."""
        if len(data) > _LONGEST_BYTES:
            return ()
        try:
            sender, *topics = json.loads(data)
        except (ValueError, TypeError):
            return ()
        return () if sender == self._name else [t for t in topics if isinstance(t, str)]

    def _pass_on(self, redis: Redis) -> None:
        while not self._stopped.is_set():
            try:
                topics = self._waiting.get(timeout=_LISTEN_S)
            except Empty:
                continue
            redis.publish(CHANNEL, json.dumps([self._name, *topics]))
