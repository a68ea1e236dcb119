"""Whatever arrives, the answer is a problem document, and never one that says it is our fault."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from judge import wire
from leaderboard import logs
from leaderboard.app import create_app
from leaderboard.settings import Settings
from tests.leaderboard.world import API, PROBLEM, World, assert_problem, make_result, problem_of

LENIENT = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SURROGATES = st.text(st.characters(), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | SURROGATES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SURROGATES, inner, max_size=3),
    max_leaves=8,
)


def test_an_unknown_path_is_a_problem_document(world: World) -> None:
    assert_problem(world.client.get(f"{API}/nothing"), 404, "not-found")


def test_a_wrong_method_is_a_problem_document(world: World) -> None:
    response = world.client.put(f"{API}/problems")

    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'"\\ud800"'])
def test_what_is_not_json(world: World, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    response = world.client.post(f"{API}/users", content=content, headers=headers)

    assert 400 <= response.status_code < 500
    problem_of(response)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "text/plain", "application/json"],
)
def test_what_is_not_a_form(world: World, content_type: str) -> None:
    headers = {**world.person("alice").headers, "Content-Type": content_type}

    response = world.client.post(f"{API}/submissions", content=b"--x\r\n\r\n", headers=headers)

    assert 400 <= response.status_code < 500
    problem_of(response)


def test_a_body_over_the_limit_by_length_and_by_count(world: World) -> None:
    body = b'{"name": "' + b"x" * (1 << 20) + b'"}'
    headers = {"Content-Type": "application/json"}

    declared = world.client.post(f"{API}/users", content=body, headers=headers)
    counted = world.client.post(f"{API}/users", content=iter([body]), headers=headers)

    for response in (declared, counted):
        assert_problem(response, 413, "too-large")


ROUTES = ("/users", "/tokens", "/worker/claims", *(
    f"/worker/judgements/{uuid4()}/{what}"
    for what in ("claim", "heartbeat", "progress", "result", "release")
))  # fmt: skip


@LENIENT
@given(path=st.sampled_from(ROUTES), body=JSON)
def test_junk_bodies_are_never_our_fault(sturdy: World, path: str, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = {
        **sturdy.worker_headers,
        "Lease-Token": "x",
        "Content-Type": "application/json",
    }

    response = sturdy.client.post(f"{API}{path}", content=content, headers=headers)

    assert 400 <= response.status_code < 500
    problem_of(response)


@LENIENT
@given(data=st.data())
def test_results_with_one_thing_wrong_are_never_our_fault(
    claimed: tuple[World, Callable[..., Any]], data: st.DataObject
) -> None:
    world, post = claimed
    result = make_result(world.package.hash, seed="00").model_dump(mode="json")
    place: Any = result
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [v for v in (place.values() if isinstance(place, dict) else place) if v]
        inner = [v for v in inner if isinstance(v, dict | list)]
        if not inner:
            break
        place = data.draw(st.sampled_from(inner))
    keys = list(place) if isinstance(place, dict) else range(len(place))
    place[data.draw(st.sampled_from(list(keys)))] = data.draw(JSON)

    submission_id, response = post(json.dumps(result).encode())

    assert response.status_code < 500
    for path in (f"/submissions/{submission_id}", "/submissions", f"/standings/{PROBLEM}/cpu"):
        assert world.get(path).status_code == 200


@LENIENT
@given(
    user=SURROGATES,
    slug=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    before=SURROGATES | st.integers(),
)
def test_junk_addresses_are_never_our_fault(
    sturdy: World, user: str, slug: str, before: object
) -> None:
    junk = quote(slug, safe="")
    query = urlencode({"user": user, "before": before}, errors="surrogatepass")
    for path in (
        f"/problems/{junk}",
        f"/problems/{junk}/package",
        f"/standings/{junk}/{junk}",
        f"/submissions/{junk}",
        f"/worker/packages/{junk}",
        f"/submissions?{query}",
    ):
        response = sturdy.client.get(f"{API}{path}", headers=sturdy.worker_headers)
        assert response.status_code < 500, path


@pytest.fixture
def sturdy(world: World) -> World:
    """A service whose unexpected errors become answers, as they do for real clients."""
    client = TestClient(world.client.app, raise_server_exceptions=False)
    return World(client, world.clock, world.worker_headers)


@pytest.fixture
def claimed(sturdy: World) -> tuple[World, Callable[..., Any]]:
    """A function that posts bytes as the result of a claimed judgement, and says of which."""
    alice = sturdy.person("alice")
    claims: list[wire.Claim] = []

    def post(content: bytes) -> Any:
        if not claims:
            sturdy.submit(alice)
            claims.append(sturdy.claim())
        claim = claims[0]
        headers = {
            **sturdy.worker_headers,
            "Lease-Token": claim.lease_token,
            "Content-Type": "application/json",
        }
        path = f"{API}/worker/judgements/{claim.judgement_id}/result"
        response = sturdy.client.post(path, content=content, headers=headers)
        if response.status_code == 200:
            claims.clear()
        return claim.submission_id, response

    return sturdy, post


# --- our fault ----------------------------------------------------------------------------


def test_an_unexpected_error_tells_nothing_but_the_log(
    sturdy: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    token = "a token nobody may read"

    def fail(*_: object) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr("leaderboard.catalog.Catalog.summaries", fail)

    response = sturdy.client.get(f"{API}/problems", headers={"Cookie": token})

    document = assert_problem(response, 500, "server-error")
    assert "42" not in document.detail
    logged = capsys.readouterr().err
    assert "the secret is 42" in logged
    assert token not in logged


def test_a_database_that_is_away_is_a_503(sturdy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, OSError("could not connect to /secret/path"))

    monkeypatch.setattr("leaderboard.db.Database.read", fail)

    for path in ("/healthz", f"{API}/healthz"):
        assert sturdy.client.get(path).json() == {"status": "ok"}
    for path in ("/readyz", f"{API}/submissions"):
        response = sturdy.client.get(path)
        document = assert_problem(response, 503, "database-unavailable")
        assert "secret" not in document.detail
        assert response.headers["retry-after"] == "2"


# --- the description ----------------------------------------------------------------------

EXPECTED = {
    ("POST", "/users"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/current"),
    ("GET", "/me"),
    ("GET", "/problems"),
    ("GET", "/problems/{slug}"),
    ("GET", "/keys"),
    ("GET", "/problems/{slug}/package"),
    ("POST", "/submissions"),
    ("GET", "/submissions"),
    ("GET", "/submissions/{submission_id}"),
    ("GET", "/submissions/{submission_id}/record"),
    ("GET", "/submissions/{submission_id}/source"),
    ("GET", "/submissions/{submission_id}/picture"),
    ("GET", "/canary"),
    ("GET", "/submissions/{submission_id}/events"),
    ("POST", "/submissions/{submission_id}/cancel"),
    ("GET", "/standings/{problem}/{device}"),
    ("GET", "/standings/{problem}/{device}/events"),
    ("POST", "/worker/claims"),
    ("POST", "/worker/judgements/{judgement_id}/claim"),
    ("POST", "/worker/judgements/{judgement_id}/heartbeat"),
    ("POST", "/worker/judgements/{judgement_id}/progress"),
    ("POST", "/worker/judgements/{judgement_id}/result"),
    ("POST", "/worker/judgements/{judgement_id}/release"),
    ("GET", "/worker/packages/{package_hash}"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
}


def test_the_api_is_described_whole(make_settings: Callable[..., Settings]) -> None:
    document = create_app(make_settings()).openapi()

    described = {
        (method.upper(), path.removeprefix(API))
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith(API)
    }
    assert described == EXPECTED
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation.get("summary") or operation.get("description"), path
            if path.startswith(API):
                assert "4XX" in operation["responses"], path


def test_no_page_loads_scripts_from_elsewhere(world: World) -> None:
    for path in ("/docs", "/redoc"):
        assert world.client.get(path).status_code == 404
