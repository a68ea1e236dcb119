"""Puts a worker together: settings, sandbox, the evaluation itself, and the process around it."""

import sys
from collections.abc import Callable

import structlog

from judge.backend import make_sandbox
from judge.cores import share_out
from judge.dispatch import Dispatcher
from judge.judging import BASELINE_LIMITS, JudgingOptions, judge
from judge.package import Package
from judge.party import Party
from judge.pool import Pool
from judge.settings import WorkerSettings
from judge.source import from_files
from judge.wire import Claim, JudgementResult, Progress
from judge.worker import Evaluate
from sandbox.base import Sandbox


def make_evaluate(settings: WorkerSettings, sandbox: Sandbox) -> Evaluate:
    """The same judging as everywhere, for a claim."""
    options = JudgingOptions(worker=settings.name, device=settings.device)

    def evaluate(
        claim: Claim, package: Package, report: Callable[[Progress], None], warm: Party
    ) -> JudgementResult:
        source = from_files(claim.files, language=claim.language)
        return judge(
            package, source, claim.mode, sandbox, report=report, options=options, warm=warm
        )

    return evaluate


def serve(settings: WorkerSettings) -> None:
    """Be a worker until told to stop. Logs to stderr."""
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
    sandbox = make_sandbox(settings.sandbox)
    threads = len(share_out().party)
    pool = Pool(lambda: Party(sandbox, BASELINE_LIMITS, "torch", threads=threads))
    Dispatcher(settings, make_evaluate(settings, sandbox), pool).run()
