"""The problem list, and the page of a problem."""

from dataclasses import dataclass

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from judge import wire
from judge.verdict import Language
from leaderboard.pages.views import PageDep
from leaderboard.services import Services
from leaderboard.standings import standings

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the problem list says of a board.

    Attributes:
        solvers: people with a rank.
        best: the highest speed-up.
    """

    device: str
    solvers: int
    best: wire.StandingsEntry | None


@router.get("/")
def index(page: PageDep) -> Response:
    """All problems."""
    problems = [
        (problem, [_standing(page.services, problem.slug, d) for d in problem.devices])
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


def _standing(services: Services, problem: str, device: str) -> Standing:
    people = [e for e in standings(services, problem, device).entries if e.kind == "user"]
    best = max(people, key=lambda entry: entry.score.value, default=None)
    return Standing(device=device, solvers=len(people), best=best)
