"""Check a signed record without its server: signature, figures, commitment, and rank."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from judge import recompute
from judge.errors import UserError
from judge.pooling import pooled
from judge.ranking import ranks
from judge.record import Keys, Record, Signature, SignedRecord, canonical, commitment_to, sha256_of
from judge.signing import valid
from judge.wire import Interval, StandingsEntry, Wire

_ENTRIES = TypeAdapter(tuple[StandingsEntry, ...])


class Check(Wire):
    """One thing that was looked at.

    Attributes:
        outcome: agrees, disagrees, or open: nothing here can tell.
    """

    name: str
    outcome: Literal["agrees", "disagrees", "open"]
    detail: str


class Recheck(Wire):
    """Everything that was looked at.

    Attributes:
        ok: nothing disagrees.
        rank: computed from the board that was given, if the submission is on it.
    """

    ok: bool
    submission_id: str
    checks: tuple[Check, ...]
    rank: int | None = None


def recheck(
    file: Path,
    key: Path | None = None,
    board: Path | None = None,
    earlier: Path | None = None,
    others: Sequence[Path] = (),
) -> Recheck:
    """Look at a record.

    Args:
        key: what `/api/v1/keys` of the service answered, got from somewhere that is trusted.
        board: what `opjudge leaderboard --json` printed.
        earlier: the public record of the same judgement from before its workloads were published.
        others: records of the other judgings of the same artifact, which the board pools.

    Raises:
        UserError: a file is not what it should be.
    """
    document, signed = read_record(file)
    record = signed.record
    checks = [
        _signature(document, signed.signature, key),
        _figures(record),
        _commitment(record),
    ]
    if earlier is not None:
        checks.append(_binding(record, read_record(earlier)[1].record))
    rank = None
    if board is not None:
        pool = [record, *(read_record(other)[1].record for other in others)]
        found, rank = _rank(record, _board(board), pool)
        checks += found
    ok = all(check.outcome != "disagrees" for check in checks)
    return Recheck(ok=ok, submission_id=str(record.submission_id), checks=tuple(checks), rank=rank)


def read_record(file: Path) -> tuple[Any, SignedRecord]:
    """The document as it was signed, and the same as objects. Raises UserError."""
    document = _json(file, "bad-record")
    try:
        # Strictly as it stands: what the signature covers must be all there is.
        signed = SignedRecord.model_validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise UserError(
            f"{file} is not a record this version of opjudge knows: {where}: {first['msg']}; "
            "download it again with `opjudge record ID -o FILE`",
            code="bad-record",
        ) from error
    return document["record"], signed


def _signature(record: Any, signature: Signature, key: Path | None) -> Check:
    name = "signature"
    if not valid(record, signature):
        return _no(name, "the document was changed after it was signed, or never signed by its key")
    if key is None:
        return Check(
            name=name,
            outcome="open",
            detail=f"good for the key {signature.key}, whosever that is; give --key to know",
        )
    try:
        keys = Keys.model_validate(_json(key, "bad-key"))
    except ValidationError as error:
        raise UserError(
            f"{key} is not the answer of /api/v1/keys of a service", code="bad-key"
        ) from error
    if signature.key not in {known.key for known in keys.keys}:
        return _no(name, f"signed with the key {signature.key}, which is none of those in {key}")
    return _yes(name, f"good, with a key of {key}")


def _figures(record: Record) -> Check:
    result = record.result
    faults = list(recompute.disagreements(result))
    if faults:
        return _no("figures", _and_numpy("; ".join(faults), record))
    withheld = [run.workload for run in result.runs if recompute.withheld(run)]
    if result.score is None:
        return _yes("figures", f"verdict {result.verdict}, no score")
    if withheld:
        return Check(
            name="figures",
            outcome="open",
            detail=f"the score {result.score.value:.4f} follows from the speed-ups, and those of "
            f"visible workloads from their raw times; those of {', '.join(withheld)} are not in "
            "this record, so the score's interval cannot be computed (hidden workloads stay secret "
            "until they are published)",
        )
    return _yes("figures", f"the score {result.score.value:.4f} follows from the raw times")


def _and_numpy(text: str, record: Record) -> str:
    import numpy as np

    then = record.result.environment.versions.get("numpy", np.__version__)
    if then == np.__version__:
        return text
    # Its random numbers, and so the ends of the intervals, may differ between versions.
    return f"{text} (recorded with numpy {then}, computed with {np.__version__})"


def _commitment(record: Record) -> Check:
    name, seed = "commitment", record.result.seed
    if record.commitment is None:
        return Check(name=name, outcome="open", detail="the service had not committed to a seed")
    if not seed:
        return Check(
            name=name, outcome="open", detail=f"to a seed that is still secret: {record.commitment}"
        )
    if commitment_to(seed) != record.commitment:
        return _no(name, f"the seed {seed} is not the one that was committed to")
    return _yes(name, "the seed is the one that was committed to")


def _binding(record: Record, earlier: Record) -> Check:
    name = "earlier record"
    if record.judgement_id != earlier.judgement_id:
        return _no(name, "it is of another judgement")
    if record.view != "full" or earlier.view != "public":
        return Check(name=name, outcome="open", detail="needs a full record, and a public one")
    if sha256_of(record) != earlier.full_sha256:
        return _no(name, "what was secret then is not what is published now")
    return _yes(name, "what is published now is what was bound to then")


def _rank(
    record: Record, entries: Sequence[StandingsEntry], pool: Sequence[Record]
) -> tuple[list[Check], int | None]:
    people = [e for e in entries if e.kind == "user"]
    best_first = sorted(people, key=lambda entry: -entry.score.value)
    computed = ranks([e.score for e in best_first])
    checks = []
    wrong = [
        f"{entry.name} has rank {entry.rank}, the scores give {rank}"
        for entry, rank in zip(best_first, computed, strict=True)
        if entry.rank != rank
    ]
    checks.append(
        _no("board", "; ".join(wrong))
        if wrong
        else _yes("board", "the ranks follow from the scores")
    )
    own = [
        (entry, rank)
        for entry, rank in zip(best_first, computed, strict=True)
        if entry.submission_id in {each.submission_id for each in pool}
    ]
    if not own:
        detail = "the submission does not stand on this board (another of the person's may)"
        return [*checks, Check(name="rank", outcome="open", detail=detail)], None
    entry, rank = own[0]
    if len(pool) < entry.pooled:
        detail = (
            f"rank {rank} with the mean of {entry.pooled} judgings of this artifact, {len(pool)} "
            "of which are here; give the records of the others with --pooled"
        )
        return [*checks, Check(name="rank", outcome="open", detail=detail)], rank
    if len(pool) > entry.pooled or not _alike(pool):
        return [*checks, _no("rank", "the records are not the judgings that the board pools")], None
    scores = [each.result.score for each in pool if each.result.score is not None]
    score = pooled(scores) if len(scores) == len(pool) else None
    if score is None or not _same(entry, record, score):
        stated = "none" if score is None else f"{score.value:.6g}"
        checks.append(
            _no("rank", f"the board has the score {entry.score.value:.6g}, the record {stated}")
        )
        return checks, None
    return [*checks, _yes("rank", f"rank {rank} of {len(people)} with the record's score")], rank


def _alike(pool: Sequence[Record]) -> bool:
    """Whether they are different judgements of one artifact of one person."""
    kinds = {(r.user, r.problem, r.device, r.result.artifact_hash or r.source_hash) for r in pool}
    return len(kinds) == 1 and len({r.judgement_id for r in pool}) == len(pool)


def _same(entry: StandingsEntry, record: Record, score: Interval) -> bool:
    return entry.name == record.user and all(
        math.isclose(getattr(entry.score, part), getattr(score, part), rel_tol=recompute.CLOSE)
        for part in ("value", "low", "high")
    )


def _board(file: Path) -> tuple[StandingsEntry, ...]:
    document = _json(file, "bad-board")
    try:
        entries = _ENTRIES.validate_json(canonical(document["entries"]))
    except (ValidationError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is not a board; export one with `opjudge leaderboard PROBLEM --json`",
            code="bad-board",
        ) from error
    if entries and min((e.rank for e in entries if e.rank is not None), default=1) != 1:
        raise UserError(
            f"{file} does not begin at the top of the board, so no rank follows from it",
            code="bad-board",
        )
    return entries


def _json(file: Path, code: str) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not whole, or not JSON: {error}", code=code) from error


def _yes(name: str, detail: str) -> Check:
    return Check(name=name, outcome="agrees", detail=detail)


def _no(name: str, detail: str) -> Check:
    return Check(name=name, outcome="disagrees", detail=detail)


def summary(checks: Sequence[Check]) -> Iterator[str]:
    """The checks as lines."""
    for check in checks:
        yield f"{check.name}: {check.outcome}: {check.detail}"
