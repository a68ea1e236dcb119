"""Errors for people: what the API says in a problem document, as a page."""

from collections.abc import Callable
from typing import cast
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from judge.wire import ProblemDocument
from leaderboard.api.errors import MEDIA_TYPE
from leaderboard.pages.guard import SECURITY_HEADERS, is_api
from leaderboard.pages.views import page_of

_KEPT = ("allow", "retry-after")


class ErrorPages:
    """Shows browsers a page wherever anything, middleware included, answers with a document."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _wants_page(Request(scope)):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_page(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_document(message):
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    response = _page(Request(scope), body, Headers(raw=start["headers"]))
                    await response(scope, receive, send)

        await self._app(scope, receive, send_page)


def install(app: FastAPI) -> None:
    """Turn problem documents into pages, for browsers and outside of the API."""
    app.add_middleware(ErrorPages)
    # The answer to an unexpected error is made outside of all middleware.
    handler = cast("Callable[[Request, Exception], Response]", app.exception_handlers[Exception])

    def unexpected(request: Request, error: Exception) -> Response:
        response = handler(request, error)
        if not _wants_page(request):
            return response
        page = _page(request, bytes(response.body), response.headers)
        page.headers.update(SECURITY_HEADERS)
        return page

    app.add_exception_handler(Exception, unexpected)


def _wants_page(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted and not is_api(request.url.path)


def _is_document(message: Message) -> bool:
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return kind.split(";")[0] == MEDIA_TYPE


def _page(request: Request, body: bytes, headers: Headers) -> Response:
    document = ProblemDocument.model_validate_json(body)
    if document.status == 401:
        return RedirectResponse(f"/login?next={quote(_way_back(request), safe='')}", 303)
    # Whoever the route found out is here; nobody if the request never came that far.
    visitor = getattr(request.state, "visitor", None)
    page = page_of(request, request.app.state.services, visitor)
    response = page.render("error.html", document.status, document=document)
    response.headers.update({name: headers[name] for name in _KEPT if name in headers})
    return response


def _way_back(request: Request) -> str:
    """Where to return to after a login: the page itself, or the one its button is on."""
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path.removesuffix("/cancel") + query
