"""Wire objects as the service would send them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from judge.verdict import Language, Mode, Status, Verdict
from judge.wire import (
    Claim,
    Environment,
    ErrorReport,
    Interval,
    JudgementResult,
    Page,
    ProblemDetail,
    ProblemSummary,
    Progress,
    Run,
    SourceFile,
    Standings,
    StandingsEntry,
    Starter,
    SubmissionDetail,
    SubmissionSummary,
    Token,
    User,
    WorkloadView,
)

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
SUBMISSION_ID = UUID("11111111-1111-4111-8111-111111111111")
JUDGEMENT_ID = UUID("22222222-2222-4222-8222-222222222222")

ADA = User(name="ada", created_at=NOW)
TOKEN = Token(token="t0ken", user="ada", scopes=("submit",), expires_at=NOW)
SCORE = Interval(value=1.25, low=1.2, high=1.3)

SUMMARY = ProblemSummary(
    slug="row_scale",
    name={"en": "Row scale"},
    version="1.0.0",
    package_hash="ab" * 32,
    devices=("cpu",),
    keywords=("easy",),
)
PROBLEM = ProblemDetail(
    **SUMMARY.model_dump(),
    statement={"en": "# Row scale\n\nMultiply.", "zh": "# 行缩放"},
    signature={"python": "def solve(x, y, eps):"},
    starters=(Starter(language=Language.PYTHON, filename="solution.py", content="# begin\n"),),
    reference="def reference(x, eps): ...",
    baseline="",
    workloads=(
        WorkloadView(
            name="tiny", dims={"rows": 2}, attributes={}, sample=True, timed=False, weight=1.0
        ),
    ),
    hidden_workloads=1,
    limits={"time_limit_s": 2.0},
    tolerance={"kind": "oracle"},
    compile_command="g++",
)


def make_run(**changes: Any) -> Run:
    fields: dict[str, Any] = {
        "workload": "large",
        "dims": {"rows": 512},
        "timed": True,
        "verdict": Verdict.AC,
        "latency_ns": 1.5e6,
        "baseline_ns": 2.25e6,
        "speedup": Interval(value=1.5, low=1.4, high=1.6),
        "gflops": 12.5,
        "gbps": 30.25,
    }
    return Run(**{**fields, **changes})


WRONG_RUN = make_run(
    workload="tiny",
    timed=False,
    verdict=Verdict.WA,
    message="2 of 6 elements are wrong",
    error=ErrorReport(
        gate="element",
        output="y",
        index=(0, 2),
        expected=0.5,
        got=0.25,
        max_error=812.0,
        share_wrong=0.031,
    ),
    latency_ns=None,
    baseline_ns=None,
    speedup=None,
    gflops=None,
    gbps=None,
)


def make_result(verdict: Verdict = Verdict.AC, **changes: Any) -> JudgementResult:
    fields: dict[str, Any] = {
        "verdict": verdict,
        "package_hash": "ab" * 32,
        "elapsed_s": 1.0,
        "environment": Environment(
            device="cpu", device_name="test", worker="w", sandbox={}, versions={}
        ),
    }
    if verdict is Verdict.AC:
        fields |= {"runs": (make_run(),), "score": SCORE}
    return JudgementResult(**{**fields, **changes})


def make_detail(
    status: Status = Status.QUEUED, verdict: Verdict | None = None, **changes: Any
) -> SubmissionDetail:
    fields: dict[str, Any] = {
        "id": SUBMISSION_ID,
        "user": "ada",
        "problem": "row_scale",
        "device": "cpu",
        "mode": Mode.RANKED,
        "language": Language.PYTHON,
        "filename": "s.py",
        "status": status,
        "verdict": verdict,
        "score": SCORE if verdict is Verdict.AC else None,
        "submitted_at": NOW,
        "judged_at": NOW if verdict else None,
        "queue_position": 2 if status is Status.QUEUED else None,
        "since": NOW,
        "attempt": 1,
        "progress": None,
        "result": make_result(verdict) if verdict else None,
        "url": "http://stub/submissions/1",
    }
    return SubmissionDetail(**{**fields, **changes})


def make_timing(done: int) -> SubmissionDetail:
    """In the middle of timing."""
    progress = Progress(status=Status.TIMING, workload="large", done=done, total=30)
    return make_detail(Status.TIMING, progress=progress)


JUDGED = make_detail(Status.JUDGED, Verdict.AC)
PAGE = Page(items=(SubmissionSummary(**{
    name: getattr(JUDGED, name) for name in SubmissionSummary.model_fields
}),), next="7")  # fmt: skip
BOARD = Standings(
    problem="row_scale",
    device="cpu",
    score_unit="speed-up",
    updated_at=NOW,
    entries=(
        StandingsEntry(
            rank=None,
            name="baseline",
            kind="baseline",
            submission_id=None,
            language=None,
            score=Interval(value=1, low=1, high=1),
            latency_ns=2.25e6,
            attempts=0,
            submitted_at=None,
        ),
        StandingsEntry(
            rank=1,
            name="ada",
            kind="user",
            submission_id=SUBMISSION_ID,
            language=Language.CPP,
            score=SCORE,
            latency_ns=1.5e6,
            attempts=3,
            submitted_at=NOW,
        ),
    ),
)


def make_claim(**changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "judgement_id": JUDGEMENT_ID,
        "submission_id": SUBMISSION_ID,
        "attempt": 1,
        "lease_token": "lease",
        "lease_s": 30.0,
        "problem": "row_scale",
        "package_hash": "ab" * 32,
        "device": "cpu",
        "mode": Mode.TEST,
        "language": Language.PYTHON,
        "files": (SourceFile(path="s.py", content=b"def solve(x, y, eps): ...\n"),),
    }
    return Claim(**{**fields, **changes})
