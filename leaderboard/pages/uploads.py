"""The form to hand a submission in."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from fastapi.responses import RedirectResponse

from judge.errors import ApiError, SubmissionError, UserError
from judge.hints import did_you_mean
from judge.verdict import Language, Mode
from leaderboard import submissions
from leaderboard.accounts import Principal
from leaderboard.pages.views import MemberDep, Page, PageDep

router = APIRouter(prefix="/problems/{slug}/submit")

WordT = TypeVar("WordT", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Filled:
    """The form as it was filled in.

    Attributes:
        language: empty to find it out from the file.
        once: drawn when the form was shown; sending it twice makes one submission.
    """

    device: str = ""
    mode: str = Mode.RANKED.value
    language: str = ""
    once: str = ""


@router.get("")
def show(
    page: PageDep,
    member: MemberDep,  # noqa: ARG001 - only whoever can submit gets the form
    slug: str,
    device: Annotated[str, Query(max_length=32)] = "",
) -> Response:
    """The empty form."""
    return _form(page, slug, Filled(device=device))


@router.post("")
def submit(
    page: PageDep,
    member: MemberDep,
    slug: str,
    device: Annotated[str, Form()] = "",
    mode: Annotated[str, Form()] = "",
    language: Annotated[str, Form()] = "",
    once: Annotated[str, Form(max_length=64)] = "",
    file: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Hand in; what is wrong is said on the form."""
    filled = Filled(device, mode, language, once)
    try:
        detail, _ = submissions.submit(page.services, member, _new(slug, filled, member, file))
    except (ApiError, SubmissionError) as error:
        if error.code == "unknown-problem":
            raise
        return _form(page, slug, filled, error)
    return RedirectResponse(f"/submissions/{detail.id}", 303)


def _new(
    slug: str, filled: Filled, member: Principal, file: UploadFile | None
) -> submissions.NewSubmission:
    if file is None or not file.filename:
        raise SubmissionError("no file was chosen; choose one source file or a zip", code="no-file")
    content = file.file.read()
    return submissions.NewSubmission(
        id=_identity(slug, filled, member, content),
        problem=slug,
        device=filled.device,
        mode=_word(Mode, "mode", filled.mode),
        language=_word(Language, "language", filled.language) if filled.language else None,
        filename=file.filename,
        size_bytes=len(content),
        read=lambda: content,
    )


def _identity(slug: str, filled: Filled, member: Principal, content: bytes) -> UUID | None:
    """The same for an impatient second click, another one for another file in the same form."""
    if not filled.once:
        return None
    digest = hashlib.sha256(content).hexdigest()
    parts = (member.user_id, slug, filled.device, filled.mode, filled.language, filled.once, digest)
    return uuid5(NAMESPACE_URL, "\n".join(str(part) for part in parts))


def _word(kind: type[WordT], name: str, given: str) -> WordT:
    try:
        return kind(given)
    except ValueError:
        hint = did_you_mean(given[:32], [word.value for word in kind])
        raise SubmissionError(
            f"there is no {name} {given[:32]!r}{hint}", code=f"unknown-{name}"
        ) from None


def _form(page: Page, slug: str, filled: Filled, error: UserError | None = None) -> Response:
    return page.render(
        "submit.html",
        _status(error),
        problem=page.services.catalog.detail(slug),
        filled=filled,
        once=uuid4().hex,
        error=error,
        modes=tuple(Mode),
        kinds=tuple(Language),
    )


def _status(error: UserError | None) -> int:
    if error is None:
        return 200
    if isinstance(error, ApiError):
        return error.status
    return 413 if error.code == "too-large" else 422
