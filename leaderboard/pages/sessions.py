"""Who is looking at a page: a cookie that holds a token, of the same kind the API takes."""

import re
from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from judge import wire
from judge.errors import ApiError
from leaderboard.accounts import Principal, Scope, authenticate
from leaderboard.auth import COOKIE, ServicesDep
from leaderboard.services import Services

LABEL = "web"
LIFETIME_S = 30 * 86400

# A path on this server. A second slash or a backslash would begin a host; browsers drop control
# characters, so those could hide one.
_LOCAL_PATH = re.compile(r"/(?!/)[A-Za-z0-9_.~/?=&%+,:;@-]*")


async def visitor(services: ServicesDep, request: Request) -> Principal | None:
    """Whom the session speaks for; None without one, and for one that is over."""
    secret = request.cookies.get(COOKIE)
    if not secret:
        return None
    try:
        principal = await run_in_threadpool(authenticate, services.db, secret, services.clock())
    except ApiError:
        return None
    # A worker's token is no person's.
    return principal if Scope.SUBMIT in principal.scopes else None


VisitorDep = Annotated[Principal | None, Depends(visitor)]


def begin(response: Response, request: Request, services: Services, token: wire.Token) -> None:
    """Hand a fresh token to the browser, out of reach of scripts and of other sites' forms."""
    response.set_cookie(
        COOKIE,
        token.token,
        max_age=LIFETIME_S,
        httponly=True,
        samesite="lax",
        secure=_secure(request, services),
    )


def end(response: Response, request: Request, services: Services) -> None:
    """Take the token out of the browser."""
    response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=_secure(request, services))


def local_path(path: str, otherwise: str = "/") -> str:
    """Where to go after a login: a path here, never another site."""
    return path if _LOCAL_PATH.fullmatch(path) else otherwise


def _secure(request: Request, services: Services) -> bool:
    return request.url.scheme == "https" or services.settings.public_url.startswith("https:")
