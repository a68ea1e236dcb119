"""Logging in and out, and making an account."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from judge import wire
from judge.errors import ApiError
from leaderboard import accounts
from leaderboard.api.users import make_account
from leaderboard.auth import address_of
from leaderboard.pages import sessions
from leaderboard.pages.views import Page, PageDep
from leaderboard.throttle import TooOften

router = APIRouter()

NextQuery = Annotated[str, Query(alias="next", max_length=1024)]
NextForm = Annotated[str, Form(alias="next", max_length=1024)]


@router.get("/login")
def login_form(page: PageDep, following: NextQuery = "/") -> Response:
    """The form to log in."""
    return _form(page, "login", following)


@router.post("/login")
def log_in(
    page: PageDep,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    following: NextForm = "/",
) -> Response:
    """Begin a session."""
    try:
        page.services.throttle.log_in(name, address_of(page.request))
        return _begin(page, name, password, following)
    except TooOften:
        raise
    except (ApiError, ValidationError):
        # One answer to a name that cannot exist, one that does not, and a wrong password.
        return _form(page, "login", following, 401, name, (page.labels("login.wrong"),))


@router.get("/register")
def register_form(page: PageDep, following: NextQuery = "/") -> Response:
    """The form to make an account."""
    status = 200 if page.services.settings.open_registration else 403
    return _form(page, "register", following, status)


@router.post("/register")
def register(
    page: PageDep,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    following: NextForm = "/",
) -> Response:
    """Make an account and begin a session."""
    page.services.throttle.enter(address_of(page.request))
    try:
        make_account(page.services, wire.Credentials(name=name, password=password))
    except ApiError as error:
        return _form(page, "register", following, error.status, name, (error.message,))
    except ValidationError as error:
        fields = sorted({str(fault["loc"][0]) for fault in error.errors()})
        faults = [page.labels(f"register.bad_{field}") for field in fields]
        return _form(page, "register", following, 422, name, faults)
    return _begin(page, name, password, following)


@router.post("/logout")
def log_out(page: PageDep) -> Response:
    """End the session, on the server as well."""
    if page.visitor is not None:
        accounts.revoke(page.services.db, page.visitor, page.services.clock())
    response = RedirectResponse("/", 303)
    sessions.end(response, page.request, page.services)
    return response


def _begin(page: Page, name: str, password: str, following: str) -> Response:
    services = page.services
    request = wire.TokenRequest(
        name=name, password=password, label=sessions.LABEL, expires_in_s=sessions.LIFETIME_S
    )
    token = accounts.log_in(services.db, services.passwords, request, services.clock())
    if page.visitor is not None:
        accounts.revoke(services.db, page.visitor, services.clock())
    response = RedirectResponse(sessions.local_path(following), 303)
    sessions.begin(response, page.request, services, token)
    return response


def _form(
    page: Page,
    kind: str,
    following: str,
    status: int = 200,
    name: str = "",
    faults: Sequence[str] = (),
) -> Response:
    return page.render(
        "account.html",
        status,
        kind=kind,
        following=sessions.local_path(following),
        name=name,
        faults=faults,
    )
