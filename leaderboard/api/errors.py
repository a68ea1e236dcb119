"""Errors as RFC 9457 problem documents: whatever goes wrong, the answer has one shape."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError
from starlette.exceptions import HTTPException

from judge.errors import ApiError, ProblemError, SubmissionError
from judge.wire import ProblemDocument
from leaderboard.throttle import TooOften

MEDIA_TYPE = "application/problem+json"
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemDocument, "description": "Problem details (RFC 9457)"},
}

_CODES = {401: "login-required", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}
# More detail than this helps nobody.
_MOST_FAULTS = 5

log = structlog.get_logger(__name__)


def document(
    status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document as a response."""
    body = ProblemDocument(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code)
    return Response(
        body.model_dump_json(), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


def install(app: FastAPI) -> None:
    """One handler per root of errors."""
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(SubmissionError, _not_a_submission)
    app.add_exception_handler(ProblemError, _unexpected)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    for unavailable in (OperationalError, InterfaceError, TimeoutError):
        app.add_exception_handler(unavailable, _database)
    app.add_exception_handler(Exception, _unexpected)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - as registered
    headers = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooOften):
        headers["Retry-After"] = str(error.retry_after_s)
    return document(error.status, error.code, error.message, headers)


def _not_a_submission(_: Request, error: Exception) -> Response:
    assert isinstance(error, SubmissionError)  # noqa: S101 - as registered
    status = 413 if error.code == "too-large" else 422
    return document(status, error.code, error.message)


def _malformed(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as registered
    # Never the input itself: it may be a password, or nothing JSON can carry.
    faults = [
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()[:_MOST_FAULTS]
    ]
    text = "; ".join(faults).encode("utf-8", "replace").decode()
    return document(422, "invalid-request", text)


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    code = _CODES.get(error.status_code, "invalid-request")
    return document(error.status_code, code, str(error.detail), error.headers)


def _database(request: Request, error: Exception) -> Response:
    log.error("database unavailable", path=request.url.path, error=str(error))
    return document(
        503,
        "database-unavailable",
        "the database does not answer at the moment; try again",
        {"Retry-After": "2"},
    )


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", path=request.url.path, exc_info=error)
    return document(500, "server-error", "something went wrong on our side; it was logged")
