"""Scores computed again from stored raw times, and what does not agree with what is stated.

It uses the very functions that made the score, and asks nobody: `opjudge verify-record` runs it on
one record, `opjudge admin recompute` on everything a service has stored.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from judge import scoring, timing
from judge.counters import beyond_its_clock
from judge.problem import Scoring
from judge.roofline import below
from judge.verdict import Verdict
from judge.wire import Formula, Interval, JudgementResult, Run

CLOSE = 1e-9
"""Two figures that differ by less, relatively, are the same but for the order of additions."""

_MOST_CORES = 1 << 16


def disagreements(result: JudgementResult) -> Iterator[str]:
    """What does not follow from the raw times, in words; nothing if all does.

    A run whose raw times are withheld is taken at its word, and the score is then held against the
    stated speed-ups: its value follows from them, its interval does not.
    """
    yield from _verdict(result)
    formula, overhead = result.formula, result.overhead
    if result.score is None:
        return
    if formula is None or overhead is None:
        yield "there is a score, but not the formula and the overhead it was made with"
        return
    ours = scoring.formula(
        Scoring(min_speedup=formula.min_speedup, max_speedup=formula.max_speedup)
    )
    if formula != ours:
        yield (
            f"the score was made with formula version {formula.version}, and this program has "
            f"version {ours.version}: use the opjudge of that time"
        )
        return
    if overhead.samples_ns or overhead.low_ns:
        yield from _differs("the overhead", overhead.low_ns, _low(overhead.samples_ns))
    here = [run for run in result.runs if run.timed and not withheld(run)]
    for run in here:
        if not _in_order(run):
            yield f"{run.workload}: processes cannot have begun at rounds {run.starts}"
            return
    for run in here:
        yield from _run(run, overhead.low_ns)
    yield from _score(result, formula, overhead.low_ns)


def _in_order(run: Run) -> bool:
    starts = (*(run.starts or (0,)), max(len(run.candidate_samples_ns), 1))
    return starts[0] == 0 and all(one < next_one for one, next_one in pairwise(starts))


def withheld(run: Run) -> bool:
    """Whether a run was timed, and its raw times are not there."""
    return run.speedup is not None and not run.candidate_samples_ns


def _verdict(result: JudgementResult) -> Iterator[str]:
    failed = [run.workload for run in result.runs if run.verdict is not Verdict.AC]
    if result.verdict is Verdict.AC and failed:
        yield f"the verdict is AC although {failed[0]} is not"
    fast = [run.workload for run in result.runs if run.roofline and below(run.roofline)]
    if result.quarantine and result.score is not None:
        yield f"there is a score although {result.quarantine[0]} is below the roofline"
    hidden = {run.workload for run in result.runs if run.hidden}
    # How many cores it had is not in the record: with fewer, cycles accuse a program sooner.
    if result.score is not None and beyond_its_clock(result.cpu, _MOST_CORES):
        yield "there is a score although the program did more than its clock has seen"
    accused = beyond_its_clock(result.cpu)
    if set(result.quarantine) - set(fast) - hidden and not accused:
        yield "a workload is in quarantine although it is not below the roofline"
    if result.score is not None and result.verdict is not Verdict.AC:
        yield f"there is a score although the verdict is {result.verdict}"


def _run(run: Run, overhead_ns: float) -> Iterator[str]:
    sides = (run.candidate_samples_ns, run.baseline_samples_ns)
    if not sides[0] or len(sides[0]) != len(sides[1]):
        yield f"{run.workload}: {len(sides[0])} and {len(sides[1])} raw times make no pairs"
        return
    stated = (run.latency_ns, run.baseline_ns)
    for name, samples, value in zip(("latency", "baseline"), sides, stated, strict=True):
        latency = float(timing.latency(np.asarray(samples, np.float64), overhead_ns))
        yield from _differs(f"{run.workload}: the {name}", value, latency)
    speedup = timing.interval(scoring.run_draws(run, overhead_ns))
    yield from _interval(f"{run.workload}: the speed-up", run.speedup, speedup)
    control = timing.control(np.asarray(sides[1], np.float64), overhead_ns)
    yield from _interval(f"{run.workload}: the control", run.control, control)


def _score(result: JudgementResult, formula: Formula, overhead_ns: float) -> Iterator[str]:
    limits = Scoring(min_speedup=formula.min_speedup, max_speedup=formula.max_speedup)
    if not any(withheld(run) for run in result.runs):
        yield from _interval(
            "the score", result.score, scoring.score(result.runs, overhead_ns, limits)
        )
        return
    if result.score is None:
        return
    yield from _differs("the score", result.score.value, _of_speedups(result, limits))
    if not result.score.low <= result.score.value <= result.score.high:
        yield "the score is not inside its interval"


def _of_speedups(result: JudgementResult, limits: Scoring) -> float:
    """The score's value from the stated speed-ups."""
    timed = [(r.weight, r.speedup.value) for r in result.runs if r.timed and r.speedup]
    lowest, highest = math.log(limits.min_speedup), math.log(limits.max_speedup)
    logs = (w * min(max(math.log(value), lowest), highest) for w, value in timed)
    return math.exp(sum(logs) / sum(w for w, _ in timed))


def _low(samples: tuple[int, ...]) -> float:
    return float(timing.low_mean(np.asarray(samples or [0], np.float64)))


def _interval(what: str, stated: Interval | None, computed: Interval | None) -> Iterator[str]:
    if stated is None or computed is None:
        if stated is not computed:
            yield f"{what} is stated as {stated}, the raw times give {computed}"
        return
    for part in ("value", "low", "high"):
        name = what if part == "value" else f"{what}'s {part} end"
        yield from _differs(name, getattr(stated, part), getattr(computed, part))


def _differs(what: str, stated: float | None, computed: float) -> Iterator[str]:
    if stated is None or not math.isclose(stated, computed, rel_tol=CLOSE):
        yield f"{what} is stated as {stated}, the raw times give {computed}"
