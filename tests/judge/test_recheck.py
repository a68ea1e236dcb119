"""Records prove themselves: whatever is changed in one is told, with and without a signature."""

import hashlib
import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from judge.cli import app
from judge.errors import UserError
from judge.pooling import pooled
from judge.recheck import Recheck, recheck
from judge.record import Record, canonical, full_view, public_view, sha256_of
from judge.signing import load_signer
from judge.wire import CpuUse, Interval, JudgementResult, Standings, StandingsEntry
from tests.judge.recorded import Desk, make_record, make_result, make_run
from tests.judge.samples import SUBMISSION_ID

Change = Callable[[Any], None]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, load_signer(tmp_path / "signing.key"))


@pytest.fixture(scope="module")
def result() -> JudgementResult:
    return make_result(
        make_run("large", factor=2.0), make_run("secret", factor=1.5, rounds=45, hidden=True)
    )


def outcomes(found: Recheck) -> dict[str, str]:
    return {check.name: check.outcome for check in found.checks}


def test_a_full_record_agrees_in_everything(desk: Desk, result: JudgementResult) -> None:
    found = recheck(desk.full(result), desk.keys)

    assert found.ok
    assert outcomes(found) == dict.fromkeys(("signature", "figures", "commitment"), "agrees")


def _sample(record: Any) -> None:
    record["result"]["runs"][0]["candidate_samples_ns"] = [
        n * 9 // 10 for n in record["result"]["runs"][0]["candidate_samples_ns"]
    ]


def _one_sample(record: Any) -> None:
    samples = record["result"]["runs"][0]["candidate_samples_ns"]
    samples[samples.index(min(samples))] -= 1


def _score(record: Any) -> None:
    record["result"]["score"]["value"] *= 1.0001


def _interval(record: Any) -> None:
    record["result"]["score"]["low"] *= 0.999


def _speedup(record: Any) -> None:
    record["result"]["runs"][1]["speedup"]["high"] *= 1.001


def _latency(record: Any) -> None:
    record["result"]["runs"][0]["latency_ns"] += 1.0


def _overhead(record: Any) -> None:
    record["result"]["overhead"]["low_ns"] += 100.0


def _weight(record: Any) -> None:
    record["result"]["runs"][0]["weight"] = 3.0


def _clamp(record: Any) -> None:
    record["result"]["formula"]["max_speedup"] = 1.2


def _old_formula(record: Any) -> None:
    record["result"]["formula"]["version"] = 99


def _dropped_round(record: Any) -> None:
    record["result"]["runs"][0]["candidate_samples_ns"].pop()


def _failed_run(record: Any) -> None:
    record["result"]["runs"][0]["verdict"] = "WA"


def _impossible_processes(record: Any) -> None:
    record["result"]["runs"][0]["starts"] = [5, 3]


def _process_after_the_end(record: Any) -> None:
    rounds = len(record["result"]["runs"][0]["candidate_samples_ns"])
    record["result"]["runs"][0]["starts"] = [0, rounds]


def _no_formula(record: Any) -> None:
    record["result"]["formula"] = None


FIGURES: tuple[Change, ...] = (
    _sample, _one_sample, _score, _interval, _speedup, _latency, _overhead, _weight, _clamp,
    _old_formula, _dropped_round, _failed_run, _no_formula, _impossible_processes,
    _process_after_the_end,
)  # fmt: skip


@pytest.mark.parametrize("change", FIGURES)
def test_a_changed_figure_is_told(desk: Desk, result: JudgementResult, change: Change) -> None:
    """Both by the signature, and by the arithmetic where the service itself would lie."""
    by_others = recheck(desk.forge(desk.full(result), change), desk.keys)
    by_the_service = recheck(desk.forge(desk.full(result), change, sign=True), desk.keys)

    assert not by_others.ok
    assert outcomes(by_others)["signature"] == "disagrees"
    assert not by_the_service.ok
    assert outcomes(by_the_service) == {
        "signature": "agrees",
        "figures": "disagrees",
        "commitment": "agrees",
    }


def test_what_no_figure_depends_on_is_held_by_the_signature_alone(
    desk: Desk, result: JudgementResult
) -> None:
    """The signature's own teeth: without it this change would go through."""

    def rename(record: Any) -> None:
        record["user"] = "mallory"

    found = recheck(desk.forge(desk.full(result), rename), desk.keys)

    assert outcomes(found) == {
        "signature": "disagrees",
        "figures": "agrees",
        "commitment": "agrees",
    }


