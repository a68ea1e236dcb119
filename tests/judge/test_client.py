"""The typed client: what it sends, what it makes of answers, when it tries again."""

import socket
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from judge.client import Client, Upload
from judge.errors import ApiError
from judge.retry import Retry
from judge.verdict import Language, Mode, Status
from judge.wire import (
    BoardChanged,
    ClaimRequest,
    Credentials,
    Heartbeat,
    Progress,
    SourceFile,
    TokenRequest,
)
from tests.judge.samples import (
    ADA,
    BOARD,
    JUDGED,
    JUDGEMENT_ID,
    PAGE,
    PROBLEM,
    SUBMISSION_ID,
    SUMMARY,
    TOKEN,
    make_claim,
    make_detail,
    make_result,
    make_timing,
)
from tests.judge.stub import Answer, Reply, StubApi, refuse, say, serving, stream

Call = Callable[[Client], Any]

REQUEST = ClaimRequest(worker="w", device="cpu")
J = f"/worker/judgements/{JUDGEMENT_ID}"
S = f"/submissions/{SUBMISSION_ID}"


@pytest.fixture
def api() -> StubApi:
    return StubApi()


@pytest.mark.parametrize(
    ("route", "answer", "call", "expected"),
    [
        ("GET /me", say(ADA), lambda c: c.me(), ADA),
        ("GET /problems", say(SUMMARY, SUMMARY), lambda c: c.problems(), (SUMMARY, SUMMARY)),
        ("GET /problems/row_scale", say(PROBLEM), lambda c: c.problem("row_scale"), PROBLEM),
        (
            "GET /problems/row_scale/package",
            Reply(200, b"PK", "application/zip"),
            lambda c: c.problem_package("row_scale"),
            b"PK",
        ),
        (f"GET {S}", say(JUDGED), lambda c: c.submission(SUBMISSION_ID), JUDGED),
        (
            f"GET {S}/source",
            Reply(200, b'[{"path": "s.py", "content": "cGFzcw=="}]'),
            lambda c: c.submission_source(SUBMISSION_ID),
            (SourceFile(path="s.py", content=b"pass"),),
        ),
        (f"POST {S}/cancel", say(JUDGED), lambda c: c.cancel(SUBMISSION_ID), JUDGED),
        ("GET /submissions", say(PAGE), lambda c: c.submissions(), PAGE),
        (
            "GET /standings/row_scale/cpu",
            say(BOARD),
            lambda c: c.standings("row_scale", "cpu"),
            BOARD,
        ),
        ("DELETE /tokens/current", Reply(204), lambda c: c.revoke_token(), None),
        ("POST /worker/claims", say(make_claim()), lambda c: c.claim_next(REQUEST), make_claim()),
        ("POST /worker/claims", Reply(204), lambda c: c.claim_next(REQUEST), None),
        (
            f"POST {J}/claim",
            say(make_claim()),
            lambda c: c.claim(JUDGEMENT_ID, REQUEST),
            make_claim(),
        ),
        (
            "GET /worker/packages/abc",
            Reply(200, b"PK", "application/zip"),
            lambda c: c.worker_package("abc"),
            b"PK",
        ),
    ],
)
def test_each_route_is_called_with_the_token_and_its_answer_typed(
    api: StubApi, route: str, answer: Answer, call: Call, expected: object
) -> None:
    api.on(route, answer)
    with api.client() as client:
        assert call(client) == expected
    assert [s.headers["authorization"] for s in api.requests(route)] == ["Bearer secret"]


