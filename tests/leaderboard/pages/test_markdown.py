"""Statements look as they should, and cannot do anything."""

import pytest

from leaderboard.pages.markdown import Markdown
from tests.leaderboard.pages.browser import Document, assert_harmless


def test_a_statement_keeps_its_structure() -> None:
    html = Markdown().html("## Operator\n\n| a | b |\n|---|--:|\n| `x` | 1 |\n\n- one\n- *two*\n")

    for part in ("<h2>Operator</h2>", "<td><code>x</code></td>", "<li>one</li>", "<em>two</em>"):
        assert part in html
    assert "style" not in html


def test_code_is_kept_to_the_letter() -> None:
    html = Markdown().html("```cpp\nif (a < b && c) x<float> y;\n```\n")

    assert "if (a &lt; b &amp;&amp; c) x&lt;float&gt; y;" in html


def test_the_title_is_left_to_the_page() -> None:
    html = Markdown().html("# Row Softmax\n\nText.\n\n# Not the title\n")

    assert "Row Softmax" not in html
    assert "<h1>Not the title</h1>" in html
    assert Markdown().html("Text.\n").strip() == "<p>Text.</p>"
    assert Markdown().html("") == ""


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a <b onclick=alert(1)>b</b>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&#58;alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](javascript:alert(1))",
        '[x](/y "t\\" onmouseover=\\"alert(1)")',
        "<style>body{display:none}</style>",
        "<iframe src=//evil.example></iframe>",
        '```"><script>alert(1)</script>\nx\n```',
        "<a href='javascript:alert(1)'>x</a>",
    ],
)
def test_hostile_statements_are_tamed(text: str) -> None:
    html = Markdown().html(text)

    document = Document(html.replace("<img", "<link"))
    assert_harmless(document)
    assert not document.all("script")


def test_links_lead_out_safely() -> None:
    html = Markdown().html("[x](https://example.org/)")

    assert 'rel="noopener noreferrer"' in html
