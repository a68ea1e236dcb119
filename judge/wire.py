"""What crosses a boundary: between worker, service and command line, always as JSON.

Times are integers of nanoseconds (`_ns`) or float seconds (`_s`). Bytes travel as base64.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from judge.measured import WIRE as WIRE
from judge.measured import Bandwidth as Bandwidth
from judge.measured import CpuUse as CpuUse
from judge.measured import Drift as Drift
from judge.measured import Environment as Environment
from judge.measured import Formula as Formula
from judge.measured import FromNewer as FromNewer
from judge.measured import Overhead as Overhead
from judge.measured import Peaks as Peaks
from judge.measured import Wire as Wire
from judge.stopped import Certificate as Certificate
from judge.stopped import CertificateView as CertificateView
from judge.stopped import Floor as Floor
from judge.stopped import Floors as Floors
from judge.stopped import Trial as Trial
from judge.verdict import Language, Mode, Status, Verdict

PICTURE_BYTES = 1 << 16
"""The most an error picture may have; they have a quarter of it."""

# --- results ------------------------------------------------------------------------------


class Interval(Wire):
    """A ratio with its bootstrap interval at the stated confidence (0.95)."""

    value: float
    low: float
    high: float


class ErrorReport(Wire):
    """Where and how an output is wrong. For hidden workloads only gate and magnitude are set.

    Attributes:
        gate: pattern, element, ratio, share, limit, mean, distribution, independence, structure,
            residual, orthogonality, check, inputs, guards, late-write.
        max_error: largest |y - y*| over the tolerance it had to keep (1.0 is just allowed).
        share_wrong: share of elements beyond their tolerance, 0..1.
        picture: PNG of the worst error of each tile (`judge.picture`); of sample workloads only.
        tile: rows and columns of the output that a tile of it stands for.
    """

    gate: str
    output: str | None = None
    index: tuple[int, ...] | None = None
    expected: float | None = None
    got: float | None = None
    max_error: float | None = None
    share_wrong: float | None = None
    picture: Annotated[bytes, Field(max_length=PICTURE_BYTES)] | None = None
    tile: tuple[int, int] | None = None


class Run(Wire):
    """One workload of a judgement.

    Attributes:
        latency_ns, baseline_ns: low mean over the rounds, overhead subtracted.
        control: speed-up of the baseline over itself, from its own interleaved halves: 1, but for
            the noise; None where there were too few rounds.
        roofline: the least time the device's peaks allow over `latency_ns`; None if not known.
        margins: output and gate to the largest error over what is allowed there, of right outputs
            of which the whole truth was asked; none where the certificate made that needless.
        candidate_samples_ns, baseline_samples_ns: raw, paired by position, overhead included.
        starts: positions at which either side had a new process.
    """

    workload: str
    dims: dict[str, int]
    attributes: dict[str, int | float] = Field(default_factory=dict)
    sample: bool = False
    hidden: bool = False
    timed: bool = False
    weight: float = 1.0
    cache: Literal["hot", "cold"] = "hot"
    verdict: Verdict | None = None
    message: str = ""
    error: ErrorReport | None = None
    calls: int = 0
    latency_ns: float | None = None
    baseline_ns: float | None = None
    speedup: Interval | None = None
    control: Interval | None = None
    gflops: float | None = None
    gbps: float | None = None
    roofline: float | None = None
    margins: dict[str, float] = Field(default_factory=dict)
    starts: tuple[int, ...] = ()
    candidate_samples_ns: tuple[int, ...] = ()
    baseline_samples_ns: tuple[int, ...] = ()


class JudgementResult(Wire):
    """The outcome of one judging, complete enough to recompute the score from.

    Attributes:
        score: weighted geometric mean of clamped speed-ups; only for an AC, and not in quarantine.
        roofline: weighted geometric mean of the visible timed workloads' shares of the roofline.
        quarantine: workloads whose time is below what the device can do, or all timed ones of a
            program that did more than its clock has seen; never ranked.
        cpu: what the kernel counted of the candidate; None where it does not.
        drift: baselines that were not as fast as usual.
        formula: how the score was made; None where nothing was timed.
        kernel_s: seconds candidate and baseline themselves ran.
        verify_s: seconds it took to verify the calls of timed workloads.
        seed: the secret the inputs came from, hex; empty where it is still one (`judge.record`).
    """

    verdict: Verdict
    message: str = ""
    log: str = ""
    stdout: str = ""
    runs: tuple[Run, ...] = ()
    score: Interval | None = None
    roofline: float | None = None
    quarantine: tuple[str, ...] = ()
    cpu: CpuUse | None = None
    drift: tuple[Drift, ...] = ()
    formula: Formula | None = None
    overhead: Overhead | None = None
    prepare_s: float | None = None
    build_s: float = 0.0
    elapsed_s: float = 0.0
    kernel_s: float = 0.0
    verify_s: float = 0.0
    package_hash: str
    artifact_hash: str = ""
    seed: str = ""
    environment: Environment


class Progress(Wire):
    """Where a judging is now; streamed while it lasts."""

    status: Status
    workload: str | None = None
    done: int = 0
    total: int = 0
    message: str = ""


# --- worker and service -------------------------------------------------------------------


class SourceFile(Wire):
    """One file of a submission; `path` is relative, with forward slashes."""

    path: str
    content: bytes


class ClaimRequest(Wire):
    """A worker asking for a judgement."""

    worker: str
    device: str


class Claim(FromNewer):
    """A judgement handed to a worker, fenced by `lease_token`.

    Attributes:
        seed: what all inputs must come from, hex; the service is committed to it.
        floors: those of the problem's certificate, which no worker is sent.
    """

    judgement_id: UUID
    submission_id: UUID
    attempt: int
    lease_token: str
    lease_s: float
    problem: str
    package_hash: str
    device: str
    mode: Mode
    language: Language
    seed: str = ""
    floors: dict[str, dict[str, Floor]] = Field(default_factory=dict)
    files: tuple[SourceFile, ...]


class Heartbeat(FromNewer):
    """Extends a lease; answered with the seconds granted."""

    lease_s: float


# --- service and people -------------------------------------------------------------------


class ProblemDocument(Wire):
    """RFC 9457 problem details, our shape of every 4xx and 5xx."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str


