"""Accounts, tokens, scopes and expiry."""

import hashlib
import time

import pytest
from sqlmodel import select

from judge import wire
from leaderboard.accounts import Passwords
from leaderboard.models import Token, User
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import API, PASSWORD, Person, World, assert_problem


def test_register_log_in_and_be_known(world: World) -> None:
    alice = world.person("alice")

    response = world.get("/me", alice)

    user = wire.User.model_validate_json(response.content)
    assert user.name == "alice"
    assert user.created_at == world.clock.now
    assert response.headers["token-scopes"] == "submit"


@pytest.mark.parametrize("name", ["alice", "ALICE"])
def test_a_name_is_taken_once_whatever_its_case(world: World, name: str) -> None:
    world.person("alice")

    response = world.client.post(f"{API}/users", json={"name": name, "password": PASSWORD})

    assert_problem(response, 409, "name-taken")


@pytest.mark.parametrize(
    "credentials",
    [
        {"name": "a", "password": PASSWORD},
        {"name": "-dash", "password": PASSWORD},
        {"name": "a b", "password": PASSWORD},
        {"name": "nul\0", "password": PASSWORD},
        {"name": "alice", "password": "short"},
        {"name": "alice", "password": "x" * 257},
        {"name": "alice"},
        {"name": "alice", "password": PASSWORD, "admin": True},
        [],
        None,
    ],
)
def test_bad_credentials_make_no_account(world: World, credentials: object) -> None:
    response = world.client.post(f"{API}/users", json=credentials)

    assert_problem(response, 422, "invalid-request")
    with world.services.db.read() as session:
        assert [u.name for u in session.exec(select(User)).all()] == ["worker"]


def test_an_error_never_repeats_the_password(world: World) -> None:
    response = world.client.post(f"{API}/users", json={"name": "a b", "password": "hunter2hunter"})

    assert "hunter2" not in response.text


def test_registration_can_be_closed(make_world: MakeWorld) -> None:
    world = make_world(open_registration=False)

    response = world.client.post(f"{API}/users", json={"name": "alice", "password": PASSWORD})

    assert_problem(response, 403, "registration-closed")


@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", "wrong horse"), ("nobody", PASSWORD), ("worker", PASSWORD)],
)
def test_wrong_credentials_say_no_more_than_that(world: World, name: str, password: str) -> None:
    world.person("alice")

    response = world.client.post(f"{API}/tokens", json={"name": name, "password": password})

    document = assert_problem(response, 401, "wrong-credentials")
    assert document.detail == "wrong name or password"


def test_log_in_ignores_case_and_answers_with_the_registered_name(world: World) -> None:
    world.person("Alice")

    response = world.client.post(f"{API}/tokens", json={"name": "aLICE", "password": PASSWORD})

    assert response.json()["user"] == "Alice"


def test_unknown_names_take_as_long_as_known_ones() -> None:
    passwords = Passwords(time_cost=2, memory_kib=8192)
    stored = passwords.hash(PASSWORD)

    def fastest(hashed: str | None) -> float:
        durations = []
        for _ in range(5):
            start = time.perf_counter()
            passwords.verify("wrong", hashed)
            durations.append(time.perf_counter() - start)
        return min(durations)

    assert fastest(None) > fastest(stored) / 3


def test_a_dummy_hash_opens_nothing() -> None:
    passwords = Passwords(time_cost=1, memory_kib=64)

    assert passwords.verify("anything", None) == (False, None)


def test_only_hashes_are_stored(world: World) -> None:
    alice = world.person("alice")
    secret = alice.headers["Authorization"].removeprefix("Bearer ")

    with world.services.db.read() as session:
        hashes = {t.sha256 for t in session.exec(select(Token)).all()}
        stored = session.exec(select(User.password_hash).where(User.key == "alice")).one()

    assert hashlib.sha256(secret.encode()).hexdigest() in hashes
    assert secret not in hashes
    assert stored is not None
    assert PASSWORD not in stored


def test_an_outdated_password_hash_is_renewed_on_log_in(make_world: MakeWorld) -> None:
    world = make_world()
    world.person("alice")
    stronger = make_world(password_time_cost=2)

    credentials = {"name": "alice", "password": PASSWORD}
    assert stronger.client.post(f"{API}/tokens", json=credentials).status_code == 201

    with world.services.db.read() as session:
        stored = session.exec(select(User.password_hash).where(User.key == "alice")).one()
    assert stored is not None
    assert "t=2" in stored


