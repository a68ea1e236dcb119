"""Judge one submission: build, run the stream of calls beside the baseline, score.

    build -> load -> one randomised stream of verified, paired calls -> score

Nothing here knows of databases, queues or HTTP: the worker, `opjudge test` and
`opjudge problem verify` all call `judge`.
"""

import hashlib
import platform
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from judge import scoring
from judge.arena import Given
from judge.building import BUILD_LIMITS, Built, build
from judge.certified import floors_of
from judge.cores import scheduling_restored, share_out
from judge.effort import USUAL, Effort
from judge.errors import InfrastructureError
from judge.measuring import Pairing, load_baseline, measure
from judge.oracle import Reference
from judge.package import Package
from judge.party import ARENA_BYTES, Library, Party
from judge.signature import arity
from judge.source import Source, parse_upload
from judge.verdict import Language, Mode, Status, Verdict
from judge.wire import Environment, Floors, Interval, JudgementResult, Progress
from sandbox.base import Sandbox, SandboxError
from sandbox.limits import Limits

if find_spec("torch") is None:
    # Only sandboxes import it; that they could not must be told at once.
    raise ModuleNotFoundError("No module named 'torch'", name="torch")

INTERPRETER_BYTES = 768 << 20
"""Granted on top of a problem's memory limit for the interpreter and its libraries."""

BASELINE_LIMITS = Limits(wall_s=3600, cpu_s=3600, memory_bytes=8 << 30)

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class JudgingOptions:
    """How much to measure, and who measures.

    Attributes:
        effort: per mode.
        worker: a name for the record.
        seed: 32 secret bytes all inputs come from; drawn anew for every judging if not given.
        floors: of the problem's certificate; those that lie with the package if not given.
    """

    effort: Mapping[Mode, Effort] = field(default_factory=lambda: USUAL)
    worker: str = "local"
    device: str = "cpu"
    seed: bytes | None = None
    floors: Floors | None = None


def judge(
    package: Package,
    source: Source,
    mode: Mode,
    sandbox: Sandbox,
    *,
    report: Report = lambda _progress: None,
    options: JudgingOptions | None = None,
) -> JudgementResult:
    """Judge a submission.

    Args:
        report: called with the progress; whatever it raises ends the judging and passes through.

    Raises:
        ProblemError: the problem's reference cannot be imported.
        InfrastructureError: our side failed; the submission is not to blame.
    """
    judging = _Judging(package, source, mode, sandbox, report, options or JudgingOptions())
    try:
        with scheduling_restored():
            return judging.run()
    except SandboxError as error:
        raise InfrastructureError(f"the sandbox failed: {error}") from error
    finally:
        judging.close()


class _Judging:
    """The state of one judging. A class because its steps share a dozen facts."""

    def __init__(
        self,
        package: Package,
        source: Source,
        mode: Mode,
        sandbox: Sandbox,
        report: Report,
        options: JudgingOptions,
    ) -> None:
        self._package, self._problem, self._source = package, package.problem, source
        self._mode, self._sandbox, self._report, self._options = mode, sandbox, report, options
        self._started = time.perf_counter()
        self._seed = options.seed or secrets.token_bytes(32)
        self._parties: list[Party] = []
        self._beside = ThreadPoolExecutor(1)
        self._closing = False
        self._given = Given(ARENA_BYTES)
        self._result = JudgementResult(
            verdict=Verdict.JE,
            package_hash=package.hash,
            seed=self._seed.hex(),
            environment=Environment(
                device=options.device,
                device_name=cpu_name(),
                worker=options.worker,
                sandbox=sandbox.describe(),
                versions=versions(),
            ),
        )

    def run(self) -> JudgementResult:
        self._report(Progress(status=Status.BUILDING))
        text = self._package.baseline_source()
        fast = parse_upload("baseline.py", text.encode(), limit_bytes=1 << 20)
        # A compiler needs the cores, and seconds.
        soon = self._source.language is Language.PYTHON
        starting = self._beside.submit(self._start, fast) if soon else None
        built = self._build()
        if not built.ok:
            return self._finish(Verdict.CE, "")
        candidate, baseline, reference = starting.result() if starting else self._start(fast)
        floors = self._options.floors
        pairing = Pairing(
            self._package,
            self._mode,
            self._seed,
            self._given,
            candidate,
            self._source,
            built.artifact,
            baseline,
            reference,
            floors_of(self._package) if floors is None else floors,
        )
        measured = measure(pairing, self._options.effort[self._mode], self._report)
        self._update(
            runs=measured.runs,
            overhead=measured.overhead,
            kernel_s=measured.kernel_s,
            verify_s=measured.verify_s,
            prepare_s=measured.prepare_s,
            cpu=measured.cpu,
            stdout=measured.stdout,
        )
        return self._finish(measured.verdict, measured.message)

    def close(self) -> None:
        """Destroy every sandbox."""
        self._closing = True
        # Whoever starts them has them to itself until then.
        self._beside.shutdown()
        for party in self._parties:
            party.kill()
        for party in self._parties:
            party.end()
        self._given.close()

    def _limits(self) -> Limits:
        memory = (self._problem.limits.memory_mib << 20) + INTERPRETER_BYTES
        return replace(BASELINE_LIMITS, memory_bytes=memory)

    def _start(self, fast: Source) -> tuple[Party, Party, Reference]:
        """Have all sandboxes ready, with baseline and reference loaded: all that is not timed."""
        candidate = self._party(library_of(self._source), self._limits(), self._given)
        baseline = self._party(library_of(fast), BASELINE_LIMITS, self._given)
        reference = Reference(self._party("torch", BASELINE_LIMITS), self._package)
        steps: list[Callable[[], object]] = [party.start for party in self._parties]
        steps += [partial(self._ready, party) for party in self._parties]
        steps += [partial(load_baseline, baseline, fast, self._problem), reference.load]
        for step in steps:
            if self._closing:
                break
            step()
        return candidate, baseline, reference

    def _party(self, library: Library, limits: Limits, given: Given | None = None) -> Party:
        threads = len(share_out().party)
        party = Party(self._sandbox, limits, library, threads, given=given)
        self._parties.append(party)
        return party

    def _build(self) -> Built:
        problem = self._problem
        built = build(
            self._sandbox.builder,
            self._source.language,
            {f.path: f.content for f in self._source.files},
            arity(problem.operator, self._source.language),
            replace(BUILD_LIMITS, wall_s=problem.limits.build_limit_s),
        )
        self._update(
            build_s=built.wall_s,
            log=built.log,
            artifact_hash=hashlib.sha256(built.artifact).hexdigest() if built.ok else "",
        )
        return built

    def _ready(self, party: Party) -> None:
        reply = party.ready()
        if reply.failure is not None:
            raise InfrastructureError(f"a sandbox did not start: {reply.message}")

    def _finish(self, verdict: Verdict, message: str) -> JudgementResult:
        score: Interval | None = None
        if verdict is Verdict.AC and self._result.overhead is not None:
            score = scoring.score(
                self._result.runs, self._result.overhead.low_ns, self._problem.scoring
            )
        self._update(
            verdict=verdict,
            message=message,
            score=score,
            formula=scoring.formula(self._problem.scoring) if score else None,
            elapsed_s=time.perf_counter() - self._started,
        )
        return self._result

    def _update(self, **fields: object) -> None:
        self._result = self._result.model_copy(update=fields)


def library_of(source: Source) -> Library:
    """What a harness imports ahead for this source. A warm one may have imported more."""
    if source.language is Language.CPP:
        return "none"
    return "numpy" if source.directives.get("arrays") == "numpy" else "torch"


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """The processor as the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
