"""The problem list, and the page of a problem."""

from pathlib import Path

import pytest

from judge.package import load_package
from judge.signature import cpp_signature, python_signature
from tests.fixtures import write_package
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.pages.browser import Browser, assert_harmless
from tests.leaderboard.world import API, PROBLEM, Person, World

HOSTILE = "</code></pre><script>alert(1)</script><img src=x onerror=alert(2)>"


def test_the_list_shows_every_problem(visitor: Browser) -> None:
    document = visitor.page("/")

    assert "Row scale" in document.text
    assert f"/problems/{PROBLEM}" in document.links()
    assert f"/boards/{PROBLEM}/cpu" in document.links()
    assert document.text_in("td", **{"class": "number"}) == ["0", "–"]


def test_the_list_counts_solvers_and_names_the_best(
    world: World, visitor: Browser, alice: Person
) -> None:
    world.judge(alice, 1.5)
    world.judge(alice, 2.5)
    world.judge(world.person("bob"), 0.5)

    assert visitor.page("/").text_in("td", **{"class": "number"}) == ["2", "2.500× alice"]


def test_an_empty_list_says_so(make_world: MakeWorld, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    browser = Browser(make_world(problems_dir=tmp_path / "none"))

    assert "No problems are on offer yet." in browser.page("/").text


def test_a_problem_shows_what_a_contestant_needs(world: World, visitor: Browser) -> None:
    document = visitor.page(f"/problems/{PROBLEM}")
    operator = world.package.problem.operator

    blocks = document.text_in("pre")
    assert python_signature(operator) in blocks
    assert cpp_signature(operator) in blocks
    detail = world.services.catalog.detail(PROBLEM)
    for code in (detail.reference, detail.baseline, *(s.content for s in detail.starters)):
        assert " ".join(code.split()) in blocks
    assert "Multiply by 1 + eps." in document.text
    assert "Memory (MiB) 1024" in document.text
    assert "Kind oracle" in document.text
    assert {f"/problems/{PROBLEM}/submit", f"/boards/{PROBLEM}/cpu"} <= set(document.links())
    assert world.package.hash in document.text


def test_how_cpp_is_compiled_is_said(world: World, visitor: Browser) -> None:
    command = world.services.catalog.detail(PROBLEM).compile_command

    assert command
    assert command in visitor.page(f"/problems/{PROBLEM}").text_in("pre")


def test_visible_workloads_are_listed_and_hidden_ones_only_counted(visitor: Browser) -> None:
    document = visitor.page(f"/problems/{PROBLEM}")

    assert "tiny rows=2, cols=3 eps=1e-05 sample" in document.text
    assert "large rows=512, cols=1024 eps=1e-05 timed" in document.text
    assert "1 more are hidden" in document.text
    for secret in ("secret", "509", "1021"):
        assert secret not in document.text


def test_the_package_can_be_had(visitor: Browser) -> None:
    path = f"{API}/problems/{PROBLEM}/package"

    assert path in visitor.page(f"/problems/{PROBLEM}").links()
    assert visitor.get(path).headers["content-type"] == "application/zip"


@pytest.mark.parametrize(
    ("language", "filename"), [("python", "solution.py"), ("cpp", "solution.cpp")]
)
def test_starter_files_can_be_saved(
    world: World, visitor: Browser, language: str, filename: str
) -> None:
    path = f"/problems/{PROBLEM}/starter/{language}"
    assert path in visitor.page(f"/problems/{PROBLEM}").links()

    response = visitor.get(path)

    starters = {
        s.language.value: s.content for s in world.services.catalog.detail(PROBLEM).starters
    }
    assert response.text == starters[language]
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["content-disposition"] == f'attachment; filename="{filename}"'


def test_a_starter_in_another_language_is_a_page_not_a_crash(visitor: Browser) -> None:
    visitor.page(f"/problems/{PROBLEM}/starter/cobol", 422)


def test_a_misspelt_problem_is_told_apart(visitor: Browser) -> None:
    document = visitor.page("/problems/row_scal", 404)

    assert f"did you mean `{PROBLEM}`?" in document.text


@pytest.fixture
def hostile_dir(tmp_path: Path) -> Path:
    """A problem whose author tries everything."""
    folder = tmp_path / "hostile"
    write_package(
        folder / "hostile",
        ("en: Row scale", f'en: "{HOSTILE}"'),
        ("operator:", f'keywords: ["{HOSTILE}"]\noperator:'),
        files={
            "statement/problem.en.md": f"# x\n\n{HOSTILE}\n\n[x](javascript:alert(1))\n",
            "reference.py": f'"""{HOSTILE}"""\n\n\ndef reference(x, eps):\n    return x\n',
        },
    )
    load_package(folder / "hostile")
    return folder


def test_a_hostile_problem_can_do_nothing(make_world: MakeWorld, hostile_dir: Path) -> None:
    browser = Browser(make_world(problems_dir=hostile_dir))

    for path in ("/", "/problems/hostile", "/boards/hostile/cpu", "/submissions"):
        document = browser.page(path)
        assert_harmless(document)
        assert len(document.all("script")) == 1
        assert not document.all("img")
        assert "<script>alert(1)</script>" in document.text


def test_best_does_not_mean_first_in_a_tie(world: World, visitor: Browser, alice: Person) -> None:
    world.judge(alice, 2.0, spread=0.5)
    world.judge(world.person("bob"), 2.2, spread=0.5)

    # They share the first rank, alice above because she was earlier.
    assert visitor.page("/").text_in("td", **{"class": "number"}) == ["2", "2.200× bob"]
