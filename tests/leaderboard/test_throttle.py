"""Limits on how often and how much: per account, per address, before anything is parsed."""

import asyncio
import time
from contextlib import suppress

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from judge.errors import UserError
from leaderboard import throttle
from leaderboard.api.limits import BodyLimit
from leaderboard.throttle import Throttle, TooOften, Windows, _network
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.pages.browser import Browser
from tests.leaderboard.world import API, PASSWORD, PROBLEM, World, assert_problem

WRONG = {"name": "alice", "password": "a wrong password"}
RIGHT = {"name": "alice", "password": PASSWORD}


def attempts(world: World, count: int) -> list[int]:
    return [world.client.post(f"{API}/tokens", json=WRONG).status_code for _ in range(count)]


def test_a_rate_of_nothing_allows_nothing() -> None:
    windows = Windows()
    assert windows.hit(("login_rate", "ada"), 0, 60.0) == 60.0
    assert len(windows) == 0


def test_guessing_a_password_ends_soon(make_world: MakeWorld) -> None:
    world = make_world(login_rate="3/hour")
    world.person("bob")
    world.client.post(f"{API}/users", json=RIGHT)

    assert attempts(world, 4) == [401, 401, 401, 429]
    refused = world.client.post(f"{API}/tokens", json=RIGHT)
    assert_problem(refused, 429, "too-often")
    assert "3 per 1 hour" in refused.json()["detail"]
    assert 3000 < int(refused.headers["retry-after"]) <= 3600
    upper = {**RIGHT, "name": "ALICE"}
    assert world.client.post(f"{API}/tokens", json=upper).status_code == 429
    others = {"name": "bob", "password": PASSWORD}
    assert world.client.post(f"{API}/tokens", json=others).status_code == 201


def test_without_the_limit_guessing_goes_on(make_world: MakeWorld) -> None:
    world = make_world(login_rate="off")

    assert attempts(world, 20) == [401] * 20


def test_the_form_is_limited_like_the_api(make_world: MakeWorld) -> None:
    world = make_world(login_rate="2/hour")
    browser = Browser(world)

    answers = [browser.post("/login", data=WRONG) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert "text/html" in answers[2].headers["content-type"]
    assert "try again in" in answers[2].text
    assert int(answers[2].headers["retry-after"]) > 3000


def test_accounts_are_not_made_by_the_thousand(make_world: MakeWorld) -> None:
    world = make_world(login_address_rate="5/hour")

    made = [
        world.client.post(f"{API}/users", json={"name": f"p{i}", "password": PASSWORD}).status_code
        for i in range(7)
    ]

    assert made == [201] * 5 + [429] * 2


def test_an_account_asks_so_often_and_others_go_on(make_world: MakeWorld) -> None:
    world = make_world(api_rate="4/hour")
    alice, bob = world.person("alice"), world.person("bob")

    asked = [world.get("/me", alice).status_code for _ in range(6)]

    assert asked == [200] * 4 + [429] * 2
    assert_problem(world.get("/me", alice), 429, "too-often")
    assert world.get("/me", bob).status_code == 200


def test_an_address_asks_so_often_and_workers_go_on(make_world: MakeWorld) -> None:
    world = make_world(api_address_rate="3/hour")

    asked = [world.get("/problems").status_code for _ in range(4)]

    assert asked == [200, 200, 200, 429]
    assert [world.post_claim().status_code for _ in range(5)] == [204] * 5
    assert world.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_a_household(address: str, network: str) -> None:
    assert _network(address) == network


def test_a_rate_nobody_understands_is_refused_at_the_start(make_world: MakeWorld) -> None:
    with pytest.raises(UserError) as error:
        make_world(login_rate="often")

    assert error.value.code == "bad-setting"
    assert "OPJUDGE_LOGIN_RATE" in error.value.message
    assert "10/minute" in error.value.message


def test_the_clock_of_a_limit_goes_on(world: World) -> None:
    limits = Throttle(world.services.settings.model_copy(update={"api_rate": "1/second"}))
    limits.request("alice")
    with pytest.raises(TooOften) as error:
        limits.request("alice")

    assert error.value.retry_after_s == 1


def test_a_window_moves_and_refusals_do_not_count() -> None:
    windows = Windows()

    first = [windows.hit(("a",), 2, 0.05) for _ in range(4)]
    assert first[:2] == [0, 0]
    assert all(0 < wait_s <= 0.05 for wait_s in first[2:])
    assert windows.hit(("b",), 2, 0.05) == 0, "each has a window of its own"

    time.sleep(0.06)
    assert windows.hit(("a",), 2, 0.05) == 0


def test_nobody_is_remembered_for_longer_than_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows()
    for number in range(100):
        windows.hit((str(number),), 1, 0.001)
    windows.hit(("recent",), 1, 60)
    assert len(windows) == 101

    time.sleep(0.01)
    monkeypatch.setattr(throttle, "_SWEEP_S", 0.0)
    assert windows.hit(("recent",), 1, 60) > 59

    assert len(windows) == 1


LARGE = b"x" * (2 << 20)


@pytest.mark.parametrize("path", ["/submissions", "/worker/judgements/{}/result"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
def test_a_stranger_is_refused_a_large_body(
    world: World, path: str, headers: dict[str, str]
) -> None:
    url = API + path.format("00000000-0000-0000-0000-000000000001")

    response = world.client.post(url, content=LARGE, headers=headers)

    assert_problem(response, 401, "login-required")


def test_whoever_has_a_token_may_send_more(world: World) -> None:
    response = world.post_submission(world.person("alice"), LARGE)

    assert_problem(response, 413, "too-large")
    assert PROBLEM in response.json()["detail"], "it came in, and is over the problem's own limit"


@pytest.mark.parametrize("declares", [True, False])
@pytest.mark.parametrize(("known", "most"), [(False, 20), (True, 100)])
def test_no_more_is_read_of_a_stranger_than_of_a_login(
    known: bool, most: int, declares: bool
) -> None:
    """With everybody known the whole body is read: that is what the limit is for."""
    read = asyncio.run(_read(known, declares))

    assert read == (0 if declares and not known else most)


async def _read(known: bool, declares: bool) -> int:
    """How much of 100 bytes gets as far as the application."""
    read = 0

    async def application(_: Scope, receive: Receive, __: Send) -> None:
        nonlocal read
        with suppress(HTTPException):
            while (await receive())["more_body"]:
                read += 10
            read += 10

    pieces = iter(range(10))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 10, "more_body": next(pieces) < 9}

    async def send(_: Message) -> None:
        pass

    headers = [(b"content-length", b"100")] if declares else []
    scope = {"type": "http", "path": "/large", "headers": headers}
    limit = BodyLimit(application, 20, {"/large": 1000}, lambda _: known)
    await limit(scope, receive, send)
    return read
