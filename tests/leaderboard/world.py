"""A whole service for tests, with people and workers that speak to it over HTTP."""

import io
import re
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
from starlette.testclient import TestClient

from judge import wire
from judge.package import Package
from judge.verdict import Verdict
from leaderboard.services import Services

API = "/api/v1"
PASSWORD = "correct horse"
SOURCE = b"def solve(x, y, eps):\n    y[:] = x\n"
PROBLEM = "row_scale"


@dataclass
class Clock:
    """A present that moves only when told."""

    now: datetime = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        with self._lock:
            self.now += timedelta(seconds=seconds)
        return self.now


@dataclass(frozen=True)
class Person:
    """Somebody with a token."""

    name: str
    headers: Mapping[str, str]


@dataclass
class World:
    """A running service, seen from outside."""

    client: TestClient
    clock: Clock
    worker_headers: Mapping[str, str]
    submitted: int = 0

    @property
    def services(self) -> Services:
        services: Services = self.client.app.state.services  # type: ignore[attr-defined]
        return services

    @property
    def package(self) -> Package:
        return self.services.catalog.package(PROBLEM)

    # --- people ---------------------------------------------------------------------------

    def person(self, name: str) -> Person:
        """Register and log in."""
        credentials = {"name": name, "password": PASSWORD}
        created = self.client.post(f"{API}/users", json=credentials)
        assert created.status_code == 201, created.text
        token = self.client.post(f"{API}/tokens", json=credentials)
        assert token.status_code == 201, token.text
        return Person(name, {"Authorization": f"Bearer {token.json()['token']}"})

    def post_submission(
        self,
        person: Person | None,
        content: bytes = SOURCE,
        filename: str = "solution.py",
        **fields: str | None,
    ) -> httpx2.Response:
        """POST /submissions, whatever comes of it. A field that is None is left out."""
        usual = {"problem": PROBLEM, "device": "cpu", "mode": "ranked"}
        data = {k: v for k, v in {**usual, **fields}.items() if v is not None}
        return self.client.post(
            f"{API}/submissions",
            headers=person.headers if person else {},
            data=data,
            files={"file": (filename, content)},
        )

    def submit(self, person: Person, content: bytes | None = None, **fields: str) -> UUID:
        """Hand in something new; with no content, something never handed in before."""
        self.submitted += 1
        content = content or SOURCE + b"# %d\n" % self.submitted
        response = self.post_submission(person, content, **fields)
        assert response.status_code == 201, response.text
        return UUID(response.json()["id"])

    def get(self, path: str, person: Person | None = None, **query: Any) -> httpx2.Response:
        headers = person.headers if person else {}
        return self.client.get(f"{API}{path}", headers=headers, params=query)

    def detail(self, submission: UUID, person: Person | None = None) -> wire.SubmissionDetail:
        response = self.get(f"/submissions/{submission}", person)
        assert response.status_code == 200, response.text
        return wire.SubmissionDetail.model_validate_json(response.content)

    def cancel(self, submission: UUID, person: Person) -> httpx2.Response:
        return self.client.post(f"{API}/submissions/{submission}/cancel", headers=person.headers)

    def board(self) -> wire.Standings:
        response = self.get(f"/standings/{PROBLEM}/cpu")
        assert response.status_code == 200, response.text
        return wire.Standings.model_validate_json(response.content)

    # --- workers --------------------------------------------------------------------------

    def post_claim(self, worker: str = "w1", device: str = "cpu") -> httpx2.Response:
        body = {"worker": worker, "device": device}
        return self.client.post(f"{API}/worker/claims", headers=self.worker_headers, json=body)

    def claim(self, worker: str = "w1") -> wire.Claim:
        """The next judgement; there must be one."""
        response = self.post_claim(worker)
        assert response.status_code == 200, response.text
        return wire.Claim.model_validate_json(response.content)

    def report(
        self, claim: wire.Claim, what: str, body: Any = None, *, token: str | None = None
    ) -> httpx2.Response:
        """POST heartbeat, progress, result or release for a claim."""
        headers = {**self.worker_headers, "Lease-Token": token or claim.lease_token}
        path = f"{API}/worker/judgements/{claim.judgement_id}/{what}"
        if isinstance(body, wire.Wire):
            body = body.model_dump(mode="json")
        return self.client.post(path, headers=headers, json=body)

    def finish(self, claim: wire.Claim, **changes: Any) -> httpx2.Response:
        """Hand in a result for a claim."""
        fields = {"seed": claim.seed, **changes}
        return self.report(claim, "result", make_result(claim.package_hash, **fields))

    def judge(self, person: Person, score: float, spread: float = 0.001, **changes: Any) -> UUID:
        """Hand in something new and judge it at once."""
        submission = self.submit(person)
        claim = self.claim()
        assert claim.submission_id == submission
        interval = wire.Interval(value=score, low=score - spread, high=score + spread)
        changes = {"score": interval, "artifact_hash": submission.hex, **changes}
        assert self.finish(claim, **changes).status_code == 200
        return submission


