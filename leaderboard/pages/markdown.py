"""Problem statements: from Markdown to HTML that cannot do anything."""

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

_SCHEMES = {"http", "https", "mailto"}


class Markdown:
    """Renders statements. Organizers write them, but a package may come from anywhere."""

    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark", {"html": False}).enable("table")

    def html(self, text: str) -> Markup:
        """A statement as safe HTML, without the title it begins with: the page has its own."""
        tokens = self._parser.parse(text)
        if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
            tokens = tokens[3:]
        html = self._parser.renderer.render(tokens, self._parser.options, {})
        return Markup(nh3.clean(html, url_schemes=_SCHEMES))  # noqa: S704 - cleaned right here