def test_a_wrong_key_is_told(desk: Desk, result: JudgementResult, tmp_path: Path) -> None:
    other = Desk(tmp_path, load_signer(tmp_path / "other.key"))
    own = other.full(result)

    assert recheck(own, other.keys).ok
    desk = Desk(tmp_path, desk.signer)
    found = recheck(own, desk.keys)
    assert not found.ok
    assert "none of those" in found.checks[0].detail


def test_without_a_key_nobody_knows_whose_record_it_is(desk: Desk, result: JudgementResult) -> None:
    found = recheck(desk.full(result))

    assert found.ok
    assert outcomes(found)["signature"] == "open"


def test_a_seed_other_than_the_one_committed_to_is_told(
    desk: Desk, result: JudgementResult
) -> None:
    def reseed(record: Any) -> None:
        record["result"]["seed"] = "00" * 32

    found = recheck(desk.forge(desk.full(result), reseed, sign=True), desk.keys)

    assert outcomes(found)["commitment"] == "disagrees"


def test_a_public_record_hides_what_is_hidden_and_still_proves_the_score(
    desk: Desk, result: JudgementResult
) -> None:
    path = desk.public(result)
    text = path.read_text()
    found = recheck(path, desk.keys)

    assert found.ok
    assert outcomes(found) == {"signature": "agrees", "figures": "open", "commitment": "open"}
    assert "hidden-2" in text
    for secret in ("secret", result.seed, str(result.runs[1].candidate_samples_ns[0]), "alone"):
        assert secret not in text
    assert json.loads(text)["record"]["result"]["runs"][1]["dims"] == {}


def test_a_public_record_whose_score_does_not_follow_is_told(
    desk: Desk, result: JudgementResult
) -> None:
    for change in (_score, _sample):
        found = recheck(desk.forge(desk.public(result), change, sign=True), desk.keys)
        assert outcomes(found)["figures"] == "disagrees"


def test_what_was_secret_cannot_be_changed_before_it_is_published(
    desk: Desk, result: JudgementResult
) -> None:
    earlier, honest = desk.public(result), desk.full(result)
    assert outcomes(recheck(honest, desk.keys, earlier=earlier))["earlier record"] == "agrees"

    secret = make_run("secret", factor=1.5, rounds=46, hidden=True)
    other = desk.full(make_result(make_run("large", factor=2.0), secret))
    found = recheck(other, desk.keys, earlier=earlier)
    assert outcomes(found)["figures"] == "agrees"
    assert outcomes(found)["earlier record"] == "disagrees"


def test_without_a_seed_there_is_no_digest_to_guess_at(result: JudgementResult) -> None:
    seedless = make_record(result.model_copy(update={"seed": ""}))
    assert public_view(seedless).full_sha256 == ""


# --- files that are not records -------------------------------------------------------------


def test_a_truncated_file_is_told(desk: Desk, result: JudgementResult) -> None:
    path = desk.full(result)
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="not whole"):
            recheck(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"record": {}, "signature": {}}', "null", "\xff"])
def test_something_else_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"r\.json"):
        recheck(path)


def test_an_unknown_key_in_a_record_is_no_place_to_hide(
    desk: Desk, result: JudgementResult
) -> None:
    def add(record: Any) -> None:
        record["note"] = "and ada wins"

    with pytest.raises(UserError, match="note"):
        recheck(desk.forge(desk.full(result), add))


# --- the rank -------------------------------------------------------------------------------


def make_board(own: Interval, *others: float, rank: int) -> str:
    entries = [_entry(SUBMISSION_ID, "ada", own, rank)]
    above = sum(value > own.value for value in others)
    for i, value in enumerate(others):
        score = Interval(value=value, low=value * 0.999, high=value * 1.001)
        place = 1 + sum(v > value for v in others) + (own.value > value)
        entries.insert(above if value < own.value else 0, _entry(uuid4(), f"p{i}", score, place))
    baseline = _entry(None, "baseline", Interval(value=1, low=1, high=1), None)
    board = Standings(
        problem="row_scale",
        device="cpu",
        score_unit="speed-up",
        updated_at=None,
        entries=(*entries, baseline),
    )
    return board.model_dump_json()


def _entry(
    submission_id: UUID | None, name: str, score: Interval, rank: int | None
) -> StandingsEntry:
    return StandingsEntry(
        rank=rank,
        name=name,
        kind="user" if rank else "baseline",
        submission_id=submission_id,
        language=None,
        score=score,
        latency_ns=None,
        attempts=1,
        submitted_at=None,
    )


