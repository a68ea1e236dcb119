"""What workers talk to. Every route needs a token with the scope `worker`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import FileResponse

from judge import wire
from judge.errors import ApiError
from leaderboard import work
from leaderboard.auth import ServicesDep, require_worker

_OLDEST_WIRE = 1


async def check_wire(opjudge_wire: Annotated[int, Header()] = _OLDEST_WIRE) -> None:
    """So that workers may be upgraded after the service, one by one. Raises ApiError 426."""
    if not _OLDEST_WIRE <= opjudge_wire <= wire.WIRE:
        which = "worker" if opjudge_wire < _OLDEST_WIRE else "server"
        raise ApiError(
            f"the worker speaks version {opjudge_wire} of the worker protocol, this server "
            f"{_OLDEST_WIRE} to {wire.WIRE}: upgrade opjudge on the {which}",
            status=426,
            code="wire-version",
        )


router = APIRouter(
    prefix="/worker",
    tags=["worker"],
    dependencies=[Depends(require_worker), Depends(check_wire)],
)

LeaseToken = Annotated[str, Header(max_length=256)]


class Release(wire.Wire):
    """Why a judgement is given back.

    Attributes:
        stopping: the worker was told to stop; such a return is not counted as a failed attempt.
    """

    reason: str
    stopping: bool = False


@router.post("/claims", responses={204: {"description": "nothing is waiting"}})
def claim_next(
    services: ServicesDep, request: wire.ClaimRequest, response: Response
) -> wire.Claim | None:
    """Get the next judgement for a device, by fair share."""
    claim = work.claim_next(services, request)
    if claim is None:
        response.status_code = 204
    return claim


@router.post("/judgements/{judgement_id}/claim")
def claim(services: ServicesDep, judgement_id: UUID, request: wire.ClaimRequest) -> wire.Claim:
    """Get this very judgement."""
    return work.claim(services, judgement_id, request)


@router.post("/judgements/{judgement_id}/heartbeat")
def heartbeat(services: ServicesDep, judgement_id: UUID, lease_token: LeaseToken) -> wire.Heartbeat:
    """Keep a judgement; answers how long."""
    return work.heartbeat(services, judgement_id, lease_token)


@router.post("/judgements/{judgement_id}/progress")
def progress(
    services: ServicesDep, judgement_id: UUID, lease_token: LeaseToken, report: wire.Progress
) -> None:
    """Say where the judging is."""
    work.progress(services, judgement_id, lease_token, report)


@router.post("/judgements/{judgement_id}/result")
def result(
    services: ServicesDep,
    judgement_id: UUID,
    lease_token: LeaseToken,
    result: wire.JudgementResult,
) -> None:
    """Hand the result in. May be repeated."""
    work.record(services, judgement_id, lease_token, result)


@router.post("/judgements/{judgement_id}/release")
def release(
    services: ServicesDep, judgement_id: UUID, lease_token: LeaseToken, release: Release
) -> None:
    """Give a judgement back unfinished."""
    work.release(services, judgement_id, lease_token, release.reason, charged=not release.stopping)


@router.get("/packages/{package_hash}", response_class=FileResponse)
def package(services: ServicesDep, package_hash: str) -> FileResponse:
    """A problem package, hidden workloads included."""
    return FileResponse(services.catalog.stored_package(package_hash), media_type="application/zip")