def test_a_revoked_token_is_worthless_and_others_are_not(world: World) -> None:
    alice = world.person("alice")
    again = world.client.post(f"{API}/tokens", json={"name": "alice", "password": PASSWORD})
    other = Person("alice", {"Authorization": f"Bearer {again.json()['token']}"})

    assert world.client.delete(f"{API}/tokens/current", headers=alice.headers).status_code == 204

    assert_problem(world.get("/me", alice), 401, "invalid-token")
    assert world.get("/me", other).status_code == 200


def test_a_token_expires_when_it_said(world: World) -> None:
    world.person("alice")
    request = {"name": "alice", "password": PASSWORD, "expires_in_s": 60}
    token = world.client.post(f"{API}/tokens", json=request).json()
    alice = Person("alice", {"Authorization": f"Bearer {token['token']}"})

    world.clock.advance(59)
    assert world.get("/me", alice).status_code == 200
    world.clock.advance(1)
    assert_problem(world.get("/me", alice), 401, "expired-token")


@pytest.mark.parametrize("seconds", [0, 59, 367 * 86400, "soon"])
def test_tokens_live_between_a_minute_and_a_year(world: World, seconds: object) -> None:
    world.person("alice")
    request = {"name": "alice", "password": PASSWORD, "expires_in_s": seconds}

    assert_problem(world.client.post(f"{API}/tokens", json=request), 422, "invalid-request")


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Basic YTpi", "nonsense", ""])
def test_a_bad_token_is_refused_even_where_none_is_needed(world: World, header: str) -> None:
    headers = {"Authorization": header}

    response = world.client.get(f"{API}/me", headers=headers)
    assert_problem(response, 401, "invalid-token")
    assert response.headers["www-authenticate"] == "Bearer"
    public = world.client.get(f"{API}/submissions/{'0' * 32}", headers=headers)
    assert_problem(public, 401, "invalid-token")


def test_no_token_is_a_401_where_one_is_needed(world: World) -> None:
    for method, path in [
        ("GET", "/me"),
        ("DELETE", "/tokens/current"),
        ("POST", "/submissions"),
        ("POST", "/worker/claims"),
        ("GET", f"/submissions/{'0' * 32}/source"),
        ("POST", f"/submissions/{'0' * 32}/cancel"),
    ]:
        assert_problem(world.client.request(method, f"{API}{path}"), 401, "invalid-token")


def test_scopes_keep_people_and_workers_apart(world: World) -> None:
    alice = world.person("alice")
    worker = Person("worker", world.worker_headers)

    body = {"worker": "w", "device": "cpu"}
    claims = world.client.post(f"{API}/worker/claims", headers=alice.headers, json=body)
    package = world.get(f"/worker/packages/{world.package.hash}", alice)

    assert_problem(claims, 403, "missing-scope")
    assert_problem(package, 403, "missing-scope")
    assert_problem(world.post_submission(worker), 403, "missing-scope")
    assert world.get("/me", worker).headers["token-scopes"] == "worker"


def test_the_worker_account_cannot_be_registered(world: World) -> None:
    response = world.client.post(f"{API}/users", json={"name": "Worker", "password": PASSWORD})

    assert_problem(response, 409, "name-taken")


def test_a_new_bootstrap_token_replaces_the_old_one(make_world: MakeWorld) -> None:
    first = make_world()
    assert first.post_claim().status_code == 204

    second = make_world(worker_token="another token for workers")

    assert_problem(second.post_claim(), 401, "invalid-token")
    second.worker_headers = {"Authorization": "Bearer another token for workers"}
    assert second.post_claim().status_code == 204


def test_a_persons_token_called_bootstrap_survives_a_restart(make_world: MakeWorld) -> None:
    world = make_world()
    world.person("alice")
    request = {"name": "alice", "password": PASSWORD, "label": "bootstrap"}
    token = world.client.post(f"{API}/tokens", json=request).json()["token"]

    restarted = make_world()

    alice = Person("alice", {"Authorization": f"Bearer {token}"})
    assert restarted.get("/me", alice).status_code == 200
