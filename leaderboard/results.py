"""Results of judging: checked on arrival, taken apart for the tables, put together for readers."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.orm import QueryableAttribute, defer
from sqlalchemy.orm.interfaces import ORMOption
from sqlmodel import Session, col, select

from judge import wire
from judge.errors import ApiError
from judge.record import aliased, commitment_to, redacted
from judge.verdict import Verdict
from leaderboard.models import Judgement, Run
from leaderboard.text import plain

_HASH = re.compile(r"[0-9A-Za-z:_-]{0,128}")
_HEAVIEST = 1e6
_LONGEST_NS = 1e15
_PNG = b"\x89PNG\r\n\x1a\n"
_SCORES = (1e-9, 1e9)
_SAMPLES = {"candidate_samples_ns", "baseline_samples_ns"}


def check_result(
    result: wire.JudgementResult, package_hash: str, commitment: str | None = None
) -> None:
    """Refuse what could not be read back, ranked or proved. Raises ApiError 422 ``invalid-result``.

    Args:
        commitment: to the seed the worker was given.
    """
    fault = _fault(result, package_hash)
    if commitment and result.seed and not _fits(result.seed, commitment):
        fault = "the seed is not the one that came with the claim"
    if fault is not None:
        raise ApiError(fault, status=422, code="invalid-result")


def _fits(seed: str, commitment: str) -> bool:
    try:
        return commitment_to(seed) == commitment
    except ValueError:
        return False


def _fault(result: wire.JudgementResult, package_hash: str) -> str | None:
    if result.package_hash != package_hash:
        return f"the result is for package {result.package_hash[:80]!r}, not {package_hash!r}"
    if not _HASH.fullmatch(result.artifact_hash):
        return "artifact_hash is not a hash"
    for run in result.runs:
        if (drawn := run.error and run.error.picture) and not drawn.startswith(_PNG):
            return f"the picture of {run.workload[:80]!r} is not a PNG"
        if not 0 < run.weight <= _HEAVIEST:
            return f"the weight of {run.workload[:80]!r} is out of bounds"
        if not all(0 <= t <= _LONGEST_NS for t in (run.latency_ns or 0, run.baseline_ns or 0)):
            return f"a latency of {run.workload[:80]!r} is out of bounds"
    score = result.score
    if score is not None:
        lowest, highest = _SCORES
        if result.quarantine:
            return "a submission in quarantine has no score"
        if result.verdict is not Verdict.AC:
            return f"a submission with verdict {result.verdict.value} has no score"
        if not lowest <= score.low <= score.value <= score.high <= highest:
            return "the score is not a positive number inside its interval"
    try:
        # NaN and infinity are not JSON: they are written as null and would not come back.
        wire.JudgementResult.model_validate_json(result.model_dump_json())
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return f"{where} is not a finite number"
    return None


def to_columns(result: wire.JudgementResult) -> dict[str, Any]:
    """What a judgement row stores of a result."""
    score = result.score
    timed = [run for run in result.runs if run.timed]
    return {
        "verdict": result.verdict,
        "score": score.value if score else None,
        "score_low": score.low if score else None,
        "score_high": score.high if score else None,
        "latency_ns": _mean(timed, lambda run: run.latency_ns) if score else None,
        "baseline_ns": _mean(timed, lambda run: run.baseline_ns) if score else None,
        "artifact_hash": result.artifact_hash,
        "result": result.model_copy(update={"runs": ()}).model_dump_json(),
    }


def to_runs(judgement_id: UUID, runs: Iterable[wire.Run]) -> list[Run]:
    """The rows for the workloads of a result."""
    return [
        Run(
            judgement_id=judgement_id,
            position=position,
            workload=plain(run.workload, 255),
            verdict=run.verdict,
            detail=run.model_dump_json(exclude=_SAMPLES),
            samples=json.dumps([run.candidate_samples_ns, run.baseline_samples_ns]),
        )
        for position, run in enumerate(runs)
    ]


def unjudged(judgement: Judgement, reason: str) -> str:
    """The stored result of a judgement that no worker finished."""
    environment = wire.Environment(
        device=judgement.device, device_name="", worker=judgement.worker, sandbox={}, versions={}
    )
    return wire.JudgementResult(
        verdict=Verdict.JE,
        message=reason,
        package_hash=judgement.package_hash,
        environment=environment,
    ).model_dump_json()


def left_out() -> ORMOption:
    """For queries of many judgements: their stored results stay in the database."""
    return defer(cast("QueryableAttribute[str | None]", Judgement.result))


def load(
    session: Session, judgement: Judgement, *, owner: bool, samples: bool
) -> wire.JudgementResult | None:
    """A stored result as a reader may see it. None if there is none.

    Args:
        owner: whether the reader handed the submission in.
        samples: whether to read the raw times as well; only the owner gets them.
    """
    if judgement.result is None:
        return None
    runs = _load_runs(session, judgement.id, samples=owner and samples)
    shown = tuple(_visible(run, i, owner=owner) for i, run in enumerate(runs))
    result = wire.JudgementResult.model_validate_json(judgement.result)
    hidden: dict[str, Any] = {} if owner else {"message": "", "log": "", "stdout": ""}
    if result.overhead is not None and not (owner and samples):
        hidden["overhead"] = result.overhead.model_copy(update={"samples_ns": ()})
    if any(run.hidden for run in runs):
        hidden["seed"] = ""
        hidden |= aliased(result.model_copy(update={"runs": tuple(runs)}))
    return result.model_copy(update={"runs": shown, **hidden})


def load_whole(session: Session, judgement: Judgement) -> wire.JudgementResult | None:
    """A stored result as it was handed in, with everything that is nobody's to see."""
    if judgement.result is None:
        return None
    runs = tuple(_load_runs(session, judgement.id, samples=True))
    return wire.JudgementResult.model_validate_json(judgement.result).model_copy(
        update={"runs": runs}
    )