@pytest.mark.parametrize(
    ("route", "answer", "call", "body"),
    [
        (
            "POST /users",
            say(ADA),
            lambda c: c.register(Credentials(name="ada", password="longenough")),
            {"name": "ada", "password": "longenough"},
        ),
        (
            "POST /tokens",
            say(TOKEN),
            lambda c: c.create_token(
                TokenRequest(name="ada", password="longenough", label="l", expires_in_s=60)
            ),
            {"name": "ada", "password": "longenough", "label": "l", "expires_in_s": 60},
        ),
        (
            f"POST {J}/release",
            Reply(204),
            lambda c: c.release(JUDGEMENT_ID, "lease", "why", stopping=True),
            {"reason": "why", "stopping": True},
        ),
        (
            f"POST {J}/progress",
            Reply(204),
            lambda c: c.progress(JUDGEMENT_ID, "lease", Progress(status=Status.BUILDING)),
            Progress(status=Status.BUILDING).model_dump(mode="json"),
        ),
        (
            f"POST {J}/result",
            Reply(204),
            lambda c: c.push_result(JUDGEMENT_ID, "lease", make_result()),
            make_result().model_dump(mode="json"),
        ),
    ],
)
def test_what_is_sent_is_json(
    api: StubApi, route: str, answer: Answer, call: Call, body: object
) -> None:
    api.on(route, answer)
    with api.client() as client:
        call(client)
    (seen,) = api.requests(route)
    assert seen.json == body
    assert seen.headers["content-type"] == "application/json"


def test_worker_calls_carry_the_lease_token(api: StubApi) -> None:
    api.on(f"POST {J}/heartbeat", say(Heartbeat(lease_s=12.5)))
    with api.client() as client:
        assert client.heartbeat(JUDGEMENT_ID, "the-lease").lease_s == 12.5
    assert api.seen[0].headers["lease-token"] == "the-lease"


def test_without_a_token_there_is_no_authorization_header(api: StubApi) -> None:
    api.on("GET /problems", say(SUMMARY, SUMMARY))
    with api.client(token=None) as client:
        client.problems()
    assert "authorization" not in api.seen[0].headers


def test_a_submission_is_a_form_with_a_file(api: StubApi) -> None:
    api.on("POST /submissions", say(make_detail(), status=201))
    with api.client() as client:
        client.submit(
            SUBMISSION_ID,
            Upload("s.py", b"the source"),
            problem="row_scale",
            device="cpu",
            mode=Mode.RANKED,
            language=Language.PYTHON,
        )
    body = api.seen[0].body.decode()
    for part in ("the source", 'filename="s.py"', str(SUBMISSION_ID), "row_scale", "ranked"):
        assert part in body
    assert 'name="language"' in body


def test_the_language_is_left_out_unless_said(api: StubApi) -> None:
    api.on("POST /submissions", say(make_detail(), status=201))
    with api.client() as client:
        client.submit(SUBMISSION_ID, Upload("s.py", b""), problem="p", device="cpu", mode=Mode.TEST)
    assert 'name="language"' not in api.seen[0].body.decode()


def test_only_the_filters_that_are_given_are_sent(api: StubApi) -> None:
    api.on("GET /submissions", say(PAGE))
    with api.client() as client:
        client.submissions(user="ada", before="7", limit=3)
    assert api.seen[0].query == "user=ada&before=7&limit=3"


def test_the_servers_own_explanation_is_the_error(api: StubApi) -> None:
    api.on("GET /me", refuse(401, "invalid-token", "log in again"))
    with api.client() as client, pytest.raises(ApiError) as caught:
        client.me()
    assert (caught.value.status, caught.value.code, caught.value.message) == (
        401,
        "invalid-token",
        "log in again",
    )


def test_an_error_without_explanation_says_so(api: StubApi) -> None:
    api.on("GET /me", Reply(404, b"<html>nginx</html>", "text/html"))
    with api.client() as client, pytest.raises(ApiError, match="is this the address of an opjudge"):
        client.me()


@pytest.mark.parametrize("path", ["/me", "/problems"])
def test_an_answer_of_another_version_is_an_error_not_a_crash(api: StubApi, path: str) -> None:
    api.on(f"GET {path}", Reply(200, b'{"new": "field"}'))
    with api.client() as client, pytest.raises(ApiError) as caught:
        client.me() if path == "/me" else client.problems()
    assert caught.value.code == "unexpected-answer"


@pytest.mark.parametrize("trouble", [Reply(503), Reply(429), httpx2.ConnectError("refused")])
def test_a_repeatable_call_is_tried_again(api: StubApi, trouble: Answer) -> None:
    api.on("GET /me", trouble, trouble, say(ADA))
    with api.client() as client:
        assert client.me() == ADA
    assert len(api.seen) == 3


