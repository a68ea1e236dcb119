"""Use cases of workers: fetch a judgement, report, hand the result in. Each is one transaction."""

from uuid import UUID

import structlog
from sqlmodel import select

from judge import wire
from judge.errors import ApiError
from judge.verdict import Verdict
from leaderboard import boards, judgements, queueing
from leaderboard.attempts import Moved
from leaderboard.models import Submission
from leaderboard.services import Services
from leaderboard.text import plain

log = structlog.get_logger(__name__)

# How many heads of the queue one request tries when other workers are faster.
_TRIES = 8


def claim_next(services: Services, request: wire.ClaimRequest) -> wire.Claim | None:
    """The next judgement for this device by fair share, or None."""
    if request.device not in services.catalog.devices:
        return None
    for _ in range(_TRIES):
        with services.db.read() as session:
            line = queueing.next_in_line(session, request.device, services.clock())
        if not line:
            return None
        try:
            return claim(services, line[0], request)
        except ApiError as error:
            if error.code != "already-claimed":
                raise
    return None


def claim(services: Services, judgement_id: UUID, request: wire.ClaimRequest) -> wire.Claim:
    """This judgement. Raises as `judgements.claim`."""
    with services.db.write() as session:
        claimed = judgements.claim(
            session, judgement_id, request, services.clock(), services.settings.lease_s
        )
    log.info("claimed", submission=str(claimed.submission_id), judgement=str(judgement_id),
             attempt=claimed.attempt, worker=request.worker, device=request.device)  # fmt: skip
    services.announce(Moved(claimed.submission_id, claimed.problem, claimed.device))
    floors = services.catalog.floors(claimed.problem, claimed.package_hash)
    return claimed.model_copy(update={"floors": floors})


def heartbeat(services: Services, judgement_id: UUID, token: str) -> wire.Heartbeat:
    """Extend the lease. Raises as `judgements.heartbeat`."""
    lease_s = services.settings.lease_s
    with services.db.write() as session:
        judgements.heartbeat(session, judgement_id, token, services.clock(), lease_s)
    return wire.Heartbeat(lease_s=lease_s)


def progress(services: Services, judgement_id: UUID, token: str, report: wire.Progress) -> None:
    """Note where the judging is. Raises as `judgements.progress`."""
    with services.db.write() as session:
        moved = judgements.progress(session, judgement_id, token, report, services.clock())
    services.announce_progress(moved)


def record(
    services: Services, judgement_id: UUID, token: str, result: wire.JudgementResult
) -> None:
    """Store the result. Raises as `judgements.record`, and ApiError 422 ``no-seed``."""
    if result.runs and not result.seed:
        # Without it nobody could ever check that the inputs were not chosen.
        raise ApiError(
            "the result has runs and no seed: hand in the seed that came with the claim",
            status=422,
            code="no-seed",
        )
    with services.db.write() as session:
        moved = judgements.record(session, judgement_id, token, result, services.clock())
        if moved is None:
            return
        changed = boards.refresh(session, moved.submission_id)
        submitted_at = session.exec(
            select(Submission.submitted_at).where(Submission.id == moved.submission_id)
        ).one()
    latency_s = (services.clock() - submitted_at).total_seconds()
    log.info("judged", submission=str(moved.submission_id), judgement=str(judgement_id),
             verdict=result.verdict.value, device=moved.device, latency_s=latency_s)  # fmt: skip
    if result.verdict is not Verdict.JE:
        services.metrics.verdict_latency.labels(moved.device).observe(latency_s)
    services.announce(moved, board=changed)


def release(
    services: Services, judgement_id: UUID, token: str, reason: str, *, charged: bool
) -> None:
    """Take the judgement back. Raises as `judgements.release`."""
    with services.db.write() as session:
        moved = judgements.release(
            session, judgement_id, token, reason, services.clock(), charged=charged
        )
        changed = moved is not None and boards.refresh(session, moved.submission_id)
    if moved is not None:
        log.warning("given back", submission=str(moved.submission_id),
                    judgement=str(judgement_id), reason=plain(reason, 200))  # fmt: skip
        services.announce(moved, board=changed)
