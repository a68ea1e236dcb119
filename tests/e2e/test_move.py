"""Moving a server that is judging to an empty machine, by a backup."""

from pathlib import Path

import pytest

from judge.verdict import Verdict
from tests.e2e.stack import BASELINE, SLOW, WRONG, running

pytestmark = pytest.mark.slow


def test_an_empty_machine_goes_on_where_the_backup_was_made(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    file, record = str(tmp_path / "backup.zip"), str(tmp_path / "record.json")
    with running(old) as stack:
        stack.register()
        ranked = stack.judged(stack.submit(BASELINE, "--mode", "ranked"))
        stack.json("record", str(ranked.id), "-o", record)
        busy = stack.submit(SLOW)
        waiting = stack.submit(WRONG, "--mode", "test")
        stack.being_judged(busy)
        stack.json("backup", file, "--data-dir", str(old / "data"))
        board = stack.json("leaderboard", "row_scale")
        assert stack.judged(busy).verdict is Verdict.AC, "and the old one was not disturbed"

    stack.json("restore", file, "--data-dir", str(new / "data"))
    with running(new) as again:
        found = again.json("leaderboard", "row_scale")
        assert [e for e in found["entries"] if e["kind"] == "user"] == [
            e for e in board["entries"] if e["kind"] == "user"
        ]
        assert again.judged(busy).verdict is Verdict.AC
        assert again.judged(waiting).verdict is Verdict.WA
        keys = str(tmp_path / "keys.json")
        again.json("keys", "-o", keys)
        assert again.json("verify-record", record, "--key", keys)["ok"] is True
        again.run("login", "ada")
        assert again.judged(again.submit(BASELINE, "--mode", "test")).verdict is Verdict.AC
