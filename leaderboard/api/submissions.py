"""Submissions: hand in, look at, follow, cancel."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, Query, Response, UploadFile

from judge import wire
from judge.verdict import Language, Mode
from leaderboard import submissions
from leaderboard.auth import ContestantDep, LastEventId, ServicesDep, ViewerDep
from leaderboard.events import queue_topic, submission_topic
from leaderboard.streams import EventStream, Message, message

router = APIRouter(prefix="/submissions", tags=["submissions"])


def answer(model: wire.Wire, status: int = 200) -> Response:
    """A document as it is: the framework would validate it once more, in a thread of its own."""
    return Response(model.model_dump_json(), status, media_type="application/json")


@router.post(
    "",
    status_code=201,
    response_model=wire.SubmissionDetail,
    responses={200: {"model": wire.SubmissionDetail}},
)
def submit(
    services: ServicesDep,
    author: ContestantDep,
    problem: Annotated[str, Form()],
    device: Annotated[str, Form()],
    mode: Annotated[Mode, Form()],
    file: Annotated[UploadFile, File()],
    language: Annotated[Language | None, Form()] = None,
    id: Annotated[UUID | None, Form()] = None,
) -> Response:
    """Hand in one source file or a zip. With an `id` of the client's choice it may be repeated."""
    new = submissions.NewSubmission(
        id=id,
        problem=problem,
        device=device,
        mode=mode,
        language=language,
        filename=file.filename or "",
        size_bytes=file.size or 0,
        read=file.file.read,
    )
    detail, created = submissions.submit(services, author, new)
    return answer(detail, 201 if created else 200)


@router.get("", response_model=wire.Page)
def index(
    services: ServicesDep,
    user: Annotated[str | None, Query(pattern=r"^[\w.-]{1,32}$")] = None,
    problem: Annotated[str | None, Query(pattern=r"^\w{1,64}$")] = None,
    before: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """Submissions, newest first; pass `next` as `before` for the following ones."""
    page = submissions.page(services, user=user, problem=problem, before=before, limit=limit)
    return answer(page)


@router.get("/{submission_id}", response_model=wire.SubmissionDetail)
def show(services: ServicesDep, viewer: ViewerDep, submission_id: UUID) -> Response:
    """One submission. Logs, errors and raw times are its author's alone."""
    return answer(submissions.detail(services, submission_id, viewer))


@router.get("/{submission_id}/source")
def source(
    services: ServicesDep, viewer: ContestantDep, submission_id: UUID
) -> tuple[wire.SourceFile, ...]:
    """The files of one's own submission."""
    return submissions.source_of(services, submission_id, viewer)


@router.get(
    "/{submission_id}/picture",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def picture(services: ServicesDep, viewer: ViewerDep, submission_id: UUID) -> Response:
    """Where an output of a sample workload is wrong, as a PNG; for the submission's author."""
    png = submissions.picture(services, submission_id, viewer)
    return Response(png, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})


@router.post("/{submission_id}/cancel")
def cancel(
    services: ServicesDep, viewer: ContestantDep, submission_id: UUID
) -> wire.SubmissionDetail:
    """Take back one's own submission, waiting or being judged."""
    return submissions.cancel(services, submission_id, viewer)


def _existing(
    services: ServicesDep, viewer: ViewerDep, submission_id: UUID
) -> wire.SubmissionDetail:
    # As a dependency, because a stream that has begun cannot answer 404 any more.
    return submissions.detail(services, submission_id, viewer, samples=False)


@router.get("/{submission_id}/events", status_code=200, response_class=EventStream)
async def events(
    services: ServicesDep,
    viewer: ViewerDep,
    first: Annotated[wire.SubmissionDetail, Depends(_existing)],
    last_event_id: LastEventId = None,
) -> EventStream:
    """Every change of a submission, until it is final."""
    owner = viewer is not None and viewer.name == first.user

    def look() -> Message:
        found = submissions.detail(services, first.id, viewer, samples=False)
        return message("status", found.model_dump_json(), final=found.status.final)

    topics = (submission_topic(first.id), queue_topic(first.device))
    return EventStream(services.hub, (first.id, owner), topics, look, last_event_id)
