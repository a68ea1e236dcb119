"""Errors: a page for browsers, a problem document for programs."""

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.leaderboard.pages.browser import Browser, assert_harmless, read
from tests.leaderboard.pages.conftest import LogIn
from tests.leaderboard.world import API, PROBLEM, Person, assert_problem

NOBODY = "00000000-0000-4000-8000-000000000000"


def test_what_is_not_there_gets_a_page(visitor: Browser) -> None:
    for path in (
        "/nowhere",
        "/problems/nothing",
        f"/submissions/{NOBODY}",
        "/submissions/not-an-id",
        "/boards/x",
        "/static/nothing.css",
        "/<script>alert(1)</script>",
    ):
        response = visitor.get(path)
        if path.startswith("/static/"):
            assert response.status_code == 404
            continue
        document = read(response, 404)
        assert "404 Not found" in document.text
        assert "/" in document.links()
        assert_harmless(document)


def test_programs_get_a_document_for_the_same(visitor: Browser) -> None:
    response = visitor.client.get("/problems/nothing", headers={"Accept": "*/*"})

    assert_problem(response, 404, "unknown-problem")


def test_the_api_answers_in_json_even_to_browsers(visitor: Browser) -> None:
    assert_problem(visitor.get(f"{API}/problems/nothing"), 404, "unknown-problem")
    assert_problem(visitor.get(f"{API}/me"), 401, "invalid-token")


def test_a_hostile_message_can_do_nothing(visitor: Browser) -> None:
    document = visitor.page("/problems/%3Cscript%3Ealert(1)%3C%2Fscript%3E".replace("%2F", ""), 404)

    assert_harmless(document)
    assert "<script>alert(1)" in document.text


def test_a_wrong_method_gets_a_page_that_says_which_is_right(visitor: Browser) -> None:
    response = visitor.get("/logout")

    assert "405 Not possible here" in read(response, 405).text
    assert response.headers["allow"] == "POST"


def test_what_cannot_be_understood_gets_a_page(visitor: Browser) -> None:
    document = visitor.page("/submissions?before=soon", 422)

    assert "422 Not understood" in document.text
    assert "before" in document.text


def test_a_body_that_is_too_large_gets_a_page(visitor: Browser) -> None:
    document = read(visitor.post("/login", data={"name": "x" * (2 << 20)}), 413)

    assert "413 Too large" in document.text


def test_error_pages_know_who_is_there_and_in_which_language(
    alice: Person, logged_in: LogIn
) -> None:
    browser = logged_in(alice)
    browser.get("/?lang=zh")

    document = browser.page("/problems/nothing", 404)

    assert "找不到页面" in document.text
    assert "alice" in document.text


def test_a_database_that_is_away_gets_a_page(
    visitor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("a secret of ours"))

    monkeypatch.setattr("leaderboard.submissions.page", away)

    with capture_logs():
        response = visitor.get("/submissions")

    document = read(response, 503)
    assert "503 Not available at the moment" in document.text
    assert "secret" not in document.text
    assert response.headers["retry-after"] == "2"


def test_our_own_failure_gets_a_page(visitor: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("leaderboard.pages.problems.glances", broken)

    with capture_logs():
        html = visitor.get("/")
        plain = visitor.client.get("/", headers={"Accept": "*/*"})

    document = read(html, 500)
    assert "500 Something went wrong" in document.text
    assert "secret" not in document.text
    assert_problem(plain, 500, "server-error")


def test_an_anonymous_visitor_is_led_to_the_login(visitor: Browser) -> None:
    response = visitor.get(f"/problems/{PROBLEM}/submit")

    assert response.status_code == 303
    assert response.headers["location"].startswith("/login?next=%2Fproblems")


def test_an_anonymous_program_is_told_so(visitor: Browser) -> None:
    response = visitor.client.get(f"/problems/{PROBLEM}/submit", headers={"Accept": "*/*"})

    assert_problem(response, 401, "login-required")
