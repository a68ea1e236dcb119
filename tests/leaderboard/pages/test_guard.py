"""Other sites get nowhere, and pages run nothing but our own script."""

from typing import Any

import pytest
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from leaderboard.pages import accounts, boards, problems, submissions, uploads
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.pages.browser import Browser, read
from tests.leaderboard.pages.conftest import LogIn
from tests.leaderboard.world import API, PROBLEM, SOURCE, Person, World

SITE = "http://testserver"
EVIL = "https://evil.example"
NOBODY = "00000000-0000-4000-8000-000000000000"


UNSAFE_PAGES = {
    "/login": "/login",
    "/register": "/register",
    "/logout": "/logout",
    "/problems/{slug}/submit": f"/problems/{PROBLEM}/submit",
    "/submissions/{submission_id:uuid}/cancel": f"/submissions/{NOBODY}/cancel",
}


WHO_MAY_POST: list[tuple[dict[str, str], bool]] = [
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "something new"}, False),
    ({"Sec-Fetch-Site": ""}, False),
    # What the browser says of itself beats an origin that a proxy may have mangled.
    ({"Sec-Fetch-Site": "same-origin", "Origin": EVIL}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": SITE}, False),
    ({"Origin": SITE}, True),
    ({"Origin": f"{SITE}:81"}, False),
    ({"Origin": f"{SITE}.evil.example"}, False),
    ({"Origin": EVIL}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "http://[broken"}, False),
    # Not a browser.
    ({}, True),
]


def test_no_form_is_forgotten_here() -> None:
    modules = (accounts, boards, problems, submissions, uploads)
    routes = [r for module in modules for r in module.router.routes if isinstance(r, APIRoute)]

    unsafe = {route.path for route in routes if not (route.methods or set()) <= {"GET", "HEAD"}}

    assert unsafe == set(UNSAFE_PAGES)


def test_no_form_can_be_sent_by_another_site(alice: Person, logged_in: LogIn) -> None:
    form = {"name": "carol", "password": "correct horse", "mode": "test", "device": "cpu"}
    for path in UNSAFE_PAGES.values():
        browser = logged_in(alice)

        refused = browser.post(path, headers={"Origin": EVIL}, data=form)
        passed = browser.post(path, headers={"Origin": SITE}, data=form)

        assert "another site" in read(refused, 403).text
        assert passed.status_code in (303, 401, 404, 422), path


def test_a_forged_submission_is_not_stored_and_a_genuine_one_is(
    world: World, alice: Person, logged_in: LogIn
) -> None:
    browser = logged_in(alice)
    request: dict[str, Any] = {
        "data": {"device": "cpu", "mode": "ranked"},
        "files": {"file": ("solution.py", SOURCE)},
    }
    path = f"/problems/{PROBLEM}/submit"

    assert (
        browser.post(path, headers={"Sec-Fetch-Site": "cross-site"}, **request).status_code == 403
    )
    assert world.get("/submissions").json()["items"] == []

    assert (
        browser.post(path, headers={"Sec-Fetch-Site": "same-origin"}, **request).status_code == 303
    )
    assert len(world.get("/submissions").json()["items"]) == 1


def test_who_may_post(visitor: Browser) -> None:
    for headers, allowed in WHO_MAY_POST:
        status = visitor.post("/logout", headers=headers).status_code

        assert (headers, status) == (headers, 303 if allowed else 403)


def test_behind_a_proxy_the_public_name_counts(make_world: MakeWorld) -> None:
    browser = Browser(make_world(public_url="https://judge.example/"))

    assert browser.post("/logout", headers={"Origin": "https://judge.example"}).status_code == 303
    assert browser.post("/logout", headers={"Origin": EVIL}).status_code == 403


def test_looking_is_allowed_from_anywhere(visitor: Browser) -> None:
    response = visitor.client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Origin": EVIL})

    assert response.status_code == 200


def test_the_api_knows_no_cookies(alice: Person, logged_in: LogIn) -> None:
    browser = logged_in(alice)

    assert browser.get(f"{API}/me").status_code == 401
    assert browser.post(f"{API}/submissions/{NOBODY}/cancel").status_code == 401


def test_every_answer_carries_the_headers(visitor: Browser) -> None:
    for path, status in (
        ("/", 200),
        ("/nowhere", 404),
        ("/submissions?before=x", 422),
        (f"/problems/{PROBLEM}/submit", 303),
        ("/static/app.css", 200),
        ("/static/app.js", 200),
    ):
        response = visitor.get(path)

        assert (path, response.status_code) == (path, status)
        assert_guarded(response.headers)


def test_an_unexpected_error_carries_them_too(
    visitor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("leaderboard.catalog.Catalog.summaries", broken)

    with capture_logs() as logs:
        response = visitor.get("/")

    assert response.status_code == 500
    assert logs[0]["path"] == "/"
    assert_guarded(response.headers)
    assert "secret" not in response.text


def test_the_api_is_left_as_it_is(visitor: Browser) -> None:
    response = visitor.get(f"{API}/problems")

    assert "content-security-policy" not in response.headers


def assert_guarded(headers: Any) -> None:
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    assert headers["referrer-policy"] == "same-origin"
