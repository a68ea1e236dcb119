"""What holds for every template and every static file."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from leaderboard.pages.views import STATIC, Views

ROOT = STATIC.parent
TEMPLATES = sorted((ROOT / "templates").glob("*.html"))
FILES = [*TEMPLATES, *sorted(STATIC.iterdir())]


def name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")

    assert not re.search(r"https?:|(src|href|action)=[\"']//|url\(|@import", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_no_script_and_no_style_stands_in_a_template(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|srcdoc", text)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert all(not script.strip() for script in scripts)


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_no_template_switches_escaping_off(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"\|\s*safe|autoescape|Markup", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_every_attribute_is_quoted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"<[^>]*[a-z]=\{\{", re.sub(r'"[^"]*"', '""', text))


def test_the_script_knows_nothing_that_needs_a_looser_policy() -> None:
    script = (STATIC / "app.js").read_text(encoding="utf-8")

    assert not re.search(r"\beval\(|new Function|document\.write|\.style\b", script)


def test_addresses_of_static_files_change_with_their_content() -> None:
    views = Views()

    address = views.asset("app.css")

    assert re.fullmatch(r"/static/app\.css\?v=[0-9a-f]{12}", address)
    assert address.partition("=")[2] != views.asset("app.js").partition("=")[2]
    with pytest.raises(FileNotFoundError):
        views.asset("missing.css")


def test_a_value_that_is_missing_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(UndefinedError):
        Views().render("error.html", {})