def _load_runs(session: Session, judgement_id: UUID, *, samples: bool) -> list[wire.Run]:
    of_judgement = Run.judgement_id == judgement_id
    position = col(Run.position)
    details = session.exec(select(Run.detail).where(of_judgement).order_by(position)).all()
    runs = [wire.Run.model_validate_json(detail) for detail in details]
    if not samples:
        return runs
    times = session.exec(select(Run.samples).where(of_judgement).order_by(position)).all()
    return [_with_samples(run, raw) for run, raw in zip(runs, times, strict=True)]


def _with_samples(run: wire.Run, raw: str) -> wire.Run:
    candidate, baseline = json.loads(raw)
    return run.model_copy(
        update={
            "candidate_samples_ns": tuple(candidate),
            "baseline_samples_ns": tuple(baseline),
        }
    )


def _visible(run: wire.Run, position: int, *, owner: bool) -> wire.Run:
    """What a reader may know of a run. Of a hidden workload nobody learns the shape."""
    shown = redacted(run, position) if run.hidden else run
    # To one digit: how near the tolerance it comes is a number that the program itself can choose,
    # and so could carry hidden inputs out.
    margins = {gate: float(f"{share:.0e}") for gate, share in shown.margins.items()}
    update: dict[str, Any] = {"margins": margins}
    if not owner:
        update = {"message": "", "error": None, "margins": {}}
    elif run.hidden and run.error is not None:
        update["error"] = wire.ErrorReport(
            gate=run.error.gate,
            max_error=run.error.max_error,
            share_wrong=run.error.share_wrong,
        )
    return shown.model_copy(update=update)


def _mean(runs: Sequence[wire.Run], value_of: Callable[[wire.Run], float | None]) -> float | None:
    """Weighted geometric mean, None if a value is missing or not positive."""
    total = weights = 0.0
    for run in runs:
        value = value_of(run)
        if value is None or value <= 0:
            return None
        total += run.weight * math.log(value)
        weights += run.weight
    return math.exp(total / weights) if weights > 0 else None
