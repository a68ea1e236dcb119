"""A service whose answers are written down beforehand, without a network and with one."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
from pydantic import BaseModel

from judge.client import API, Client
from judge.retry import Retry
from judge.wire import ProblemDocument


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def say(*models: BaseModel, status: int = 200) -> Reply:
    """One model, or several as a list, as JSON."""
    if len(models) == 1:
        return Reply(status, models[0].model_dump_json().encode())
    return Reply(status, b"[" + b",".join(m.model_dump_json().encode() for m in models) + b"]")


def refuse(status: int, code: str, detail: str = "no") -> Reply:
    """A problem document."""
    return say(ProblemDocument(title="t", status=status, detail=detail, code=code), status=status)


def stream(*events: BaseModel) -> Reply:
    """Server-sent events, after which the stream breaks off."""
    text = "".join(f"event: status\ndata: {e.model_dump_json()}\n\n" for e in events)
    return Reply(200, f": ping\n\n{text}".encode(), "text/event-stream")


Answer = Reply | Exception | Callable[[Seen], Reply]


@dataclass
class StubApi:
    """Answers by method and path below /api/v1; several answers are given one after the other.

    The last answer stays. What was not written down is a 599, so that a test notices.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def on(self, route: str, *answers: Answer) -> None:
        """E.g. ``on("GET /problems", say(...))``."""
        self.answers[route] = list(answers)

    def answer(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        planned = self.answers.get(f"{seen.method} {seen.path}")
        if not planned:
            return Reply(599, b"not written down")
        chosen = planned.pop(0) if len(planned) > 1 else planned[0]
        if isinstance(chosen, Exception):
            raise chosen
        return chosen(seen) if callable(chosen) else chosen

    def requests(self, route: str) -> list[Seen]:
        return [s for s in self.seen if f"{s.method} {s.path}" == route]

    def client(self, token: str | None = "secret", retry: Retry | None = None) -> Client:
        """A client wired to this stub without a network; its waits cost no time."""
        return Client(
            "http://stub",
            token,
            transport=httpx2.MockTransport(self._handle),
            retry=retry,
            sleep=lambda _seconds: None,
        )

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        reply = self.answer(
            Seen(
                request.method,
                request.url.path.removeprefix(API),
                request.url.query.decode(),
                dict(request.headers),
                request.read(),
            )
        )
        headers = {"Content-Type": reply.content_type}
        return httpx2.Response(reply.status, headers=headers, content=reply.body)


@contextmanager
def serving(api: StubApi) -> Iterator[str]:
    """The stub on a real port; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            path, _, query = self.path.partition("?")
            size = int(self.headers.get("Content-Length") or 0)
            reply = api.answer(
                Seen(
                    self.command,
                    path.removeprefix(API),
                    query,
                    {k.lower(): v for k, v in self.headers.items()},
                    self.rfile.read(size),
                )
            )
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_DELETE = do

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
