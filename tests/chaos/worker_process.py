"""A worker whose judging is brief: a real sandbox around a program that only waits.

All else is what `opjudge worker` runs: its dispatcher, RQ, leases, hygiene, spool. The first line
of what was handed in says how long it takes and how it ends, as JSON in a comment:
`# {"seconds": 0.1, "ends": "AC", "score": 2.0}`, where `ends` may also be `fail` (our own error)
and `kill` (the whole worker dies of it).
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping

import structlog

from judge.dispatch import Dispatcher
from judge.errors import InfrastructureError
from judge.package import Package
from judge.settings import WorkerSettings
from judge.verdict import Status, Verdict
from judge.wire import Claim, Interval, JudgementResult, Progress
from sandbox.base import Command
from sandbox.bubblewrap import Bubblewrap
from sandbox.limits import Limits
from tests.judge.samples import make_result


class Cold(Bubblewrap):
    """The real sandbox, without templates: what waits in it needs no torch."""

    def refill(self, environment: Mapping[str, str]) -> None:
        """Nothing to have ready."""


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = WorkerSettings()
    sandbox = Cold()

    def evaluate(
        claim: Claim, package: Package, report: Callable[[Progress], None]
    ) -> JudgementResult:
        told = json.loads(claim.files[0].content.decode().partition("\n")[0].lstrip("# "))
        report(Progress(status=Status.CHECKING))
        sandbox.run(Command(["sleep", str(told["seconds"])]), Limits())
        report(Progress(status=Status.TIMING))
        if told["ends"] == "kill":
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        if told["ends"] == "fail":
            raise InfrastructureError("told to fail")
        verdict, score = Verdict(told["ends"]), told["score"]
        changes = {"score": Interval(value=score, low=score * 0.99, high=score * 1.01)}
        return make_result(
            verdict,
            package_hash=package.hash,
            artifact_hash=claim.submission_id.hex,
            seed=claim.seed,
            **(changes if verdict is Verdict.AC else {}),
        )

    Dispatcher(settings, evaluate, sandbox).run()


if __name__ == "__main__":
    main()
