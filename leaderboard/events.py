"""The live feed inside one web process: who is told, and when, that something changed.

Nothing travels through the hub but the news that a topic changed; followers look the present state
up. So a slow reader misses intermediate states, never the latest, and nothing piles up for it.
A message that gets lost costs `refresh_s` at most, which also covers changes made by another web
process: Redis pub/sub can call `publish` from a listener of its own when that is not enough.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import anyio.to_thread

StateT = TypeVar("StateT")


def submission_topic(submission_id: object) -> str:
    """Changes of one submission."""
    return f"submission:{submission_id}"


def queue_topic(device: str) -> str:
    """Somebody left the queue of a device, so positions changed."""
    return f"queue:{device}"


def board_topic(problem: str, device: str) -> str:
    """A board may have changed."""
    return f"board:{problem}:{device}"


class EventHub:
    """Fans changes out to the streams of this process.

    Args:
        refresh_s: longest time a follower goes without looking.
    """

    def __init__(self, refresh_s: float) -> None:
        self._refresh_s = refresh_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._versions: Counter[str] = Counter()
        self._wakes: dict[str, set[asyncio.Event]] = {}
        self._readers: Counter[Hashable] = Counter()
        self._loads: dict[Hashable, tuple[object, asyncio.Task[Any]]] = {}

    def open(self) -> None:
        """Bind to the running event loop. Before that, publishing does nothing."""
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def close(self) -> None:
        """End every stream. Call it in the event loop."""
        self._closed = True
        for wakes in self._wakes.values():
            for wake in wakes:
                wake.set()

    def publish(self, *topics: str) -> None:
        """Say that these changed. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, topics)

    @property
    def followers(self) -> int:
        """How many streams are open."""
        return self._readers.total()

    async def follow(
        self, key: Hashable, topics: Sequence[str], load: Callable[[], StateT]
    ) -> AsyncIterator[StateT]:
        """Yield the present state at once and then each time it differs from the last one.

        Args:
            key: what is looked up; followers of one key share one look-up.
            topics: when to look again.
            load: looks it up; runs in a thread.
        """
        last: StateT | None = None
        with self._reader(key, topics) as wake:
            while not self._closed:
                wake.clear()
                state = await self._load(key, topics, load)
                if state != last:
                    last = state
                    yield state
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), self._refresh_s)

    @contextmanager
    def _reader(self, key: Hashable, topics: Sequence[str]) -> Iterator[asyncio.Event]:
        wake = asyncio.Event()
        self._readers[key] += 1
        for topic in topics:
            self._wakes.setdefault(topic, set()).add(wake)
        try:
            yield wake
        finally:
            for topic in topics:
                self._wakes[topic].discard(wake)
                if not self._wakes[topic]:
                    del self._wakes[topic]
                    self._versions.pop(topic, None)
            self._readers[key] -= 1
            if not self._readers[key]:
                del self._readers[key]
                self._loads.pop(key, None)

    async def _load(
        self, key: Hashable, topics: Sequence[str], load: Callable[[], StateT]
    ) -> StateT:
        # A look-up is shared only with those who want it for the same change (or the same period
        # of silence): one begun before the change might not show it.
        period = int(asyncio.get_running_loop().time() / self._refresh_s)
        stamp = (tuple(self._versions[topic] for topic in topics), period)
        known = self._loads.get(key)
        if known is None or known[0] != stamp:
            task = asyncio.ensure_future(anyio.to_thread.run_sync(load))
            known = self._loads[key] = (stamp, task)
        result: StateT = await asyncio.shield(known[1])
        return result

    def _wake(self, topics: Sequence[str]) -> None:
        for topic in topics:
            if topic in self._wakes:
                self._versions[topic] += 1
                for wake in self._wakes[topic]:
                    wake.set()
