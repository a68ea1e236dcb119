"""The live feed inside one web process: who is told, and when, that something changed.

Nothing travels through the hub but the news that a topic changed. What is followed by one key is
looked up once for all its followers, and at most once in `pause_s` however much happens; each of
them is handed the latest state when it is ready for it. So a slow reader misses intermediate
states, never the latest, and nothing piles up for it. A message that gets lost costs `refresh_s` at
most, which also covers changes made by another web process that its word (`leaderboard.relay`) did
not reach.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Generic, TypeVar

import anyio.to_thread

StateT = TypeVar("StateT")

_SLICE = 200
_QUEUE = "queue:"


def submission_topic(submission_id: object) -> str:
    """Changes of one submission."""
    return f"submission:{submission_id}"


def queue_topic(device: str) -> str:
    """Somebody left the queue of a device, so positions changed.

    That concerns everybody who waits, at every claim, and hurries nobody: they look some seconds
    later, and not all at once.
    """
    return f"{_QUEUE}{device}"


def board_topic(problem: str, device: str) -> str:
    """A board may have changed."""
    return f"board:{problem}:{device}"


class Closed(Exception):
    """The service ends, and every stream with it."""


class Reader(Generic[StateT]):
    """One stream: takes the states it has not seen, whenever it is ready for one."""

    __slots__ = ("_channel", "_seen", "_waiting")

    def __init__(self, channel: "_Channel[StateT]") -> None:
        self._channel = channel
        self._seen = 0
        self._waiting: asyncio.Future[None] | None = None

    async def next(self) -> StateT | None:
        """The latest state once there is one not seen yet; None when `nudge` came first.

        Raises Closed at the end of the service, and whatever looking up raised.
        """
        channel = self._channel
        if not self.behind and channel.over is None:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if channel.over is not None:
            raise channel.over
        if not self.behind:
            return None
        self._seen = channel.version
        return channel.state

    @property
    def behind(self) -> bool:
        """Whether there is something new for it."""
        return self._seen != self._channel.version

    def nudge(self) -> None:
        """End a wait, whether there is something new or not."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class _Channel(Generic[StateT]):
    """What all followers of one key share: one look-up, by one task."""

    def __init__(self, load: Callable[[], StateT], refresh_s: float, pause_s: float) -> None:
        self.readers: set[Reader[StateT]] = set()
        self.version = 0
        self.state: StateT | None = None
        self.over: BaseException | None = None
        self._load = load
        self._refresh_s = refresh_s
        self._pause_s = pause_s
        self._changed = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None
        self._task = asyncio.ensure_future(self._run())
        self._task.add_done_callback(self._ended)

    def changed(self) -> None:
        self._changed.set()

    def changed_a_little(self, within_s: tuple[float, float]) -> None:
        """Look again at a random moment; the first such word counts until then."""
        if self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(random.uniform(*within_s), self._is_later)  # noqa: S311

    def _is_later(self) -> None:
        self._later = None
        self._changed.set()

    def end(self, reason: BaseException) -> None:
        """Let every reader end with this."""
        if self.over is None:
            self.over = reason
            self._wake()
        self._task.cancel()
        if self._telling is not None:
            self._telling.cancel()
        if self._later is not None:
            self._later.cancel()

    async def _run(self) -> None:
        while True:
            # Before looking: what changes meanwhile may not be seen, and is looked at again.
            self._changed.clear()
            state = await anyio.to_thread.run_sync(self._load)
            if not self.version or state != self.state:
                self.state = state
                self.version += 1
                if self._telling is None or self._telling.done():
                    self._telling = asyncio.ensure_future(self._tell())
            await asyncio.sleep(self._pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._refresh_s)

    async def _tell(self) -> None:
        """Go round and round until everybody was told of the latest version.

        Looking goes on meanwhile, and whoever is met is told what is known by then: so nobody
        waits longer than one round, whenever it was that something changed.
        """
        told = 0
        while told != self.version:
            told = self.version
            behind = (reader for reader in tuple(self.readers) if reader.behind)
            while some := tuple(islice(behind, _SLICE)):
                started = time.perf_counter()
                for reader in some:
                    reader.nudge()
                await asyncio.sleep(0)  # all of them have sent it after this
                # A third of the time is for other things, however many there are to tell.
                await asyncio.sleep((time.perf_counter() - started) / 2)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and self.over is None:
            self.over = task.exception()
            self._wake()

    def _wake(self) -> None:
        for reader in self.readers:
            reader.nudge()


