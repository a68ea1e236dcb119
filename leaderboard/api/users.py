"""Accounts and tokens."""

from fastapi import APIRouter, Request, Response

from judge import wire
from judge.errors import ApiError
from leaderboard import accounts
from leaderboard.auth import PrincipalDep, ServicesDep, address_of
from leaderboard.services import Services

router = APIRouter(tags=["accounts"])

SCOPES_HEADER = "Token-Scopes"


@router.post("/users", status_code=201)
def register(services: ServicesDep, credentials: wire.Credentials, request: Request) -> wire.User:
    """Make an account."""
    services.throttle.enter(address_of(request))
    return make_account(services, credentials)


def make_account(services: Services, credentials: wire.Credentials) -> wire.User:
    """Make an account where that is open to everybody. Raises ApiError 403, 409."""
    if not services.settings.open_registration:
        raise ApiError(
            "accounts are made by the organizers here; ask them for one",
            status=403,
            code="registration-closed",
        )
    return accounts.register(services.db, services.passwords, credentials, services.clock())


@router.post("/tokens", status_code=201)
def log_in(services: ServicesDep, credentials: wire.TokenRequest, request: Request) -> wire.Token:
    """Get a bearer token for a name and password."""
    services.throttle.log_in(credentials.name, address_of(request))
    return accounts.log_in(services.db, services.passwords, credentials, services.clock())


@router.delete("/tokens/current", status_code=204)
def log_out(services: ServicesDep, principal: PrincipalDep) -> None:
    """Make the token of this request worthless."""
    accounts.revoke(services.db, principal, services.clock())


@router.get("/me")
def me(principal: PrincipalDep, response: Response) -> wire.User:
    """Who the token speaks for; the header `Token-Scopes` says what it allows."""
    response.headers[SCOPES_HEADER] = " ".join(sorted(principal.scopes))
    return wire.User(name=principal.name, created_at=principal.created_at)
