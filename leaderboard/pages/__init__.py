"""The web pages: rendered on the server, readable without JavaScript, nothing from elsewhere."""

from fastapi import APIRouter, Depends, FastAPI
from starlette.staticfiles import StaticFiles

from leaderboard.pages import accounts, boards, errors, guard, problems, submissions, uploads
from leaderboard.pages.views import STATIC, Views


def install(app: FastAPI) -> None:
    """Add the pages to an application that has its API and its error handlers already."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(guard.refuse_other_sites)])
    for module in (problems, uploads, submissions, boards, accounts):
        router.include_router(module.router)
    app.state.views = Views()
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    errors.install(app)
    app.add_middleware(guard.SecurityHeaders)
