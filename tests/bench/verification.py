"""What it costs to verify every timed call, beside what the calls themselves take.

On every bundled problem, the C++ submission of its package is judged against the baseline.
Verifying is: looking at guards and earlier outputs, comparing the two sides' outputs, and asking
the reference on the first and on a secret share of the calls; not making and writing inputs.
"""

from typing import Any

from judge.backend import warmed
from judge.cores import environment
from judge.judging import judge
from judge.package import bundled_problems, load_package
from judge.source import read_source
from judge.verdict import Mode, Verdict
from sandbox.base import Sandbox
from sandbox.bubblewrap import Bubblewrap
from tests.bench.figures import say


def bench(quick: bool) -> dict[str, Any]:
    """One ranked judging of each problem (vector_add and matmul alone with `quick`)."""
    slugs = ["vector_add", "matmul"] if quick else sorted(p.name for p in _problems())
    with warmed(Bubblewrap()) as sandbox:
        found = {slug: measured(slug, sandbox) for slug in slugs}
    return {**found, "largest_share": max(figures["share"] for figures in found.values())}


def _problems() -> Any:
    return (path for path in bundled_problems().iterdir() if (path / "problem.yaml").is_file())


def measured(slug: str, sandbox: Sandbox) -> dict[str, float]:
    """Seconds of verifying and of the calls, over all timed workloads."""
    package = load_package(bundled_problems() / slug)
    path = min((package.root / "submissions" / "accepted").glob("*.cpp"))
    sandbox.refill(environment())
    result = judge(package, read_source(path, limit_bytes=1 << 20), Mode.RANKED, sandbox)
    if result.verdict is not Verdict.AC:
        raise RuntimeError(f"{slug} {path.name}: {result.verdict}: {result.message}")
    calls_ns = sum(sum(r.candidate_samples_ns) + sum(r.baseline_samples_ns) for r in result.runs)
    rounds = sum(len(r.candidate_samples_ns) for r in result.runs)
    found = {
        "verify_s": round(result.verify_s, 3),
        "calls_s": round(calls_ns / 1e9, 3),
        "share": round(result.verify_s * 1e9 / calls_ns, 3),
        "rounds": rounds,
        "elapsed_s": round(result.elapsed_s, 2),
    }
    say(f"{slug} {path.name}: {found}")
    return found