def test_the_rank_follows_from_the_board(desk: Desk, result: JudgementResult) -> None:
    assert result.score is not None
    board = desk.folder / "board.json"
    board.write_text(make_board(result.score, 5.0, 1.1, rank=2))

    found = recheck(desk.full(result), desk.keys, board)

    assert found.ok, found
    assert found.rank == 2


def test_a_wrong_rank_or_another_score_on_the_board_is_told(
    desk: Desk, result: JudgementResult
) -> None:
    assert result.score is not None
    board = desk.folder / "board.json"
    board.write_text(make_board(result.score, 5.0, 1.1, rank=1))
    wrong_rank = recheck(desk.full(result), desk.keys, board)
    assert outcomes(wrong_rank)["board"] == "disagrees"

    better = result.score.model_copy(update={"value": 2.4, "high": 2.5})
    board.write_text(make_board(better, 5.0, 1.1, rank=2))
    other_score = recheck(desk.full(result), desk.keys, board)
    assert outcomes(other_score)["board"] == "agrees"
    assert outcomes(other_score)["rank"] == "disagrees"


def test_what_is_no_board_is_told(desk: Desk, result: JudgementResult) -> None:
    board = desk.folder / "board.json"
    for text in ("{}", "[]", '{"entries": [1]}', "{"):
        board.write_text(text)
        with pytest.raises(UserError, match="board"):
            recheck(desk.full(result), desk.keys, board)


# --- the key --------------------------------------------------------------------------------


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "signing.key"
    keys: list[str] = []
    threads = [
        threading.Thread(target=lambda: keys.append(load_signer(path).public.key)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["signing.key"]


def test_a_damaged_key_is_told_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_text("rubbish")
    with pytest.raises(UserError, match="restore it from a backup"):
        load_signer(path)
    assert path.read_text() == "rubbish"


# --- the command ----------------------------------------------------------------------------


def test_exit_codes_and_json(desk: Desk, result: JudgementResult) -> None:
    path = desk.full(result)
    command = ["verify-record", str(path), "--key", str(desk.keys), "--json"]
    good = CliRunner().invoke(app, command)
    assert (good.exit_code, json.loads(good.stdout)["ok"]) == (0, True)

    desk.forge(path, _score)
    bad = CliRunner().invoke(app, command)
    assert (bad.exit_code, json.loads(bad.stdout)["ok"]) == (3, False)
    said = CliRunner().invoke(app, command[:-1]).stdout
    assert "the score is stated as" in said

    path.write_text(path.read_text()[:-5])
    assert CliRunner().invoke(app, command).exit_code == 1


def test_a_pooled_score_needs_the_records_of_all_its_judgings(
    desk: Desk, result: JudgementResult
) -> None:
    again = make_result(make_run("large", factor=2.2))
    record = make_record(again).model_copy(
        update={"submission_id": UUID(int=1), "judgement_id": UUID(int=2)}
    )
    other = desk.folder / "other.json"
    other.write_text(desk.signer.sign(full_view(record)).model_dump_json())
    assert result.score is not None
    assert again.score is not None
    document = json.loads(make_board(pooled([result.score, again.score]), 5.0, 1.1, rank=2))
    for entry in document["entries"]:
        entry["pooled"] = 2 if entry["submission_id"] == str(SUBMISSION_ID) else 1
    board = desk.folder / "board.json"
    board.write_text(json.dumps(document))

    alone = recheck(desk.full(result), desk.keys, board)
    assert outcomes(alone)["rank"] == "open"
    both = recheck(desk.full(result), desk.keys, board, others=[other])
    assert outcomes(both)["rank"] == "agrees"
    assert both.rank == 2
    twice = recheck(desk.full(result), desk.keys, board, others=[desk.full(result)])
    assert outcomes(twice)["rank"] == "disagrees"


def test_a_field_that_a_later_version_adds_changes_no_digest(result: JudgementResult) -> None:
    """As `cpu` was added: a record of before it has its default."""
    record = full_view(make_record(result))
    known = record.model_dump(mode="json")
    assert known["result"].pop("cpu") is None
    assert sha256_of(Record.model_validate(known)) == sha256_of(record)
    without = record.model_dump(mode="json", exclude_defaults=True)
    assert "cpu" not in without["result"]
    use = CpuUse(inside_ns=1, outside_ns=0, charged_ns=1)
    counted = make_record(result.model_copy(update={"cpu": use}))
    assert sha256_of(full_view(counted)) != sha256_of(record)
    plain = hashlib.sha256(canonical(without)).hexdigest()
    assert sha256_of(record) == plain
