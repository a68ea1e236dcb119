"""Bounds on what a request may carry, enforced before anything is parsed."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaderboard.api.errors import document

# Starlette and FastAPI bring such a limit too, but answer it in plain text.


class BodyLimit:
    """Refuses bodies that are too large: by their declared length at once, else while reading.

    Args:
        default_bytes: the largest body in general.
        larger: path prefix to the largest body there.
    """

    def __init__(self, app: ASGIApp, default_bytes: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._default = default_bytes
        self._larger = dict(larger)

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
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, _message(limit))
            return message

        await self._app(scope, receive_bounded, send)

    def _limit(self, path: str) -> int:
        fitting = (limit for prefix, limit in self._larger.items() if path.startswith(prefix))
        return max(fitting, default=self._default)


def _message(limit: int) -> str:
    return f"the request is too large, at most {limit} bytes are accepted here"