class Credentials(Wire):
    """Name and password, to register or to get a token."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{1,31}$")]
    password: Annotated[str, Field(min_length=8, max_length=256)]


class TokenRequest(Credentials):
    """Ask for a bearer token."""

    label: Annotated[str, Field(max_length=64)] = "cli"
    expires_in_s: Annotated[int, Field(ge=60, le=366 * 86400)] = 90 * 86400


class User(Wire):
    """A person as others see them."""

    name: str
    created_at: datetime


class Token(Wire):
    """A bearer token; `token` is shown once."""

    token: str
    user: str
    scopes: tuple[str, ...]
    expires_at: datetime


class Starter(Wire):
    """A first file to begin from."""

    language: Language
    filename: str
    content: str


class ProblemSummary(Wire):
    """A line of the problem list."""

    slug: str
    name: dict[str, str]
    version: str
    package_hash: str
    devices: tuple[str, ...]
    keywords: tuple[str, ...]


class WorkloadView(Wire):
    """A workload as contestants may see it (hidden ones are only counted)."""

    name: str
    dims: dict[str, int]
    attributes: dict[str, int | float]
    sample: bool
    timed: bool
    weight: float
    cache: Literal["hot", "cold"] = "hot"


class ProblemDetail(ProblemSummary):
    """A problem page's content."""

    statement: dict[str, str]
    signature: dict[str, str]
    starters: tuple[Starter, ...]
    reference: str
    baseline: str
    workloads: tuple[WorkloadView, ...]
    hidden_workloads: int
    limits: dict[str, float]
    tolerance: dict[str, float | str]
    certificate: CertificateView | None = None
    compile_command: str


class SubmissionSummary(Wire):
    """A line of a submission list."""

    id: UUID
    user: str
    problem: str
    device: str
    mode: Mode
    language: Language
    filename: str
    status: Status
    verdict: Verdict | None
    score: Interval | None
    submitted_at: datetime
    judged_at: datetime | None


class SubmissionDetail(SubmissionSummary):
    """A submission with its current judgement.

    Attributes:
        queue_position: submissions ahead of it (0 = next), None once a worker has it.
        since: when it entered its present status.
        commitment: SHA-256 of the seed of the inputs, from the moment a worker has it.
        result: raw samples left out for other people's submissions; None until judged.
    """

    queue_position: int | None
    since: datetime
    attempt: int
    commitment: str | None = None
    progress: Progress | None
    result: JudgementResult | None
    url: str


class Page(Wire):
    """A slice of a list, newest first; pass `next` as `before` for the following one."""

    items: tuple[SubmissionSummary, ...]
    next: str | None


class StandingsEntry(Wire):
    """One row of a board. `rank` is None for the baseline row.

    Attributes:
        latency_ns: weighted geometric mean over the timed workloads.
        pooled: judgings of one artifact that score and latency are the geometric means of; the
            submission is the first of them.
    """

    rank: int | None
    name: str
    kind: Literal["user", "baseline"]
    submission_id: UUID | None
    language: Language | None
    score: Interval
    latency_ns: float | None
    attempts: int
    pooled: int = 1
    submitted_at: datetime | None


class Standings(Wire):
    """A page of the board of a problem on a device class, from the top unless asked otherwise.

    Attributes:
        revision: grows whenever anything on the board changes.
        solvers: people on the whole board.
        next: what to ask for to get the following page, None on the last one.
    """

    problem: str
    device: str
    score_unit: str
    updated_at: datetime | None
    revision: int = 0
    solvers: int = 0
    entries: tuple[StandingsEntry, ...]
    next: str | None = None


class BoardChanged(Wire):
    """The news that a board is now at a revision; what is on it has to be fetched.

    Attributes:
        spread_ms: fetch at a random moment within that, so that not all who watch come at once.
    """

    revision: int
    spread_ms: int = 0
