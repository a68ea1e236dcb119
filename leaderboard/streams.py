"""Server-sent events: one response per reader, every message encoded once for all of them."""

import asyncio
import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fastapi.sse import format_sse_event
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from leaderboard.events import Closed, EventHub, Reader

PULSE_S = 15.0
_PULSE = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class Message:
    """A state as it goes over the wire.

    Attributes:
        id: of the state; whoever comes back with it is not told the same again.
        final: whether the stream ends with it.
    """

    id: str
    data: bytes
    final: bool = False


def message(event: str, data: str, *, id: str | None = None, final: bool = False) -> Message:
    """An event in wire format. Without an id it gets one that tells different data apart."""
    if id is None:
        id = hashlib.sha256(data.encode()).hexdigest()[:16]
    return Message(id, format_sse_event(event=event, data_str=data, id=id), final)


class EventStream(Response):
    """The present state at once, and then each time it changes, until it is final.

    Args:
        key, topics, load: as `EventHub.reader` takes them.
        last_id: of the message the reader had last, if it comes back.
        farewell: sent after the final message.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        hub: EventHub,
        key: Hashable,
        topics: Sequence[str],
        load: Callable[[], Message],
        last_id: str | None = None,
        farewell: bytes = b"",
    ) -> None:
        # For proxies: neither keep it nor hold it back.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._hub = hub
        self._follow = (key, tuple(topics), load)
        self._last_id = last_id
        self._farewell = farewell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        with self._hub.reader(*self._follow) as reader, _pulse(reader):
            # By a task of its own: in this one every message would first come down through all
            # of the middleware, which is half of what it costs.
            telling = asyncio.ensure_future(self._tell(reader, send))
            gone = asyncio.ensure_future(_disconnect(receive))
            try:
                await asyncio.wait((telling, gone), return_when=asyncio.FIRST_COMPLETED)
                if telling.done():
                    telling.result()
            finally:
                telling.cancel()
                gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, reader: Reader[Message], send: Send) -> None:
        last_id = self._last_id
        body = _PULSE
        with suppress(Closed):
            while True:
                await send({"type": "http.response.body", "body": body, "more_body": True})
                found = await reader.next()
                body = _PULSE
                if found is not None and found.id != last_id:
                    last_id, body = found.id, found.data
                if found is not None and found.final:
                    body = (b"" if body is _PULSE else body) + self._farewell
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    return


@contextmanager
def _pulse(reader: Reader[Message]) -> Iterator[None]:
    """A word now and then, so that proxies do not hang up and dead lines are found out."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal timer
        if timer is not None:
            reader.nudge()
        timer = loop.call_later(PULSE_S, beat)

    beat()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
