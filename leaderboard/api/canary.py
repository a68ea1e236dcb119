"""How the judge stood up to being attacked."""

from fastapi import APIRouter

from leaderboard import canary
from leaderboard.auth import ServicesDep

router = APIRouter(prefix="/canary", tags=["canary"])


@router.get("")
def show(services: ServicesDep) -> canary.CanaryStatus:
    """When it was last attacked with known cheats, and what came of it within the last day."""
    return canary.status(services, services.clock())
