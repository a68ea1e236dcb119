"""Submissions: the list, and the page of one with its progress."""

from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import RedirectResponse

from judge import wire
from leaderboard import submissions
from leaderboard.accounts import Principal
from leaderboard.auth import LastEventId
from leaderboard.events import queue_topic, submission_topic
from leaderboard.pages.views import MemberDep, Page, PageDep
from leaderboard.records import signed_record
from leaderboard.streams import EventStream, Message, message

router = APIRouter(prefix="/submissions")

_PAGE = 50


@router.get("")
def index(
    page: PageDep,
    user: Annotated[str, Query(pattern=r"^[\w.-]{0,32}$")] = "",
    problem: Annotated[str, Query(pattern=r"^\w{0,64}$")] = "",
    before: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
) -> Response:
    """Submissions, newest first."""
    found = submissions.page(
        page.services, user=user or None, problem=problem or None, before=before, limit=_PAGE
    )
    older = urlencode({"user": user, "problem": problem, "before": found.next})
    return page.render(
        "submissions.html",
        items=found.items,
        older=f"/submissions?{older}" if found.next else None,
        first=before is None,
        user=user,
        problem=problem,
        problems=page.services.catalog.summaries(),
    )


def _found(page: PageDep, submission_id: UUID) -> wire.SubmissionDetail:
    return submissions.detail(page.services, submission_id, page.visitor, samples=False)


FoundDep = Annotated[wire.SubmissionDetail, Depends(_found)]


@router.get("/{submission_id:uuid}")
def show(page: PageDep, found: FoundDep) -> Response:
    """One submission. Its log, errors and source are its author's alone."""
    listed = {problem.slug: problem for problem in page.services.catalog.summaries()}
    return page.render(
        "submission.html",
        # The problem may have been taken off the list since.
        problem=listed.get(found.problem),
        files=_files(page, found),
        **_context(page, found),
    )


@router.get("/{submission_id:uuid}/live", status_code=200, response_class=EventStream)
async def live(page: PageDep, found: FoundDep, last_event_id: LastEventId = None) -> EventStream:
    """The middle of the page, and again each time it changes, until it is final."""

    def draw() -> Message:
        state = submissions.detail(page.services, found.id, page.visitor, samples=False)
        html = page.fragment("_submission.html", **_context(page, state))
        return message("fragment", html, final=state.status.final)

    # Drawn once for all who see the same of it.
    key = ("submission page", found.id, _is_owner(page.visitor, found), page.labels.language)
    topics = (submission_topic(found.id), queue_topic(found.device))
    # Without a word of farewell the browser would connect again, for ever.
    farewell = b"event: end\ndata:\n\n"
    return EventStream(page.services.hub, key, topics, draw, last_event_id, farewell)


@router.get("/{submission_id:uuid}/picture")
def picture(page: PageDep, submission_id: UUID) -> Response:
    """Where an output is wrong, as a PNG; for the submission's author."""
    png = submissions.picture(page.services, submission_id, page.visitor)
    return Response(png, media_type="image/png", headers={"Cache-Control": "private"})


@router.get("/{submission_id:uuid}/record")
def record(page: PageDep, submission_id: UUID) -> Response:
    """The signed record, to keep."""
    signed = signed_record(page.services, submission_id)
    return Response(
        signed.model_dump_json(indent=1),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="record-{submission_id}.json"'},
    )


@router.post("/{submission_id:uuid}/cancel")
def cancel(page: PageDep, member: MemberDep, submission_id: UUID) -> Response:
    """Take back one's own submission."""
    submissions.cancel(page.services, submission_id, member)
    return RedirectResponse(f"/submissions/{submission_id}", 303)


def _is_owner(visitor: Principal | None, found: wire.SubmissionDetail) -> bool:
    return visitor is not None and visitor.name == found.user


def _context(page: Page, found: wire.SubmissionDetail) -> dict[str, Any]:
    return {"submission": found, "owner": _is_owner(page.visitor, found)}


def _files(page: Page, found: wire.SubmissionDetail) -> list[tuple[str, str]]:
    if page.visitor is None or not _is_owner(page.visitor, found):
        return []
    files = submissions.source_of(page.services, found.id, page.visitor)
    return [(file.path, file.content.decode("utf-8", "replace")) for file in files]
