"""The problem list, and the page of a problem."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from judge.verdict import Language
from leaderboard.pages.glance import glances
from leaderboard.pages.views import PageDep

router = APIRouter()


@router.get("/")
def index(page: PageDep) -> Response:
    """All problems."""
    known = glances(page.services)
    problems = [
        (problem, [known[problem.slug, device] for device in problem.devices])
        for problem in page.services.catalog.summaries()
    ]
    return page.render("problems.html", problems=problems)


@router.get("/problems/{slug}")
def show(page: PageDep, slug: str) -> Response:
    """What a contestant needs to know of a problem."""
    problem = page.services.catalog.detail(slug)
    statement = page.views.markdown.html(page.text(problem.statement))
    return page.render("problem.html", problem=problem, statement=statement)


@router.get("/problems/{slug}/starter/{language}")
def starter(page: PageDep, slug: str, language: Language) -> Response:
    """A file to begin from, to save."""
    starters = page.services.catalog.detail(slug).starters
    found = next(s for s in starters if s.language is language)
    disposition = f'attachment; filename="{found.filename}"'
    return PlainTextResponse(found.content, headers={"Content-Disposition": disposition})
