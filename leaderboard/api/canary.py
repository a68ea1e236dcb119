"""How the judge stood up to being attacked."""

from fastapi import APIRouter

from judge import wire
from leaderboard import canary
from leaderboard.auth import ServicesDep

router = APIRouter(prefix="/canary", tags=["canary"])


@router.get("")
def show(services: ServicesDep) -> wire.CanaryStatus:
    """When it was last attacked with known cheats, and what came of it within the last day."""
    return canary.status(services, services.clock())
