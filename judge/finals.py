"""The final: the best measured again, against each other, on inputs that nobody has seen.

A block judges every finalist once, in random order, each from fresh processes, all of them on the
inputs of one new seed; so within a block they meet the same inputs and nearly the same machine.
Blocks are repeated, and finalists compared within them: what slows the machine down for minutes
slows all of them alike. Inside each judging calls of finalist and baseline are interleaved as ever.
"""

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, stdev

from judge.errors import UserError
from judge.judging import JudgingOptions, judge
from judge.package import Package
from judge.pooling import pooled
from judge.ranking import MARGIN
from judge.source import Source
from judge.verdict import Mode, Verdict
from judge.wire import Interval, JudgementResult, Progress, Wire
from sandbox.base import Sandbox

LEAST_BLOCKS = 3

# 97.5 % of Student's distribution, by degrees of freedom from 1 on; beyond, the normal one's.
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip
_NORMAL = 1.960


@dataclass(frozen=True)
class Finalist:
    """Somebody's submission in the final; names are all different."""

    name: str
    source: Source


class Block(Wire):
    """Every finalist judged once on the inputs of one seed.

    Attributes:
        seed: hex.
        order: names, as they were judged.
        results: by name.
    """

    seed: str
    order: tuple[str, ...]
    results: dict[str, JudgementResult]


class Placing(Wire):
    """A finalist's place.

    Attributes:
        rank: None if it failed.
        score: the mean of the blocks.
        behind: how many times as fast the first of the group before it was, or of its own group,
            from differences within the blocks; None for the winner.
        failed: why it has no rank.
    """

    name: str
    rank: int | None
    score: Interval | None
    behind: Interval | None
    failed: str = ""


class Final(Wire):
    """The best measured again, against each other."""

    problem: str
    package_hash: str
    placings: tuple[Placing, ...]
    blocks: tuple[Block, ...]


def hold(
    package: Package,
    finalists: Sequence[Finalist],
    sandbox: Sandbox,
    *,
    blocks: int = 5,
    report: Callable[[int, str, Progress], None] = lambda _block, _name, _progress: None,
    options: JudgingOptions | None = None,
) -> Final:
    """Measure finalists against each other.

    Args:
        report: told block (from 0), finalist and progress.
        options: all but the seed, which is new in every block.

    Raises:
        UserError: fewer than two finalists, two of one name, or fewer than `LEAST_BLOCKS` blocks.
        InfrastructureError: our side failed.
    """
    names = [finalist.name for finalist in finalists]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError("a final needs at least two finalists, with different names")
    if blocks < LEAST_BLOCKS:
        raise UserError(f"a final needs at least {LEAST_BLOCKS} blocks, for differences to show")
    usual = options or JudgingOptions()
    held = [
        _block(package, finalists, sandbox, partial(report, number), usual)
        for number in range(blocks)
    ]
    return Final(
        problem=package.slug,
        package_hash=package.hash,
        placings=tuple(place(names, held)),
        blocks=tuple(held),
    )


def _block(
    package: Package,
    finalists: Sequence[Finalist],
    sandbox: Sandbox,
    report: Callable[[str, Progress], None],
    options: JudgingOptions,
) -> Block:
    seed = secrets.token_bytes(32)
    results = {
        finalist.name: judge(
            package,
            finalist.source,
            Mode.RANKED,
            sandbox,
            report=partial(report, finalist.name),
            options=replace(options, seed=seed),
        )
        for finalist in secrets.SystemRandom().sample(finalists, len(finalists))
    }
    return Block(seed=seed.hex(), order=tuple(results), results=results)


def place(names: Sequence[str], blocks: Sequence[Block]) -> list[Placing]:
    """The ranks that follow from the blocks, best first; anybody can work them out again.

    Whoever failed in any block, or was too fast to be true, has no rank. The others stand in the
    order of their mean log scores. Who cannot be told from the first of a group within the blocks,
    or is less than the margin behind, shares its rank.
    """
    scores: dict[str, list[Interval]] = {}
    failed: list[Placing] = []
    for name in names:
        results = [block.results[name] for block in blocks]
        known = [result.score for result in results if result.score is not None]
        if len(known) == len(results):
            scores[name] = known
            continue
        bad = next(result for result in results if result.score is None)
        why = bad.verdict.value if bad.verdict is not Verdict.AC else "below the roofline"
        failed.append(Placing(name=name, rank=None, score=None, behind=None, failed=why))
    logs = {name: [math.log(s.value) for s in known] for name, known in scores.items()}
    return [*_ranked(scores, logs), *failed]


def _ranked(
    scores: Mapping[str, Sequence[Interval]], logs: Mapping[str, Sequence[float]]
) -> list[Placing]:
    order = sorted(scores, key=lambda name: -fmean(logs[name]))
    placings: list[Placing] = []
    leader, rank = "", 0
    for position, name in enumerate(order, 1):
        behind = difference(logs[leader], logs[name]) if leader else None
        if behind is None or (behind.low > 1 and behind.value >= 1 + MARGIN):
            leader, rank = name, position
        placings.append(
            Placing(name=name, rank=rank, score=pooled(scores[name]), behind=behind, failed="")
        )
    return placings


def difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """How many times as fast the first was, from log scores paired by block (95 %, Student's)."""
    pairs = [a - b for a, b in zip(first, second, strict=True)]
    quantile = _STUDENT[len(pairs) - 2] if len(pairs) - 2 < len(_STUDENT) else _NORMAL
    half = quantile * stdev(pairs) / math.sqrt(len(pairs))
    mean = fmean(pairs)
    return Interval(value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half))
