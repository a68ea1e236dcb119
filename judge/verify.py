"""Judge every submission in a problem package and compare with what the package expects."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from judge.judging import JudgingOptions, judge
from judge.package import Expectation, Package, expectations
from judge.source import read_source
from judge.verdict import Verdict
from judge.wire import JudgementResult, Progress
from sandbox.base import Sandbox


@dataclass(frozen=True)
class Verified:
    """One bundled submission beside its expectation.

    Attributes:
        complaint: what is not as expected; empty if all is well.
    """

    expectation: Expectation
    result: JudgementResult
    complaint: str

    @property
    def ok(self) -> bool:
        return not self.complaint


def verify(
    package: Package,
    sandbox: Sandbox,
    *,
    report: Callable[[Expectation, Progress], None] = lambda _expectation, _progress: None,
    done: Callable[[Verified], None] = lambda _verified: None,
    options: JudgingOptions | None = None,
    only: Collection[str] = (),
) -> list[Verified]:
    """Judge the package's submissions, in the order of their paths.

    Args:
        report: told of the progress of each.
        done: told of each one judged.
        only: paths (relative to ``submissions/``) to verify; all if empty.

    Raises:
        ProblemError: the package's expectations are malformed.
        InfrastructureError: our side failed.
    """
    verified = []
    for expectation in expectations(package):
        if only and expectation.path not in only:
            continue
        source = read_source(
            expectation.files, limit_bytes=package.problem.limits.source_kib * 1024
        )

        def tell(progress: Progress, about: Expectation = expectation) -> None:
            report(about, progress)

        result = judge(package, source, expectation.mode, sandbox, report=tell, options=options)
        entry = Verified(expectation, result, complaint(expectation, result))
        done(entry)
        verified.append(entry)
    return verified


def complaint(expectation: Expectation, result: JudgementResult) -> str:
    """What of a result is not as expected, in one line; empty if nothing."""
    if result.verdict not in expectation.permitted:
        wanted = " or ".join(sorted(expectation.permitted))
        return f"got {result.verdict}, expected {wanted}: {why(result)}"
    if result.verdict is not Verdict.AC or result.score is None:
        return ""
    value = result.score.value
    if expectation.min_speedup is not None and result.score.high < expectation.min_speedup:
        return f"speed-up {value:.3f} is below the expected {expectation.min_speedup}"
    if expectation.max_speedup is not None and result.score.low > expectation.max_speedup:
        return f"speed-up {value:.3f} is above the expected {expectation.max_speedup}"
    return ""


def why(result: JudgementResult) -> str:
    """One line on the reason of a verdict."""
    for run in result.runs:
        if run.verdict not in (None, Verdict.AC):
            gate = f" ({run.error.gate} gate)" if run.error is not None else ""
            return f"workload {run.workload}{gate} {run.message.partition(chr(10))[0]}".strip()
    return (result.message or result.log).strip().rpartition("\n")[2][:200]
