"""Puts a worker together: settings, sandbox, the evaluation itself, and the process around it."""

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import structlog

from judge import roofline
from judge.backend import make_sandbox
from judge.counters import beyond_its_clock
from judge.dispatch import Dispatcher
from judge.drift import Baselines
from judge.judging import JudgingOptions, judge
from judge.package import Package
from judge.selfcheck import self_check
from judge.settings import WorkerSettings
from judge.source import from_files
from judge.wire import Claim, JudgementResult, Progress
from judge.worker import Evaluate
from sandbox.base import Sandbox

_LOG = structlog.get_logger("opjudge.worker")


def make_evaluate(settings: WorkerSettings, sandbox: Sandbox) -> Evaluate:
    """The same judging as everywhere, for a claim."""
    options = JudgingOptions(worker=settings.name, device=settings.device)

    def evaluate(
        claim: Claim, package: Package, report: Callable[[Progress], None]
    ) -> JudgementResult:
        source = from_files(claim.files, language=claim.language)
        # Not drawn here: the service is committed to it, so that nobody can choose another.
        seed = bytes.fromhex(claim.seed) or None
        seeded = replace(options, seed=seed, floors=claim.floors)
        result = judge(package, source, claim.mode, sandbox, report=report, options=seeded)
        watched = _baselines_watched(result, package, settings)
        return _held_against_peaks(watched, package, settings)

    return evaluate


def _baselines_watched(
    result: JudgementResult, package: Package, settings: WorkerSettings
) -> JudgementResult:
    """With the baselines that were not as fast as usual, which the log says, too."""
    watched = Baselines(settings.home / "baselines.json").watched(result, package.slug)
    for drift in watched.drift:
        _LOG.warning(
            "the baseline has left its usual band",
            problem=package.slug,
            workload=drift.workload,
            baseline_ms=round(drift.baseline_ns / 1e6, 4),
            usual_ms=(round(drift.low_ns / 1e6, 4), round(drift.high_ns / 1e6, 4)),
        )
    return watched


def _held_against_peaks(
    result: JudgementResult, package: Package, settings: WorkerSettings
) -> JudgementResult:
    """With the share of the roofline, and in quarantine if it is below it also at a second look."""
    path, cost = settings.home / "peaks.json", package.problem.cost
    held = roofline.held_against(result, cost, roofline.known(path, settings.device))
    if not held.quarantine:
        return held
    # Before anybody is accused: the peaks may have been measured while the machine was busy.
    peaks = roofline.known(path, settings.device, again=True)
    held = roofline.held_against(result, cost, peaks)
    if held.quarantine:
        why = "did more than its clock" if beyond_its_clock(held.cpu) else "below the roofline"
        _LOG.error(f"{why}, not ranked", workloads=held.quarantine)
    return held


def _checked_sandbox(settings: WorkerSettings) -> Sandbox:
    """The sandbox, once nothing gets out of it; its level goes to the log and on every record."""
    sandbox = make_sandbox(settings.sandbox)
    if settings.sandbox == "dummy":
        # Chosen by name, for tests: its record says that it isolates nothing.
        _LOG.warning("sandbox not checked: the dummy isolates nothing")
        return sandbox
    checked = self_check(sandbox, settings.allow)
    tell = _LOG.warning if checked.lowered else _LOG.info
    tell("sandbox checked", holds=str(checked.level), lowered=" ".join(checked.lowered) or None)
    return checked


def serve(settings: WorkerSettings) -> None:
    """Be a worker until told to stop. Logs to stderr.

    Raises SandboxError if the sandbox lets a probe through that is not allowed to.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The default prints every local variable where rich is installed, tokens included.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    settings.token()  # before the seconds that the rest takes
    with closing(_checked_sandbox(settings)) as sandbox:
        roofline.known(settings.home / "peaks.json", settings.device)
        Dispatcher(settings, make_evaluate(settings, sandbox), sandbox).run()
