"""Sessions: how they begin and end, and where one gets to afterwards."""

from http.cookies import SimpleCookie

import httpx2
import pytest

from leaderboard.auth import COOKIE
from leaderboard.pages.sessions import LIFETIME_S, local_path
from tests.leaderboard.conftest import WORKER_TOKEN, MakeWorld
from tests.leaderboard.pages.browser import Browser, assert_harmless, read
from tests.leaderboard.pages.conftest import LogIn
from tests.leaderboard.world import API, PASSWORD, PROBLEM, Person, World

SUBMIT = f"/problems/{PROBLEM}/submit"


def cookie_of(response: httpx2.Response) -> SimpleCookie:
    return SimpleCookie(response.headers["set-cookie"])


# --- logging in ---------------------------------------------------------------------------


def test_a_login_begins_a_session(visitor: Browser, alice: Person) -> None:
    assert "Log in" in visitor.page("/").text

    response = visitor.log_in("alice", SUBMIT)

    assert (response.status_code, response.headers["location"]) == (303, SUBMIT)
    text = visitor.page("/").text
    assert "alice Log out" in text
    assert "Log in" not in text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    visitor: Browser, alice: Person
) -> None:
    cookie = cookie_of(visitor.log_in("alice"))[COOKIE]

    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie["path"] == "/"
    assert cookie["max-age"] == str(LIFETIME_S)
    assert not cookie["secure"]


def test_over_https_the_cookie_is_secure(make_world: MakeWorld) -> None:
    world = make_world(public_url="https://judge.example")
    world.person("alice")

    assert cookie_of(Browser(world).log_in("alice"))[COOKIE]["secure"]


def test_the_session_is_a_token_like_any_other(
    world: World, alice: Person, logged_in: LogIn
) -> None:
    session = logged_in(alice).session

    me = world.client.get(f"{API}/me", headers={"Authorization": f"Bearer {session}"})

    assert me.json()["name"] == "alice"


def test_wrong_credentials_are_all_answered_alike(visitor: Browser, alice: Person) -> None:
    for name, password in (
        ("alice", "wrong horse"),
        ("nobody", PASSWORD),
        ("", ""),
        ("<b>", "x"),
        ("alice", "short"),
    ):
        response = visitor.post("/login", data={"name": name, "password": password, "next": "/x"})

        document = read(response, 401)
        assert document.text_in("div", role="alert") == ["Wrong name or password."]
        assert document.all("input", name="name")[0]["value"] == name
        assert document.all("input", name="next")[0]["value"] == "/x"
        assert "value" not in document.all("input", name="password")[0]
        assert visitor.session is None


def test_a_new_login_ends_the_session_before(world: World, alice: Person, logged_in: LogIn) -> None:
    browser = logged_in(alice)
    before = browser.session

    browser.log_in("alice")

    assert browser.session != before
    stale = world.client.get(f"{API}/me", headers={"Authorization": f"Bearer {before}"})
    assert stale.status_code == 401


# --- being somebody -----------------------------------------------------------------------


def test_logging_out_ends_the_session_on_the_server_as_well(
    world: World, alice: Person, logged_in: LogIn
) -> None:
    browser = logged_in(alice)
    session = browser.session

    response = browser.post("/logout")

    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert browser.session is None
    stale = world.client.get(f"{API}/me", headers={"Authorization": f"Bearer {session}"})
    assert stale.status_code == 401


def test_logging_out_twice_does_no_harm(visitor: Browser) -> None:
    assert visitor.post("/logout").status_code == 303


def test_a_session_that_is_over_is_nobody(world: World, alice: Person, logged_in: LogIn) -> None:
    browser = logged_in(alice)
    assert browser.get(SUBMIT).status_code == 200

    world.clock.advance(LIFETIME_S + 1)

    assert "Log in" in browser.page("/").text
    assert browser.get(SUBMIT).status_code == 303


