"""The record of a judgement: everything its score was made from, in one document that is signed.

Before a judging begins the service draws the seed of all its inputs and publishes its SHA-256, the
*commitment*. No later judging uses the seed again, so it helps nobody to foresee inputs. But with
it every published figure about a hidden workload (a largest error, say) becomes a test of guesses
at its name and shape, which can be made at leisure. So a seed is revealed with the result where no
hidden workload was used, and otherwise when the problem's author publishes them: as soon as the
version on offer shows every one of them openly. Nothing else reveals it; a problem that is merely
taken off the list may come back.

Until then people get the *public* view, a document with a signature of its own: hidden workloads
have neither name, shape nor raw times (a program could say in its times what it was shown). It
carries the SHA-256 of the *full* view, which nobody can guess at because the seed is part of it,
and which nobody can change any more.
"""

import hashlib
import json
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from judge.verdict import Language, Mode
from judge.wire import JudgementResult, Run, Wire


class Record(Wire):
    """What is signed. Made from what is stored, the same each time.

    Attributes:
        number: the order of arrival of submissions, which decides between equal scores.
        source_hash: of the files handed in.
        commitment: SHA-256 of the seed, None for judgements made before there was one.
        full_sha256: of the canonical full view; empty in that view itself.
    """

    format: Literal["opjudge-record-1"] = "opjudge-record-1"
    view: Literal["full", "public"]
    submission_id: UUID
    judgement_id: UUID
    attempt: int
    number: int
    user: str
    problem: str
    version: str
    device: str
    mode: Mode
    language: Language
    source_hash: str
    submitted_at: datetime
    judged_at: datetime | None
    commitment: str | None
    result: JudgementResult
    full_sha256: str = ""


class Signature(Wire):
    """Attributes:
    key: the public key, base64; who trusts it has it from elsewhere.
    value: over the canonical record, base64.
    """

    algorithm: Literal["Ed25519"] = "Ed25519"
    key: str
    value: str


class SignedRecord(Wire):
    """A record as it is handed out."""

    record: Record
    signature: Signature


class PublicKey(Wire):
    """A key the service signs with; `key` is base64."""

    algorithm: Literal["Ed25519"] = "Ed25519"
    key: str


class Keys(Wire):
    """The answer of `/api/v1/keys`."""

    keys: tuple[PublicKey, ...]


def commitment_to(seed: str) -> str:
    """SHA-256, in hex, of the bytes of a seed in hex. Raises ValueError if it is not hex."""
    return hashlib.sha256(bytes.fromhex(seed)).hexdigest()


def canonical(document: Any) -> bytes:
    """The one way to write a JSON document: sorted keys, no spaces, UTF-8, shortest numbers."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def signed_bytes(record: Any) -> bytes:
    """What the signature covers; the prefix keeps it from being taken for anything else's."""
    return b"opjudge-record-1\n" + canonical(record)


def full_view(record: Record) -> Record:
    """Without the texts that are its author's alone: no score follows from them."""
    runs = (run.model_copy(update={"message": "", "error": None}) for run in record.result.runs)
    private = {"message": "", "log": "", "stdout": "", "runs": tuple(runs)}
    result = record.result.model_copy(update=private)
    return record.model_copy(update={"view": "full", "result": result, "full_sha256": ""})


def public_view(record: Record) -> Record:
    """The same without what is secret about hidden workloads, bound to the full view."""
    full = full_view(record)
    # Without the seed in it the full view could be guessed at.
    digest = sha256_of(full) if full.result.seed else ""
    runs = tuple(redacted(r, i) if r.hidden else r for i, r in enumerate(full.result.runs))
    shown = {"runs": runs, "seed": "", **aliased(full.result)}
    result = full.result.model_copy(update=shown)
    return full.model_copy(update={"view": "public", "result": result, "full_sha256": digest})


def sha256_of(record: Record) -> str:
    """Of the canonical form without what has its default, in hex.

    So a field that a later version adds does not make earlier records disagree.
    """
    return hashlib.sha256(
        canonical(record.model_dump(mode="json", exclude_defaults=True))
    ).hexdigest()


def aliased(result: JudgementResult) -> dict[str, Any]:
    """The fields outside the runs that name workloads, hidden ones under the name people see."""
    alias = {run.workload: _alias(i) for i, run in enumerate(result.runs) if run.hidden}
    return {
        "quarantine": tuple(alias.get(name, name) for name in result.quarantine),
        "drift": tuple(
            drift.model_copy(update={"workload": alias.get(drift.workload, drift.workload)})
            for drift in result.drift
        ),
    }


def _alias(position: int) -> str:
    return f"hidden-{position + 1}"


def redacted(run: Run, position: int) -> Run:
    """A hidden workload's run, without what tells its name, its shape or what was computed."""
    return run.model_copy(
        update={
            "workload": _alias(position),
            "dims": {},
            "attributes": {},
            "message": "",
            "error": None,
            "gflops": None,
            "gbps": None,
            "roofline": None,
            "margins": {},
            "starts": (),
            "candidate_samples_ns": (),
            "baseline_samples_ns": (),
        }
    )
