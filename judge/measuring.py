"""Measure a built submission beside the baseline: load both, run the stream, take down figures."""

from dataclasses import dataclass

import numpy as np

from judge import scoring, timing, tracks
from judge.arena import Given
from judge.building import PYTHON_ENTRY, canonical_zip
from judge.cores import Cores, favour, share_out
from judge.effort import Effort
from judge.errors import BaselineFailed, InfrastructureError
from judge.expression import evaluate
from judge.inputs import InputSource, generator
from judge.jury import Jury
from judge.oracle import Reference
from judge.package import Package
from judge.party import Party
from judge.problem import CostModel, Problem, Workload
from judge.session import Failed, Report, Session
from judge.source import Source
from judge.text import plain
from judge.tracks import Track, make_side
from judge.verdict import Language, Mode, Verdict
from judge.wire import CpuUse, ErrorReport, Floors, Overhead, Run

_ABSENT_NS = 10_000_000
"""More than the answer that there is no `prepare` takes, on a busy machine too."""


@dataclass(frozen=True)
class Pairing:
    """What is measured: a candidate and the baseline, and the reference, each in its sandbox.

    Baseline and reference are loaded.

    Attributes:
        seed: the judging's secret; every input comes from it.
        given: the pages for the inputs of both sides.
        artifact: what the candidate's build left.
        floors: what is known of the errors of its outputs (`judge.certified`).
    """

    package: Package
    mode: Mode
    seed: bytes
    given: Given
    candidate: Party
    source: Source
    artifact: bytes
    baseline: Party
    reference: Reference
    floors: Floors


@dataclass(frozen=True)
class Measured:
    """What became of it. `stdout` is empty once a hidden input has been shown to the program."""

    verdict: Verdict
    message: str = ""
    runs: tuple[Run, ...] = ()
    overhead: Overhead | None = None
    kernel_s: float = 0.0
    verify_s: float = 0.0
    prepare_s: float | None = None
    cpu: CpuUse | None = None
    stdout: str = ""


def measure(pairing: Pairing, effort: Effort, report: Report) -> Measured:
    """Measure, in turn with other judgings on the same cores.

    The candidate's sandbox is destroyed, the others' end is left to their owner.

    Args:
        report: called with the progress; whatever it raises passes through.

    Raises:
        InfrastructureError: baseline or reference failed, or a workload does not fit.
    """
    cores = share_out()
    with cores.held():
        return _measure(pairing, cores, effort, report)


def _measure(pairing: Pairing, cores: Cores, effort: Effort, report: Report) -> Measured:
    try:
        _load(pairing, cores)
    except Failed as failure:
        return Measured(failure.verdict, failure.message)
    rng = generator(pairing.seed, "stream")
    made = _tracks(pairing, rng)
    problem = pairing.package.problem
    session = Session(problem, pairing.candidate, pairing.baseline, made, effort, rng, report)
    verdict, message = Verdict.AC, ""
    try:
        session.run()
    except Failed as failure:
        verdict, message = failure.verdict, failure.message
    pairing.baseline.kill()
    pairing.reference.party.kill()
    printed = _printed(pairing.candidate)
    cpu = pairing.candidate.watch.use()
    return _measured(session, made, problem, verdict, message, printed, cpu)


def load_baseline(baseline: Party, source: Source, problem: Problem) -> None:
    """Have the baseline imported. Raises BaselineFailed."""
    artifact = canonical_zip({PYTHON_ENTRY: source.files[0].content})
    limit_s = 10 * problem.limits.prepare_limit_s
    reply = baseline.load(artifact, Language.PYTHON, source.directives, limit_s)
    if reply.failure is not None:
        raise BaselineFailed(f"the baseline did not load: {reply.message}")


def _load(pairing: Pairing, cores: Cores) -> None:
    """Pin everyone to their cores, and have the candidate imported."""
    baseline, candidate, source = pairing.baseline, pairing.candidate, pairing.source
    # The reference has all cores: no clock runs while it works.
    pairing.reference.party.favour()
    for party in (baseline, candidate):
        party.pin(cores)
    cores.work()
    favour(0)
    limit_s = pairing.package.problem.limits.prepare_limit_s
    reply = candidate.load(pairing.artifact, source.language, source.directives, limit_s)
    if reply.failure is not None:
        raise Failed(reply.failure, f"while loading the submission: {reply.message}")