def test_a_cookie_that_means_nothing_is_nobody(visitor: Browser) -> None:
    for session in ("", "rubbish", "opj_nonsense", '"><script>', "é"):
        header = f"{COOKIE}={session}".encode("latin-1")

        response = visitor.client.get("/", headers={b"Cookie": header})

        assert "Log in" in read(response).text


def test_a_workers_token_is_no_session(visitor: Browser) -> None:
    response = visitor.client.get("/", headers={"Cookie": f"{COOKIE}={WORKER_TOKEN}"})

    assert "Log in" in read(response).text


def test_a_bearer_token_is_no_session_either(visitor: Browser, alice: Person) -> None:
    response = visitor.client.get(SUBMIT, headers=dict(alice.headers))

    assert response.status_code == 303


# --- getting back -------------------------------------------------------------------------


def test_whoever_has_to_log_in_comes_back(visitor: Browser, alice: Person) -> None:
    sent = visitor.get(f"{SUBMIT}?device=cpu")
    assert sent.status_code == 303
    form = visitor.page(sent.headers["location"])

    following = form.all("input", name="next")[0]["value"]

    assert following == f"{SUBMIT}?device=cpu"
    assert visitor.log_in("alice", following).headers["location"] == following


def test_an_upload_without_a_session_leads_to_the_login_and_back(visitor: Browser) -> None:
    response = visitor.upload()

    assert response.status_code == 303
    form = visitor.page(response.headers["location"])
    assert form.all("input", name="next")[0]["value"] == SUBMIT


@pytest.mark.parametrize(
    "path", ["/", "/submissions", "/problems/row_softmax/submit?device=cpu", "/a/b-c_d.e~f?x=%2F"]
)
def test_paths_here_are_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "submissions",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/x\n/evil.example",
        "/ok\n",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        " /x",
        "/é",
        "/<script>",
    ],
)
def test_nothing_else_is(path: str) -> None:
    assert local_path(path, otherwise="/elsewhere") == "/elsewhere"


def test_a_login_leads_to_no_other_site(visitor: Browser, alice: Person) -> None:
    for following in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil"):
        assert visitor.log_in("alice", following).headers["location"] == "/"


def test_a_hostile_way_back_never_gets_into_the_form(visitor: Browser) -> None:
    document = visitor.page("/login?next=%2F%2Fevil.example%22%3E%3Cscript%3E")

    assert_harmless(document)
    assert document.all("input", name="next")[0]["value"] == "/"


# --- registering --------------------------------------------------------------------------


def test_registering_logs_in(world: World, visitor: Browser) -> None:
    form = {"name": "bob", "password": PASSWORD, "next": SUBMIT}

    response = visitor.post("/register", data=form)

    assert (response.status_code, response.headers["location"]) == (303, SUBMIT)
    assert "bob Log out" in visitor.page("/").text


def test_a_taken_name_is_said_on_the_form(visitor: Browser, alice: Person) -> None:
    response = visitor.post("/register", data={"name": "ALICE", "password": PASSWORD})

    document = read(response, 409)
    assert "is taken" in document.text_in("div", role="alert")[0]
    assert document.all("input", name="name")[0]["value"] == "ALICE"


def test_bad_fields_are_said_on_the_form(visitor: Browser) -> None:
    for name, password, said in (
        ("x", PASSWORD, "2 to 32 letters"),
        ("<script>alert(1)</script>", PASSWORD, "2 to 32 letters"),
        ("bob", "short", "At least 8 characters"),
        ("", "", "2 to 32 letters"),
    ):
        document = read(visitor.post("/register", data={"name": name, "password": password}), 422)

        assert said in document.text_in("div", role="alert")[0]
        assert_harmless(document)
        assert visitor.session is None


def test_registration_can_be_closed(make_world: MakeWorld) -> None:
    browser = Browser(make_world(open_registration=False))

    assert "Register" not in browser.page("/").text
    document = browser.page("/register", 403)
    assert "made by the organizers" in document.text
    assert document.all("form") == []
    refused = browser.post("/register", data={"name": "bob", "password": PASSWORD})
    assert refused.status_code == 403
    assert browser.session is None
