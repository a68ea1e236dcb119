"""What keeps other sites from using a visitor's session, and our pages from running their code."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Header, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from judge.errors import ApiError
from leaderboard.auth import ServicesDep

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_API = "/api/"


class SecurityHeaders:
    """Adds the headers to every response that is not the API's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_api(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_guarded)


def is_api(path: str) -> bool:
    """Whether a path belongs to the API, which knows no cookies and answers in JSON."""
    return path.startswith(_API)


async def refuse_other_sites(
    request: Request,
    services: ServicesDep,
    sec_fetch_site: Annotated[str | None, Header()] = None,
    origin: Annotated[str | None, Header()] = None,
) -> None:
    """Let no other site act in a visitor's name. Raises ApiError 403 ``other-site``.

    Browsers say where a request comes from, so no token has to travel through the forms. Over
    plain http on another host than localhost they leave `Sec-Fetch-Site` out, but never `Origin`.
    A request with neither is not a browser's, and carries nobody's cookie but its own.
    """
    if request.method in _SAFE:
        return
    if sec_fetch_site is not None:
        allowed = sec_fetch_site in ("same-origin", "none")
    elif origin is not None:
        # Behind a proxy `Host` may be an inner name; people see the public one.
        hosts = {request.headers.get("host"), urlsplit(services.settings.public_url).netloc}
        allowed = _host(origin) in hosts
    else:
        allowed = True
    if not allowed:
        raise ApiError(
            "this request was sent by another site; open the page here and send it again",
            status=403,
            code="other-site",
        )


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
