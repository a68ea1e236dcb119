"""Whether the service lives, and whether it can work."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel
from sqlmodel import select

from leaderboard.auth import ServicesDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Attributes:
    status: always ok; the answer itself is the news.
    """

    status: str = "ok"


class Readiness(Health):
    """Attributes:
    redis: ok, down (workers poll), or none.
    """

    redis: str
    problems: int


@router.get("/healthz")
def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz")
def readyz(services: ServicesDep) -> Readiness:
    """The database answers as well; without it the answer is a 503."""
    with services.db.read() as session:
        session.exec(select(1)).one()
    redis = {True: "ok", False: "down", None: "none"}[services.dispatcher.ping()]
    return Readiness(redis=redis, problems=len(services.catalog.summaries()))


@router.get("/metrics", response_class=Response)
def metrics(services: ServicesDep) -> Response:
    """For Prometheus: queues, devices, errors, latencies, streams."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
