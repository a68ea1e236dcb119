"""Signed records of judgements, and the keys they are signed with."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from judge.record import Keys, SignedRecord
from leaderboard.auth import ServicesDep
from leaderboard.records import signed_record

router = APIRouter(tags=["records"])


@router.get("/keys")
def keys(services: ServicesDep) -> Keys:
    """The public keys of this service."""
    return Keys(keys=(services.signer.public,))


@router.get("/submissions/{submission_id}/record")
def record(
    services: ServicesDep,
    submission_id: UUID,
    attempt: Annotated[int | None, Query(ge=1, lt=1 << 31)] = None,
) -> SignedRecord:
    """What a judgement's score was made from, signed; `opjudge verify-record` checks it."""
    return signed_record(services, submission_id, attempt)
