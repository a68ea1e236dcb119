"""Dependencies of the routes: the services, and whoever is asking.

What looks at nothing but memory is `async`: a plain function would be handed to a thread, which
costs more than it does.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope as StarletteScope

from judge.errors import ApiError
from leaderboard.accounts import Principal, Scope, authenticate
from leaderboard.services import Services

COOKIE = "opjudge_session"
"""Where the pages keep a token."""

_bearer = HTTPBearer(auto_error=False, description="from POST /tokens")


async def services(request: Request) -> Services:
    """The parts of the service this request runs in."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]
LastEventId = Annotated[str | None, Header(max_length=64)]
"""What a browser sends when a stream broke off: the id of the last message it got."""


def address_of(request: Request) -> str:
    """Where a request comes from; behind a proxy, what uvicorn was told to believe of it."""
    return request.client.host if request.client else ""


async def count_request(services: ServicesDep, request: Request) -> None:
    """Let nobody keep the service busy. Raises ApiError 429."""
    services.throttle.request_from(address_of(request))


def admitted(services: Services, scope: StarletteScope) -> bool:
    """Whether a request, of which only the head is known yet, comes with a token that is good."""
    request = Request(scope)
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")
    if not secret:
        return False
    try:
        authenticate(services.db, secret, services.clock())
    except ApiError:
        return False
    return True


async def viewer(
    services: ServicesDep,
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal | None:
    """Who is asking; None for anybody without a token. Raises ApiError 401 on a bad one, 429."""
    if credentials is not None:
        principal = await run_in_threadpool(
            authenticate, services.db, credentials.credentials, services.clock()
        )
        if Scope.WORKER not in principal.scopes:
            services.throttle.request(principal.name)
        return principal
    if "authorization" in request.headers:
        raise ApiError(
            "the Authorization header must read `Bearer <token>`", status=401, code="invalid-token"
        )
    return None


ViewerDep = Annotated[Principal | None, Depends(viewer)]


async def logged_in(viewer: ViewerDep) -> Principal:
    """Anybody with a valid token. Raises ApiError 401."""
    if viewer is None:
        raise ApiError(
            "this needs a token: log in first, and send `Authorization: Bearer <token>`",
            status=401,
            code="invalid-token",
        )
    return viewer


PrincipalDep = Annotated[Principal, Depends(logged_in)]


def _with_scope(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    async def check(principal: PrincipalDep) -> Principal:
        if scope not in principal.scopes:
            raise ApiError(
                f"the token lacks the scope {scope.value!r}; it has: "
                f"{', '.join(sorted(principal.scopes))}",
                status=403,
                code="missing-scope",
            )
        return principal

    return check


require_worker = _with_scope(Scope.WORKER)
ContestantDep = Annotated[Principal, Depends(_with_scope(Scope.SUBMIT))]