def _tracks(pairing: Pairing, rng: np.random.Generator) -> list[Track]:
    problem = pairing.package.problem
    made = []
    for w in selected(problem, pairing.mode):
        try:
            oracle = pairing.reference.on(w, rng)
            spots = [pairing.given.place(problem.operator, w.dims) for _ in range(tracks.PLACES)]
            language = pairing.source.language
            mine = make_side(pairing.candidate, problem, w, language, rng, spots)
            theirs = make_side(pairing.baseline, problem, w, Language.PYTHON, rng, spots)
        except MemoryError as error:
            raise InfrastructureError(str(error)) from error
        inputs = InputSource(problem, w, pairing.seed, oracle.inputs)
        floors = pairing.floors.get(w.name, {})
        jury = Jury(problem, oracle, floors)
        track = Track(w, inputs, jury, mine, theirs if w.timed else None)
        track.rely_on(floors, problem)
        made.append(track)
    return made


def _printed(candidate: Party) -> str:
    outcome = candidate.end()
    return plain(outcome.stdout + outcome.stderr)[-4096:]


def _measured(
    session: Session,
    made: list[Track],
    problem: Problem,
    verdict: Verdict,
    message: str,
    printed: str,
    cpu: CpuUse | None,
) -> Measured:
    null = np.asarray(session.null_ns or [0], np.float64)
    overhead = Overhead(
        low_ns=float(timing.low_mean(null)),
        median_ns=float(np.median(null)),
        std_ns=float(null.std()),
        calls=len(session.null_ns),
        samples_ns=tuple(session.null_ns),
    )
    runs = [_figures(t.run(problem), overhead.low_ns, problem.cost) for t in made]
    if session.hidden_seen:
        printed, runs = "", [redacted(r) for r in runs]
        message = _own_words(verdict, message)
    return Measured(
        verdict=verdict,
        message=message,
        runs=tuple(runs),
        overhead=overhead,
        kernel_s=session.kernel_ns / 1e9,
        verify_s=sum(t.verify_ns for t in made if t.baseline is not None) / 1e9,
        prepare_s=session.prepare_ns / 1e9 if _prepared(session) else None,
        cpu=cpu,
        stdout=printed,
    )


def _prepared(session: Session) -> bool:
    """Whether there is a `prepare`, or something that took as long as one."""
    return session.has_prepare or session.prepare_ns > _ABSENT_NS * session.prepares


def _own_words(verdict: Verdict | None, message: str) -> str:
    """What is ours in a message: those of a failed reply are the program's."""
    ours = verdict not in (Verdict.RTE, Verdict.MLE)
    return message.partition("\n")[0][:200] if ours else ""


def _figures(run: Run, overhead_ns: float, cost: CostModel) -> Run:
    if run.verdict is not Verdict.AC or not run.candidate_samples_ns:
        return run
    candidate, baseline = (
        float(timing.latency(np.asarray(s, np.float64), overhead_ns))
        for s in (run.candidate_samples_ns, run.baseline_samples_ns)
    )
    return run.model_copy(
        update={
            "latency_ns": candidate,
            "baseline_ns": baseline,
            "speedup": timing.interval(scoring.run_draws(run, overhead_ns)),
            "control": timing.control(np.asarray(run.baseline_samples_ns, np.float64), overhead_ns),
            "gflops": evaluate(cost.flops, run.dims) / candidate,
            "gbps": evaluate(cost.bytes, run.dims) / candidate,
        }
    )


def selected(problem: Problem, mode: Mode) -> list[Workload]:
    """The workloads a mode covers, in declared order."""
    if mode is Mode.TEST:
        return [w for w in problem.workloads if w.sample]
    if mode is Mode.BENCHMARK:
        return [w for w in problem.workloads if not w.hidden]
    return list(problem.workloads)


def redacted(run: Run) -> Run:
    """A run without what could carry hidden inputs to the contestant.

    Once a hidden input has been shown to the program, its own words (an exception's text), and the
    place and value of a wrong element, could carry it out, on any workload: only gate and magnitude
    are told, the latter to one digit: the program chooses its error, and with it all the others.
    """
    message = _own_words(run.verdict, run.message)
    error = run.error
    if error is not None:
        size = None if error.max_error is None else float(f"{error.max_error:.0e}")
        error = ErrorReport(gate=error.gate, max_error=size)
    return run.model_copy(update={"message": message, "error": error})