class EventHub:
    """Fans changes out to the streams of this process.

    Args:
        refresh_s: longest time without looking.
        pause_s: shortest time between two looks at the same thing.
        queue_s: within what time positions in a queue are looked at again.
    """

    def __init__(
        self,
        refresh_s: float,
        pause_s: float = 0.03,
        queue_s: tuple[float, float] = (1.0, 5.0),
    ) -> None:
        self._refresh_s = refresh_s
        self._queue_s = queue_s
        self._pause_s = pause_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._channels: dict[Hashable, _Channel[Any]] = {}
        self._topics: dict[str, set[_Channel[Any]]] = {}

    def open(self) -> None:
        """Bind to the running event loop. Before that, publishing does nothing."""
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def close(self) -> None:
        """End every stream. Call it in the event loop."""
        self._closed = True
        for channel in self._channels.values():
            channel.end(Closed())

    def publish(self, *topics: str) -> None:
        """Say that these changed. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed, topics)

    def publish_all(self) -> None:
        """Say that anything may have changed. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._all_changed)

    @property
    def followers(self) -> int:
        """How many streams are open."""
        return sum(len(channel.readers) for channel in list(self._channels.values()))

    async def follow(
        self, key: Hashable, topics: Sequence[str], load: Callable[[], StateT]
    ) -> AsyncIterator[StateT]:
        """Yield the present state at once and then each time it differs from the last one."""
        with self.reader(key, topics, load) as reader, suppress(Closed):
            while True:
                state = await reader.next()
                if state is not None:
                    yield state

    @contextmanager
    def reader(
        self, key: Hashable, topics: Sequence[str], load: Callable[[], StateT]
    ) -> Iterator[Reader[StateT]]:
        """A reader that is told as long as the block lasts.

        Args:
            key: what is looked up; readers of one key share one look-up.
            topics: when to look again.
            load: looks it up; runs in a thread. Never None.
        """
        channel = self._channel(key, topics, load)
        reader = Reader(channel)
        channel.readers.add(reader)
        try:
            yield reader
        finally:
            channel.readers.discard(reader)
            if not channel.readers and self._channels.get(key) is channel:
                self._forget(key, topics, channel)

    def _channel(
        self, key: Hashable, topics: Sequence[str], load: Callable[[], StateT]
    ) -> _Channel[StateT]:
        channel = self._channels.get(key)
        # One that failed is left to those who are about to hear of it.
        if channel is None or channel.over is not None:
            if channel is not None:
                self._forget(key, topics, channel)
            channel = self._channels[key] = _Channel(load, self._refresh_s, self._pause_s)
            for topic in topics:
                self._topics.setdefault(topic, set()).add(channel)
        if self._closed:
            channel.end(Closed())
        return channel

    def _forget(self, key: Hashable, topics: Sequence[str], channel: _Channel[Any]) -> None:
        channel.end(Closed())
        del self._channels[key]
        for topic in topics:
            followers = self._topics.get(topic, set())
            followers.discard(channel)
            if not followers:
                self._topics.pop(topic, None)

    def _all_changed(self) -> None:
        for channel in self._channels.values():
            channel.changed_a_little(self._queue_s)

    def _changed(self, topics: Sequence[str]) -> None:
        for topic in topics:
            for channel in self._topics.get(topic, ()):
                if topic.startswith(_QUEUE):
                    channel.changed_a_little(self._queue_s)
                else:
                    channel.changed()