def make_result(package_hash: str, **changes: Any) -> wire.JudgementResult:
    """A plausible accepted result, changed as told."""
    verdict = changes.get("verdict", Verdict.AC)
    accepted = verdict is Verdict.AC
    fields: dict[str, Any] = {
        "verdict": verdict,
        "log": "the log",
        "stdout": "printed",
        "runs": make_runs(),
        "score": wire.Interval(value=2.0, low=1.9, high=2.1) if accepted else None,
        "package_hash": package_hash,
        "artifact_hash": "abc123",
        "elapsed_s": 1.5,
        "environment": wire.Environment(
            device="cpu", device_name="a cpu", worker="w1", sandbox={}, versions={}
        ),
    }
    return wire.JudgementResult(**{**fields, **changes})


def make_runs() -> tuple[wire.Run, ...]:
    """One sample workload, one timed one, and one that is hidden and wrong in a telling way."""
    times = {"candidate_samples_ns": (10, 11), "baseline_samples_ns": (20, 21)}
    speedup = wire.Interval(value=2.0, low=1.9, high=2.1)
    return (
        wire.Run(workload="tiny", dims={"rows": 2, "cols": 3}, sample=True, verdict=Verdict.AC),
        wire.Run(
            workload="large",
            dims={"rows": 512, "cols": 1024},
            timed=True,
            verdict=Verdict.AC,
            latency_ns=1e6,
            baseline_ns=2e6,
            speedup=speedup,
            gflops=1.5,
            message="fast",
            margins={"y:element": 0.375},
            error=wire.ErrorReport(gate="element", index=(1, 2), expected=1.0, max_error=0.5),
            **times,
        ),
        wire.Run(
            workload="secret",
            dims={"rows": 509, "cols": 1021},
            attributes={"eps": 0.125},
            hidden=True,
            timed=True,
            verdict=Verdict.AC,
            latency_ns=4e6,
            baseline_ns=8e6,
            speedup=speedup,
            gflops=2.5,
            gbps=3.5,
            message="509 rows",
            margins={"y:element": 0.375},
            error=wire.ErrorReport(gate="element", index=(508, 2), expected=1.0, max_error=0.5),
            **times,
        ),
    )


def without_hashes(text: str) -> str:
    """Without what looks like SHA-256: any three digits may be in one."""
    return re.sub(r"[0-9a-f]{64}", "", text)


def zip_of(files: Mapping[str, bytes], *, compressed: bool = True) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def problem_of(response: httpx2.Response) -> wire.ProblemDocument:
    """The problem document of an error; fails if it is not a proper one."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document = wire.ProblemDocument.model_validate_json(response.content)
    assert document.status == response.status_code
    return document


def assert_problem(response: httpx2.Response, status: int, code: str) -> wire.ProblemDocument:
    """The answer must be exactly this error."""
    document = problem_of(response)
    assert (response.status_code, document.code) == (status, code), response.text
    assert document.detail
    assert "Traceback" not in document.detail
    return document
