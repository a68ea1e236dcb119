"""Judge one submission: build, run the stream of calls beside the baseline, score.

    build -> load -> one randomised stream of verified, paired calls -> score

Nothing here knows of databases, queues or HTTP: the worker, `opjudge test` and
`opjudge problem verify` all call `judge`.
"""

import hashlib
import os
import platform
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from judge import scoring, timing, tracks
from judge.building import BUILD_LIMITS, PYTHON_ENTRY, Built, build, canonical_zip
from judge.errors import BaselineFailed, InfrastructureError
from judge.expression import evaluate
from judge.inputs import InputSource, generator
from judge.oracle import Oracle, load_reference
from judge.package import Package
from judge.party import Library, Party, Reply, favour, scheduling_restored, split_cores
from judge.problem import Problem, Workload
from judge.session import Effort, Failed, Session
from judge.signature import arity
from judge.source import Source, parse_upload
from judge.tracks import Track
from judge.verdict import Language, Mode, Status, Verdict
from judge.wire import (
    Environment,
    ErrorReport,
    Interval,
    JudgementResult,
    Overhead,
    Progress,
    Run,
)
from sandbox.base import Sandbox, SandboxError
from sandbox.limits import Limits

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
    """

    effort: Mapping[Mode, Effort] = field(
        default_factory=lambda: {
            Mode.TEST: Effort(checks=2, min_rounds=5, max_rounds=5, budget_s=2.0),
            Mode.BENCHMARK: Effort(),
            Mode.RANKED: Effort(),
        }
    )
    worker: str = "local"
    device: str = "cpu"


def selected(problem: Problem, mode: Mode) -> list[Workload]:
    """The workloads a mode covers, in declared order."""
    if mode is Mode.TEST:
        return [w for w in problem.workloads if w.sample]
    if mode is Mode.BENCHMARK:
        return [w for w in problem.workloads if not w.hidden]
    return list(problem.workloads)


def judge(
    package: Package,
    source: Source,
    mode: Mode,
    sandbox: Sandbox,
    *,
    report: Report = lambda _progress: None,
    options: JudgingOptions | None = None,
    warm: Party | None = None,
) -> JudgementResult:
    """Judge a submission.

    Args:
        report: called with the progress; whatever it raises ends the judging and passes through.
        warm: a party whose harness already has torch imported; it is used up.

    Raises:
        InfrastructureError: our side failed; the submission is not to blame.
    """
    judging = _Judging(package, source, mode, sandbox, report, options or JudgingOptions(), warm)
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
        warm: Party | None,
    ) -> None:
        self._package, self._problem, self._source = package, package.problem, source
        self._mode, self._sandbox, self._report, self._options = mode, sandbox, report, options
        self._started = time.perf_counter()
        self._seed = secrets.token_bytes(32)
        self._rng = generator(self._seed, "stream")
        self._warm = warm
        text = package.baseline or package.baseline_source()
        self._baseline = parse_upload("baseline.py", text.encode(), limit_bytes=1 << 20)
        self._parties: list[Party] = []
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
        baseline = self._party(library_of(self._baseline), BASELINE_LIMITS, self._warm)
        candidate = self._party(library_of(self._source), self._limits())
        built = self._build()
        if not built.ok:
            return self._finish(Verdict.CE, "")
        for party in (baseline, candidate):
            self._ready(party)
        try:
            self._load(baseline, candidate, built.artifact)
        except Failed as failure:
            return self._finish(failure.verdict, failure.message)
        return self._stream(baseline, candidate)

    def close(self) -> None:
        """Destroy both sandboxes."""
        for party in self._parties:
            party.end()

    def _limits(self) -> Limits:
        memory = (self._problem.limits.memory_mib << 20) + INTERPRETER_BYTES
        return replace(BASELINE_LIMITS, memory_bytes=memory)

    def _party(self, library: Library, limits: Limits, warm: Party | None = None) -> Party:
        cores = split_cores(sorted(os.sched_getaffinity(0)))[1]
        party = warm or Party(self._sandbox, limits, library, threads=len(cores))
        self._parties.append(party)
        return party

    def _build(self) -> Built:
        problem = self._problem
        built = build(
            self._sandbox,
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

    def _load(self, baseline: Party, candidate: Party, artifact: bytes) -> None:
        judge_core, party_cores = split_cores(sorted(os.sched_getaffinity(0)))
        alone = judge_core not in party_cores
        for party in (baseline, candidate):
            party.pin(party_cores, shared_with_judge=not alone)
        os.sched_setaffinity(0, {judge_core})
        favour(0)
        torch.set_num_threads(1)
        limit_s = self._problem.limits.prepare_limit_s
        content = self._baseline.files[0].content
        reply = baseline.load(
            canonical_zip({PYTHON_ENTRY: content}),
            Language.PYTHON,
            self._baseline.directives,
            10 * limit_s,
        )
        if reply.failure is not None:
            raise BaselineFailed(f"the baseline did not load: {reply.message}")
        source = self._source
        reply = candidate.load(artifact, source.language, source.directives, limit_s)
        self._raise_load(reply)

    def _raise_load(self, reply: Reply) -> None:
        if reply.failure is not None:
            raise Failed(reply.failure, f"while loading the submission: {reply.message}")

    def _tracks(self, baseline: Party, candidate: Party) -> list[Track]:
        problem, rng = self._problem, self._rng
        reference = load_reference(self._package.root / "reference.py")
        made = []
        for w in selected(problem, self._mode):
            mine = tracks.make_side(candidate, problem, w, self._source.language, rng)
            theirs = (
                tracks.make_side(baseline, problem, w, Language.PYTHON, rng) if w.timed else None
            )
            inputs = InputSource(problem, w, reference, self._seed)
            made.append(Track(w, inputs, Oracle(problem, w, reference), mine, theirs))
        return made

    def _stream(self, baseline: Party, candidate: Party) -> JudgementResult:
        try:
            made = self._tracks(baseline, candidate)
        except MemoryError as error:
            raise InfrastructureError(str(error)) from error
        effort = self._options.effort[self._mode]
        session = Session(self._problem, candidate, baseline, made, effort, self._rng, self._report)
        verdict, message = Verdict.AC, ""
        try:
            session.run()
        except Failed as failure:
            verdict, message = failure.verdict, failure.message
        self._record(session, made)
        outcome = candidate.end()
        if not session.hidden_seen:
            said = (outcome.stdout + outcome.stderr).decode("utf-8", "replace")
            self._update(stdout=said[-4096:])
        else:
            message = message.partition("\n")[0][:200] if verdict is not Verdict.RTE else ""
        return self._finish(verdict, message)

    def _record(self, session: Session, made: list[Track]) -> None:
        null = np.asarray(session.null_ns or [0], np.float64)
        overhead = Overhead(
            low_ns=float(timing.low_mean(null)),
            median_ns=float(np.median(null)),
            std_ns=float(null.std()),
            calls=len(session.null_ns),
        )
        runs = [self._figures(t.run(self._problem), overhead.low_ns) for t in made]
        if session.hidden_seen:
            runs = [redacted(r) for r in runs]
        self._update(
            runs=tuple(runs),
            overhead=overhead,
            kernel_s=session.kernel_ns / 1e9,
            prepare_s=session.prepare_ns / 1e9 if session.has_prepare else None,
        )

    def _figures(self, run: Run, overhead_ns: float) -> Run:
        if run.verdict is not Verdict.AC or not run.candidate_samples_ns:
            return run
        candidate, baseline = (
            float(timing.latency(np.asarray(s, np.float64), overhead_ns))
            for s in (run.candidate_samples_ns, run.baseline_samples_ns)
        )
        cost = self._problem.cost
        return run.model_copy(
            update={
                "latency_ns": candidate,
                "baseline_ns": baseline,
                "speedup": timing.interval(scoring.run_draws(run, overhead_ns)),
                "gflops": evaluate(cost.flops, run.dims) / candidate,
                "gbps": evaluate(cost.bytes, run.dims) / candidate,
            }
        )

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


def redacted(run: Run) -> Run:
    """A run without what could carry hidden inputs to the contestant.

    Once a hidden input has been shown to the program, its own words (an exception's text) could
    carry it out, on any workload; of a hidden workload only gate and magnitude are told.
    """
    message = "" if run.verdict is Verdict.RTE else run.message.partition("\n")[0][:200]
    error = run.error
    if error is not None and run.hidden:
        error = ErrorReport(gate=error.gate, max_error=error.max_error)
    return run.model_copy(update={"message": message, "error": error})


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
        "torch": torch.__version__,
        "numpy": np.__version__,
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