def test_it_gives_up_after_the_last_attempt(api: StubApi) -> None:
    api.on("GET /me", httpx2.ReadTimeout("slow"))
    with api.client(retry=Retry(attempts=4)) as client, pytest.raises(ApiError) as caught:
        client.me()
    assert len(api.seen) == 4
    assert caught.value.status == 0


def test_what_must_not_happen_twice_is_sent_once(api: StubApi) -> None:
    api.on("POST /users", httpx2.ReadTimeout("slow"))
    with api.client() as client, pytest.raises(ApiError):
        client.register(Credentials(name="ada", password="longenough"))
    assert len(api.seen) == 1


def test_a_refusal_is_not_tried_again(api: StubApi) -> None:
    api.on("GET /me", refuse(403, "missing-scope"))
    with api.client() as client, pytest.raises(ApiError):
        client.me()
    assert len(api.seen) == 1


def test_waits_grow_up_to_a_limit() -> None:
    retry = Retry(first_s=1.0, factor=3.0, longest_s=5.0)
    assert [retry.wait_s(n) for n in range(4)] == [1.0, 3.0, 5.0, 5.0]


def test_nobody_listening_is_explained_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused, and nobody else gets it
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            Client(url, retry=Retry(attempts=1)) as client,
            pytest.raises(ApiError, match="opjudge up") as caught,
        ):
            client.me()
    assert caught.value.status == 0
    assert url in caught.value.message


@pytest.mark.parametrize("url", ["http://[", "nonsense", "ftp://host"])
def test_what_is_no_address_is_an_error_with_status_zero(url: str) -> None:
    with pytest.raises(ApiError) as caught, Client(url, retry=Retry(attempts=1)) as client:
        client.me()
    assert caught.value.status == 0


def test_a_proxy_for_the_outside_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, api: StubApi
) -> None:
    api.on("GET /me", say(ADA))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(api) as url, Client(url, retry=Retry(attempts=1)) as client:
        assert client.me() == ADA


# --- events -------------------------------------------------------------------------------


def watch(client: Client) -> list[BaseModel]:
    return list(client.watch(SUBMISSION_ID))


def test_watching_ends_with_the_final_state(api: StubApi) -> None:
    api.on(f"GET {S}/events", stream(make_detail(), make_timing(3), JUDGED, make_timing(4)))
    with api.client() as client:
        assert watch(client) == [make_detail(), make_timing(3), JUDGED]


def test_a_broken_stream_is_taken_up_again(api: StubApi) -> None:
    api.on(
        f"GET {S}/events",
        stream(make_detail()),
        httpx2.ReadError("gone"),
        Reply(503),
        stream(make_timing(3)),
        stream(JUDGED),
    )
    with api.client() as client:
        assert watch(client) == [make_detail(), make_timing(3), JUDGED]


def test_a_server_that_stays_away_ends_the_watching(api: StubApi) -> None:
    api.on(f"GET {S}/events", stream(make_detail()), httpx2.ConnectError("refused"))
    with api.client() as client, pytest.raises(ApiError) as caught:
        watch(client)
    assert caught.value.status == 0


def test_a_refused_stream_is_an_error_at_once(api: StubApi) -> None:
    api.on(f"GET {S}/events", refuse(404, "unknown-submission", "there is no such submission"))
    with api.client() as client, pytest.raises(ApiError, match="no such submission"):
        watch(client)
    assert len(api.seen) == 1


def test_an_event_of_another_version_is_an_error(api: StubApi) -> None:
    api.on(f"GET {S}/events", Reply(200, b"data: {}\n\n", "text/event-stream"))
    with api.client() as client, pytest.raises(ApiError, match="same version"):
        watch(client)


def test_standings_stream_on(api: StubApi) -> None:
    changed = BoardChanged(revision=1)
    api.on("GET /standings/row_scale/cpu/events", stream(changed), stream(changed))
    api.on("GET /standings/row_scale/cpu", say(BOARD))
    with api.client() as client:
        boards = client.watch_standings("row_scale", "cpu")
        assert [next(boards), next(boards), next(boards)] == [BOARD] * 3
