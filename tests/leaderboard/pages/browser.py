"""A visitor with a browser: cookies, headers as browsers send them, and pages taken apart."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import httpx2
from starlette.testclient import TestClient

from tests.leaderboard.world import PASSWORD, PROBLEM, SOURCE, World

OWN_SITE = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
_VOID = {"meta", "link", "input", "img", "br", "rect", "line", "path"}
_INLINE = {"a", "b", "code", "span", "small", "em", "time"}


class Document(HTMLParser):
    """The elements and the visible text of a page; fails on one that is not well formed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._open: list[int] = []
        self._texts: list[tuple[frozenset[int], str]] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice: {tag} {names}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._break(tag)
        if tag not in _VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self.elements[self._open.pop()][0] == tag, f"</{tag}> closes something else"
        self._break(tag)

    def _break(self, tag: str) -> None:
        if tag not in _INLINE:
            self._texts.append((frozenset(self._open), " "))

    def handle_data(self, data: str) -> None:
        self._texts.append((frozenset(self._open), data))

    @property
    def text(self) -> str:
        """Visible text, spaces collapsed."""
        return " ".join("".join(data for _, data in self._texts).split())

    def text_in(self, tag: str, **attributes: str) -> list[str]:
        """What stands in each of the elements with this tag and these attributes."""
        return [
            " ".join("".join(data for inside, data in self._texts if i in inside).split())
            for i, (name, found) in enumerate(self.elements)
            if name == tag and attributes.items() <= found.items()
        ]

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Attributes of the elements with this tag and these attributes."""
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    def links(self) -> list[str]:
        return [found["href"] for found in self.all("a")]


class Browser:
    """Somebody looking at pages.

    Args:
        world: the running service.
        headers: besides those every browser sends.
    """

    def __init__(self, world: World, headers: Mapping[str, str] | None = None) -> None:
        self.world = world
        # Not entered: the service runs already, in the world's own client.
        self.client = TestClient(
            world.client.app,
            headers={"Accept": "text/html,application/xhtml+xml", **(headers or {})},
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path)

    def page(self, path: str, status: int = 200) -> Document:
        """A page that has to be there, taken apart."""
        return read(self.get(path), status)

    def post(
        self, path: str, headers: Mapping[str, str] = OWN_SITE, **request: Any
    ) -> httpx2.Response:
        return self.client.post(path, headers=headers, **request)

    def log_in(self, name: str, following: str = "/") -> httpx2.Response:
        form = {"name": name, "password": PASSWORD, "next": following}
        return self.post("/login", data=form)

    def upload(
        self, content: bytes = SOURCE, filename: str = "solution.py", **fields: str
    ) -> httpx2.Response:
        """Send the form."""
        data = {"device": "cpu", "mode": "ranked", "language": "", **fields}
        return self.post(
            f"/problems/{PROBLEM}/submit", data=data, files={"file": (filename, content)}
        )

    @property
    def session(self) -> str | None:
        """The token in the cookie."""
        return self.client.cookies.get("opjudge_session")


def read(response: httpx2.Response, status: int = 200) -> Document:
    """An HTML response, taken apart."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Document(response.text)


def assert_harmless(document: Document) -> None:
    """Nothing on the page can run but our own script."""
    for tag, attributes in document.elements:
        assert tag not in ("style", "iframe", "object", "embed", "base")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            address = attributes.get(name, "").strip().lower()
            assert not address.startswith(("javascript:", "data:", "vbscript:")), address
        if tag == "script":
            assert attributes["src"].startswith("/static/app.js?v=")
