"""Accounts and tokens."""

from fastapi import APIRouter, Response

from judge import wire
from judge.errors import ApiError
from leaderboard import accounts
from leaderboard.auth import PrincipalDep, ServicesDep

router = APIRouter(tags=["accounts"])

SCOPES_HEADER = "Token-Scopes"


@router.post("/users", status_code=201)
def register(services: ServicesDep, credentials: wire.Credentials) -> wire.User:
    """Make an account."""
    if not services.settings.open_registration:
        raise ApiError(
            "accounts are made by the organizers here; ask them for one",
            status=403,
            code="registration-closed",
        )
    return accounts.register(services.db, services.passwords, credentials, services.clock())


@router.post("/tokens", status_code=201)
def log_in(services: ServicesDep, request: wire.TokenRequest) -> wire.Token:
    """Get a bearer token for a name and password."""
    return accounts.log_in(services.db, services.passwords, request, services.clock())


@router.delete("/tokens/current", status_code=204)
def log_out(services: ServicesDep, principal: PrincipalDep) -> None:
    """Make the token of this request worthless."""
    accounts.revoke(services.db, principal, services.clock())


@router.get("/me")
def me(principal: PrincipalDep, response: Response) -> wire.User:
    """Who the token speaks for; the header `Token-Scopes` says what it allows."""
    response.headers[SCOPES_HEADER] = " ".join(sorted(principal.scopes))
    return wire.User(name=principal.name, created_at=principal.created_at)
