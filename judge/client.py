"""The service's HTTP API as typed methods: what the command line and the worker talk through.

Every method raises `ApiError`: with the server's own explanation and HTTP status, or with status 0
when there was no answer. Calls that may safely be repeated are, with back-off.
"""

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from judge.errors import ApiError
from judge.record import Keys, SignedRecord
from judge.retry import Retry
from judge.verdict import Language, Mode
from judge.wire import (
    WIRE,
    BoardChanged,
    Claim,
    ClaimRequest,
    Credentials,
    Heartbeat,
    JudgementResult,
    Page,
    ProblemDetail,
    ProblemDocument,
    ProblemSummary,
    Progress,
    SourceFile,
    Standings,
    SubmissionDetail,
    Token,
    TokenRequest,
    User,
)

API = "/api/v1"
LEASE_HEADER = "Lease-Token"
WIRE_HEADER = "Opjudge-Wire"

_TRANSIENT = frozenset({429, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

ModelT = TypeVar("ModelT", bound=BaseModel)


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Whom to trust. Reading it takes 50 ms: a worker's children have their parent's."""
    return httpx2.create_ssl_context()


@dataclass(frozen=True, slots=True)
class Upload:
    """The file part of a submission."""

    filename: str
    content: bytes


class Client:
    """A connection to one server. Use as a context manager.

    Args:
        url: the server's address, without `/api/v1`.
        token: bearer token, a person's or a worker's.
        transport: replaces the network, for tests.
        sleep: waits between tries, replaced in tests.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._retry = retry or Retry()
        self._sleep = sleep
        headers = {"Accept": "application/json", WIRE_HEADER: str(WIRE)}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._http = httpx2.Client(
                base_url=self.url,
                headers=headers,
                timeout=timeout_s,
                transport=transport,
                verify=_certificates(),
                # A proxy set for the outside world cannot reach a server on this machine.
                trust_env=httpx2.URL(self.url).host not in _LOOPBACK,
            )
        except (httpx2.InvalidURL, ValueError) as error:
            raise ApiError(f"{url!r} is not a server address: {error}", status=0) from error

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- people ---------------------------------------------------------------------------

    def register(self, credentials: Credentials) -> User:
        return self._model(User, self._send("POST", "/users", body=credentials))

    def create_token(self, request: TokenRequest) -> Token:
        return self._model(Token, self._send("POST", "/tokens", body=request))

    def revoke_token(self) -> None:
        self._send("DELETE", "/tokens/current", repeat=True)

    def me(self) -> User:
        return self._get(User, "/me")

    # --- problems -------------------------------------------------------------------------

    def problems(self) -> tuple[ProblemSummary, ...]:
        return self._several(_PROBLEMS, self._send("GET", "/problems", repeat=True))

    def problem(self, slug: str) -> ProblemDetail:
        return self._get(ProblemDetail, f"/problems/{slug}")

    def problem_package(self, slug: str) -> bytes:
        """The public part of a problem package, zipped."""
        return self._send("GET", f"/problems/{slug}/package", repeat=True).content

    # --- submissions ----------------------------------------------------------------------

    def submit(
        self,
        submission_id: UUID,
        upload: Upload,
        *,
        problem: str,
        device: str,
        mode: Mode,
        language: Language | None = None,
    ) -> SubmissionDetail:
        """Send a submission. Safe to repeat: the id makes a second arrival the same submission."""
        fields = {"id": str(submission_id), "problem": problem, "device": device, "mode": mode}
        if language is not None:
            fields["language"] = language
        files = {"file": (upload.filename, upload.content, "application/octet-stream")}
        response = self._send("POST", "/submissions", repeat=True, data=fields, files=files)
        return self._model(SubmissionDetail, response)

    def submissions(
        self,
        *,
        user: str | None = None,
        problem: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> Page:
        query = {"user": user, "problem": problem, "before": before, "limit": limit}
        return self._get(Page, "/submissions", {k: v for k, v in query.items() if v is not None})

    def submission(self, submission_id: UUID) -> SubmissionDetail:
        return self._get(SubmissionDetail, f"/submissions/{submission_id}")

    def submission_source(self, submission_id: UUID) -> tuple[SourceFile, ...]:
        response = self._send("GET", f"/submissions/{submission_id}/source", repeat=True)
        return self._several(_FILES, response)

    def record(self, submission_id: UUID, attempt: int | None = None) -> bytes:
        """The signed record of a judgement, byte for byte as the server signed it."""
        query = {"attempt": attempt} if attempt else None
        path = f"/submissions/{submission_id}/record"
        response = self._send("GET", path, repeat=True, params=query)
        self._model(SignedRecord, response)
        return response.content

    def keys(self) -> bytes:
        """The public keys of the server, as it gives them."""
        response = self._send("GET", "/keys", repeat=True)
        self._model(Keys, response)
        return response.content

    def cancel(self, submission_id: UUID) -> SubmissionDetail:
        response = self._send("POST", f"/submissions/{submission_id}/cancel", repeat=True)
        return self._model(SubmissionDetail, response)

    def watch(self, submission_id: UUID) -> Iterator[SubmissionDetail]:
        """Each state of a submission as it comes, ending with a final one."""
        for detail in self._events(SubmissionDetail, f"/submissions/{submission_id}/events"):
            yield detail
            if detail.status.final:
                return

    # --- standings ------------------------------------------------------------------------

    def standings(self, problem: str, device: str, after: str | None = None) -> Standings:
        """A page of a board: from the top, or after another page's `next`."""
        query = {"after": after} if after else None
        return self._get(Standings, f"/standings/{problem}/{device}", query)

    def watch_standings(self, problem: str, device: str) -> Iterator[Standings]:
        """The top of a board, again each time it changes; never ends by itself."""
        for changed in self._events(BoardChanged, f"/standings/{problem}/{device}/events"):
            self._sleep(changed.spread_ms / 1000 * random.random())  # noqa: S311 - no secret
            yield self.standings(problem, device)

    # --- workers --------------------------------------------------------------------------

    def claim_next(self, request: ClaimRequest) -> Claim | None:
        """The next judgement waiting for this device, None if there is none."""
        response = self._send("POST", "/worker/claims", body=request)
        return None if response.status_code == 204 else self._model(Claim, response)

    def claim(self, judgement_id: UUID, request: ClaimRequest) -> Claim:
        """This one judgement. ApiError 404 or 409: it is gone, or somebody else has it."""
        response = self._send("POST", f"/worker/judgements/{judgement_id}/claim", body=request)
        return self._model(Claim, response)

    def heartbeat(self, judgement_id: UUID, lease_token: str) -> Heartbeat:
        response = self._send(
            "POST", f"/worker/judgements/{judgement_id}/heartbeat", lease=lease_token
        )
        return self._model(Heartbeat, response)

    def progress(self, judgement_id: UUID, lease_token: str, progress: Progress) -> None:
        path = f"/worker/judgements/{judgement_id}/progress"
        self._send("POST", path, lease=lease_token, body=progress)

    def push_result(self, judgement_id: UUID, lease_token: str, result: JudgementResult) -> None:
        """Hand in a result. Not repeated here: the worker does that until it is delivered."""
        path = f"/worker/judgements/{judgement_id}/result"
        self._send("POST", path, lease=lease_token, body=result)

    def release(
        self, judgement_id: UUID, lease_token: str, reason: str, *, stopping: bool = False
    ) -> None:
        """Give a judgement back unfinished, through no fault of the submission.

        Args:
            stopping: the worker was told to stop; not counted as a failed attempt.
        """
        path = f"/worker/judgements/{judgement_id}/release"
        self._send(
            "POST",
            path,
            repeat=True,
            lease=lease_token,
            json={"reason": reason, "stopping": stopping},
        )

    def worker_package(self, package_hash: str) -> bytes:
        """A whole problem package, zipped, by its hash."""
        return self._send("GET", f"/worker/packages/{package_hash}", repeat=True).content

    # --- plumbing -------------------------------------------------------------------------

    def _get(
        self, model: type[ModelT], path: str, query: Mapping[str, str | int] | None = None
    ) -> ModelT:
        return self._model(model, self._send("GET", path, repeat=True, params=query))

    def _send(
        self,
        method: str,
        path: str,
        *,
        repeat: bool = False,
        lease: str | None = None,
        body: BaseModel | None = None,
        **request: Any,
    ) -> httpx2.Response:
        headers = {LEASE_HEADER: lease} if lease else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
            request["content"] = body.model_dump_json()
        attempts = self._retry.attempts if repeat else 1
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            try:
                response = self._http.request(method, API + path, headers=headers, **request)
            except httpx2.TransportError as error:
                if last:
                    raise self._unreachable(error) from error
            else:
                if response.status_code not in _TRANSIENT or last:
                    return self._checked(response)
            self._sleep(self._retry.wait_s(attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if response.is_success:
            return response
        try:
            document = ProblemDocument.model_validate_json(response.content)
        except ValidationError:
            raise ApiError(
                f"{self.url} answered {response.status_code} {response.reason_phrase} without an "
                "explanation; is this the address of an opjudge server?",
                status=response.status_code,
            ) from None
        raise ApiError(document.detail, status=response.status_code, code=document.code)

    def _model(self, model: type[ModelT], response: httpx2.Response) -> ModelT:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise self._strange(response) from error

    def _several(
        self, adapter: TypeAdapter[tuple[ModelT, ...]], response: httpx2.Response
    ) -> tuple[ModelT, ...]:
        try:
            return adapter.validate_json(response.content)
        except ValidationError as error:
            raise self._strange(response) from error

    def _strange(self, response: httpx2.Response) -> ApiError:
        return ApiError(
            f"{response.request.url} gave an answer this version of opjudge does not understand; "
            "are client and server of the same version?",
            status=response.status_code,
            code="unexpected-answer",
        )

    def _unreachable(self, error: Exception) -> ApiError:
        return ApiError(
            f"no answer from {self.url} ({error or type(error).__name__}): is the server running? "
            "Start one with `opjudge up`, or name another with --url or OPJUDGE_URL",
            status=0,
            code="unreachable",
        )

    def _events(self, model: type[ModelT], path: str) -> Iterator[ModelT]:
        """Server-sent events, connecting again when the stream breaks off.

        The server opens every stream with the present state, so nothing is missed by that.
        """
        failures = 0
        while True:
            try:
                for event in self._stream(path):
                    failures = 0
                    yield model.model_validate_json(event.data)
                broken: Exception = httpx2.RemoteProtocolError("the stream ended")
            except httpx2.TransportError as error:
                broken = error
            except ValidationError as error:
                raise ApiError(
                    f"{self.url} sent an event this version of opjudge does not understand; "
                    "are client and server of the same version?",
                    status=200,
                    code="unexpected-answer",
                ) from error
            failures += 1
            # More patient than single calls: a server being restarted is gone for some seconds.
            if failures > 2 * self._retry.attempts:
                raise self._unreachable(broken)
            self._sleep(self._retry.wait_s(failures))

    def _stream(self, path: str) -> Iterator[httpx2.ServerSentEvent]:
        headers = {"Accept": "text/event-stream"}
        # The server sends a comment every few seconds; a minute of silence is a dead connection.
        timeout = httpx2.Timeout(10.0, read=60.0)
        with self._http.stream("GET", API + path, headers=headers, timeout=timeout) as response:
            if response.status_code in _TRANSIENT:
                raise httpx2.RemoteProtocolError(f"the server answered {response.status_code}")
            if not response.is_success:
                response.read()
                self._checked(response)
            yield from httpx2.EventSource(response)


_PROBLEMS = TypeAdapter(tuple[ProblemSummary, ...])
_FILES = TypeAdapter(tuple[SourceFile, ...])
