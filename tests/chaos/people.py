"""Those who hand in: over HTTP, again and again until they are told that it has arrived."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx2

from tests.fixtures import write_package

API = "/api/v1"
PROBLEM = "row_scale"
_TIMEOUT_S = 10.0
_PATIENCE_S = 120.0


def write_problems(folder: Path) -> Path:
    write_package(folder / PROBLEM)
    return folder


@dataclass(frozen=True)
class Piece:
    """A submission, and how its judging shall go."""

    id: UUID
    seconds: float
    ends: str
    score: float

    @property
    def content(self) -> bytes:
        told = {"seconds": self.seconds, "ends": self.ends, "score": self.score}
        return f"# {json.dumps(told)}\ndef solve(x, y, eps):  # {self.id}\n    y[:] = x\n".encode()


def make_piece(seconds: float = 0.05, ends: str = "AC", score: float = 2.0) -> Piece:
    return Piece(uuid4(), seconds, ends, score)


class Person:
    """Somebody with a token, who asks any of the servers."""

    def __init__(self, name: str, urls: list[str]) -> None:
        self._urls, self._turn = urls, 0
        credentials = {"name": name, "password": "correct horse"}
        self._insist("POST", "/users", {200, 201, 409}, json=credentials)
        token = self._insist("POST", "/tokens", {201}, json=credentials).json()["token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def submit(self, piece: Piece) -> None:
        """Hand in; returns when a server has said that it has it."""
        fields = {"id": str(piece.id), "problem": PROBLEM, "device": "cpu", "mode": "ranked"}
        files = {"file": ("solution.py", piece.content)}
        self._insist(
            "POST", "/submissions", {200, 201}, data=fields, files=files, headers=self._headers
        )

    def cancel(self, piece: Piece) -> None:
        """Take back, if it is not too late."""
        path = f"/submissions/{piece.id}/cancel"
        self._insist("POST", path, {200, 409}, headers=self._headers)

    def status(self, piece: Piece) -> tuple[str, str | None]:
        """Status and verdict."""
        detail = self._insist("GET", f"/submissions/{piece.id}", {200}).json()
        return detail["status"], detail["verdict"]

    def _insist(
        self, method: str, path: str, welcome: set[int], **request: object
    ) -> httpx2.Response:
        """Ask one server after the other until one gives an answer of these."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            self._turn += 1
            url = self._urls[self._turn % len(self._urls)]
            answer = "no answer"
            try:
                response = httpx2.request(
                    method,
                    url + API + path,
                    timeout=_TIMEOUT_S,
                    **request,  # type: ignore[arg-type]
                )
                if response.status_code in welcome:
                    return response
                answer = f"{response.status_code} {response.text[:200]}"
            except httpx2.TransportError as error:
                answer = str(error)
            assert time.monotonic() < deadline, f"{method} {path}: {answer}"
            time.sleep(0.1)
