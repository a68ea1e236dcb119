"""Bounds on what a request may carry, enforced before anything is parsed."""

from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaderboard.api.errors import document

# Starlette and FastAPI bring such a limit too, but answer it in plain text.


class BodyLimit:
    """Refuses bodies that are too large: by their declared length at once, else while reading.

    Args:
        default_bytes: the largest body in general.
        larger: path prefix to the largest body there, of whoever is admitted.
        admitted: looks at the head of a request; it is asked in a thread.
    """

    def __init__(
        self,
        app: ASGIApp,
        default_bytes: int,
        larger: Mapping[str, int],
        admitted: Callable[[Scope], bool],
    ) -> None:
        self._app = app
        self._default = default_bytes
        self._larger = dict(larger)
        self._admitted = admitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            response = document(413, "too-large", _message(limit))
            await response(scope, receive, send)
            return
        large = declared.isdecimal() and int(declared) > self._default
        if large and not await run_in_threadpool(self._admitted, scope):
            response = document(401, "login-required", _STRANGER)
            await response(scope, receive, send)
            return
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received, large
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, _message(limit))
            if received > self._default and not large:
                # It did not say how long it would be.
                large = True
                if not await run_in_threadpool(self._admitted, scope):
                    raise HTTPException(401, _STRANGER)
            return message

        await self._app(scope, receive_bounded, send)

    def _limit(self, path: str) -> int:
        fitting = (limit for prefix, limit in self._larger.items() if path.startswith(prefix))
        return max(fitting, default=self._default)


_STRANGER = "so large a request needs a valid token: log in first"


def _message(limit: int) -> str:
    return f"the request is too large, at most {limit} bytes are accepted here"
