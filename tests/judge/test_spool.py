"""Results that wait for the service, on disk."""

import errno
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from judge.spool import Spool, Undelivered
from tests.judge.samples import make_result


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def undelivered(judgement_id: UUID | None = None, token: str = "lease") -> Undelivered:
    return Undelivered(
        judgement_id=judgement_id or uuid4(), lease_token=token, result=make_result(seed="ff")
    )


def test_what_is_put_in_comes_out_whole(spool: Spool, tmp_path: Path) -> None:
    kept = [undelivered(), undelivered()]
    for item in kept:
        spool.put(item)
    again = Spool(tmp_path / "spool")
    assert sorted(again, key=lambda u: u.judgement_id) == sorted(kept, key=lambda u: u.judgement_id)


def test_a_spool_that_was_never_used_is_empty(spool: Spool) -> None:
    assert list(spool) == []


def test_what_is_removed_is_gone_and_removing_twice_is_harmless(spool: Spool) -> None:
    item = undelivered()
    spool.put(item)
    spool.remove(item.judgement_id)
    spool.remove(item.judgement_id)
    assert list(spool) == []


def test_one_judgement_is_kept_once(spool: Spool) -> None:
    first = undelivered(token="old")
    spool.put(first)
    spool.put(undelivered(first.judgement_id, token="new"))
    assert [u.lease_token for u in spool] == ["new"]


def test_a_half_written_file_is_not_a_result(spool: Spool, tmp_path: Path) -> None:
    item = undelivered()
    spool.put(item)
    (tmp_path / "spool" / f"{uuid4()}.draft").write_text('{"judgement_id":')
    assert list(spool) == [item]


def test_a_damaged_file_is_set_aside_for_a_person(spool: Spool, tmp_path: Path) -> None:
    item = undelivered()
    spool.put(item)
    (tmp_path / "spool" / "0.json").write_text("{}")
    assert list(spool) == [item]
    assert (tmp_path / "spool" / "0.bad").read_text() == "{}"
    assert list(spool) == [item]


def test_a_full_disk_is_told_and_left_as_it_was(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("judge.spool.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        spool.put(undelivered())
    assert list((tmp_path / "spool").iterdir()) == []
