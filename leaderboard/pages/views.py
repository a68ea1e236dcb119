"""Templates and static files, and what a page knows while it is rendered."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from judge.counters import beyond_its_clock
from judge.errors import ApiError
from leaderboard.accounts import Principal
from leaderboard.auth import ServicesDep
from leaderboard.kept import Kept
from leaderboard.pages import formats
from leaderboard.pages.bars import Scale
from leaderboard.pages.labels import LANGUAGES, Labels, chosen_language
from leaderboard.pages.markdown import Markdown
from leaderboard.pages.sessions import VisitorDep
from leaderboard.services import Services

_ROOT = Path(__file__).resolve().parent.parent
STATIC = _ROOT / "static"
LANGUAGE_COOKIE = "opjudge_lang"
_LANGUAGE_AGE_S = 366 * 86400
# A table of a hundred rows is some 80 kB.
_FRAGMENTS = 256


class Views:
    """Renders templates; everything is escaped unless it was made safe before."""

    def __init__(self) -> None:
        self.markdown = Markdown()
        self.kept = Kept(_FRAGMENTS)
        self._digests: dict[str, str] = {}
        self._environment = Environment(
            loader=FileSystemLoader(_ROOT / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(asset=self.asset, scale=Scale, languages=LANGUAGES)
        for name in ("figure", "plain", "exact", "duration", "times", "bounds", "percent",
                     "moment", "pairs", "index"):  # fmt: skip
            self._environment.filters[name] = getattr(formats, name)
        self._environment.filters["beyond_its_clock"] = beyond_its_clock

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(context)

    def asset(self, name: str) -> str:
        """The address of a static file; it changes with the content, so no old one is kept."""
        if name not in self._digests:
            content = (STATIC / name).read_bytes()
            self._digests[name] = hashlib.sha256(content).hexdigest()[:12]
        return f"/static/{name}?v={self._digests[name]}"


@dataclass(frozen=True, slots=True)
class Page:
    """A page in the making.

    Attributes:
        visitor: who is logged in.
    """

    request: Request
    services: Services
    views: Views
    visitor: Principal | None
    labels: Labels

    def fragment(self, template: str, **context: Any) -> str:
        """A template as text."""
        return self.views.render(template, {**self._common(), **context})

    def render(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A template as a response."""
        response = HTMLResponse(
            self.fragment(template, **context),
            status_code=status,
            headers={"Cache-Control": "private, no-cache", "Vary": "Cookie, Accept-Language"},
        )
        if self.request.query_params.get("lang") == self.labels.language:
            response.set_cookie(
                LANGUAGE_COOKIE, self.labels.language, max_age=_LANGUAGE_AGE_S, samesite="lax"
            )
        return response

    def text(self, texts: Mapping[str, str]) -> str:
        """A problem's text in the reader's language, else in English, which is always there."""
        return texts.get(self.labels.language, texts["en"])

    def _common(self) -> dict[str, Any]:
        return {
            "t": self.labels,
            "text": self.text,
            "visitor": self.visitor,
            "path": self.request.url.path,
            "switch": self._in_language,
            "open_registration": self.services.settings.open_registration,
        }

    def _in_language(self, language: str) -> str:
        """The address of this page in another language."""
        url = self.request.url.include_query_params(lang=language)
        return f"{url.path}?{url.query}"


def page_of(request: Request, services: Services, visitor: Principal | None) -> Page:
    """The page of a request."""
    language = chosen_language(
        request.query_params.get("lang"),
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language"),
    )
    return Page(request, services, request.app.state.views, visitor, Labels(language))


async def _page(request: Request, services: ServicesDep, visitor: VisitorDep) -> Page:
    # An error page is made outside of the route, and must not ask the database again.
    request.state.visitor = visitor
    return page_of(request, services, visitor)


PageDep = Annotated[Page, Depends(_page)]


async def _member(page: PageDep) -> Principal:
    if page.visitor is None:
        raise ApiError("log in first", status=401, code="login-required")
    return page.visitor


MemberDep = Annotated[Principal, Depends(_member)]
