"""The problems on offer."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from judge import wire
from leaderboard.auth import ServicesDep

router = APIRouter(prefix="/problems", tags=["problems"])


@router.get("")
def index(services: ServicesDep) -> tuple[wire.ProblemSummary, ...]:
    """All problems."""
    return services.catalog.summaries()


@router.get("/{slug}")
def show(services: ServicesDep, slug: str) -> wire.ProblemDetail:
    """Everything a contestant may know of a problem."""
    return services.catalog.detail(slug)


@router.get("/{slug}/package", response_class=FileResponse)
def package(services: ServicesDep, slug: str) -> FileResponse:
    """The problem package without its hidden workloads, to judge locally."""
    path = services.catalog.public_package(slug)
    return FileResponse(path, media_type="application/zip", filename=f"{slug}.zip")
