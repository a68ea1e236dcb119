"""Judge every submission in a problem package and compare with what the package expects."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from judge.effort import USUAL
from judge.expected import complaint
from judge.judging import JudgingOptions, judge
from judge.package import Expectation, Package, expectations
from judge.source import read_source
from judge.wire import JudgementResult, Progress
from sandbox.base import Sandbox

# Every look is a whole one: only those tell how near the tolerance honest work comes.
_WHOLE = JudgingOptions(effort={m: replace(e, whole_share=1.0) for m, e in USUAL.items()})


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
    options: JudgingOptions = _WHOLE,
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
