"""Finals: everybody on the same new inputs, compared within blocks, ties by differences."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from judge import finals
from judge.cli import app
from judge.errors import UserError
from judge.finals import Block, Finalist, difference, hold, place
from judge.package import Package
from judge.source import parse_upload
from judge.verdict import Verdict
from judge.wire import Interval, Progress
from sandbox.base import Sandbox
from tests.fixtures import write_package
from tests.judge.conftest import QUICK
from tests.judge.samples import make_result

HONEST = b"""#!OPJUDGE arrays=numpy
import numpy as np
def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
"""
SLOW = HONEST.replace(b"    np.multiply", b"    for _ in range(8): np.multiply")
WRONG = HONEST.replace(b"1 + eps", b"2 + eps")


def block(**speeds: float | Verdict) -> Block:
    results = {}
    for name, speed in speeds.items():
        if isinstance(speed, Verdict):
            results[name] = make_result(speed, score=None)
        else:
            score = Interval(value=speed, low=speed * 0.99, high=speed * 1.01)
            results[name] = make_result(score=score)
    return Block(seed="00", order=tuple(speeds), results=results)


def ranks(*blocks: Block) -> Mapping[str, int | None]:
    return {p.name: p.rank for p in place(list(blocks[0].order), blocks)}


def test_a_difference_in_every_block_shows_however_much_blocks_differ() -> None:
    """The machine was half as fast in one block; the difference within it is the same."""
    blocks = [block(ada=s * 1.05, bob=s) for s in (2.0, 1.0, 2.02, 1.98)]
    assert ranks(*blocks) == {"ada": 1, "bob": 2}
    placings = place(["bob", "ada"], blocks)
    assert placings[0].name == "ada"
    assert placings[0].behind is None
    assert placings[1].behind is not None
    assert placings[1].behind.value == pytest.approx(1.05)


def test_what_changes_from_block_to_block_is_a_tie() -> None:
    blocks = [block(ada=2.0, bob=1.8), block(ada=2.0, bob=2.1), block(ada=2.1, bob=1.9)]
    assert ranks(*blocks) == {"ada": 1, "bob": 1}


def test_less_than_the_margin_is_a_tie_and_the_rank_after_it_is_skipped() -> None:
    blocks = [block(ada=s * 1.01, bob=s, eve=s / 2) for s in (2.0, 2.1, 2.2)]
    assert ranks(*blocks) == {"ada": 1, "bob": 1, "eve": 3}


def test_who_failed_once_has_no_rank() -> None:
    blocks = [block(ada=2.0, bob=1.0), block(ada=2.0, bob=1.0), block(ada=Verdict.WA, bob=1.0)]
    placings = place(["ada", "bob"], blocks)
    assert [(p.name, p.rank, p.failed) for p in placings] == [("bob", 1, ""), ("ada", None, "WA")]


def test_the_interval_of_a_difference_is_students() -> None:
    found = difference([math.log(2.0), math.log(2.2), math.log(2.4)], [0.0, 0.0, 0.0])
    mean = math.log(2.0 * 2.2 * 2.4) / 3
    half = 4.303 * math.sqrt(sum((math.log(v) - mean) ** 2 for v in (2.0, 2.2, 2.4)) / 2 / 3)
    assert found.value == pytest.approx(math.exp(mean))
    assert found.low == pytest.approx(math.exp(mean - half))


def finalist(name: str, content: bytes) -> Finalist:
    return Finalist(name, parse_upload("s.py", content, limit_bytes=1 << 20))


def test_a_final_is_held_on_new_inputs_that_are_the_same_for_all(
    package: Package, sandbox: Sandbox
) -> None:
    told: Counter[tuple[int, str]] = Counter()

    def report(number: int, name: str, _progress: Progress) -> None:
        told[number, name] += 1

    entered = [finalist("slow", SLOW), finalist("fast", HONEST), finalist("wrong", WRONG)]
    final = hold(package, entered, sandbox, blocks=3, report=report, options=QUICK)
    assert [p.name for p in final.placings] == ["fast", "slow", "wrong"]
    assert [p.failed for p in final.placings] == ["", "", "WA"]
    assert len({b.seed for b in final.blocks}) == 3
    for held in final.blocks:
        assert sorted(held.order) == ["fast", "slow", "wrong"]
        assert {result.seed for result in held.results.values()} == {held.seed}
    assert set(told) == {(n, name) for n in range(3) for name in ("slow", "fast", "wrong")}


@pytest.mark.parametrize(
    ("names", "blocks", "words"),
    [(["a"], 3, "at least two"), (["a", "a"], 3, "different names"), (["a", "b"], 2, "3 blocks")],
)
def test_what_is_no_final_is_told(
    package: Package, sandbox: Sandbox, names: list[str], blocks: int, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        hold(package, [finalist(n, HONEST) for n in names], sandbox, blocks=blocks)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"a.py": 1.0, "b.py": 2.0}

    def stand_in(_package: Package, source: Any, *_args: Any, **_options: Any) -> Any:
        speed = speeds["b.py" if b"range(8)" in source.files[0].content else "a.py"]
        return make_result(score=Interval(value=speed, low=speed * 0.99, high=speed * 1.01))

    monkeypatch.setattr(finals, "judge", stand_in)
    folder = write_package(tmp_path / "row_scale")
    for name, content in (("a.py", HONEST), ("b.py", SLOW)):
        (tmp_path / name).write_bytes(content)
    files = [str(tmp_path / name) for name in speeds]
    done = CliRunner().invoke(app, ["finals", str(folder), *files, "--blocks", "3", "--json"])
    assert done.exit_code == 0, done.output
    placings = json.loads(done.stdout)["placings"]
    assert [(p["name"], p["rank"]) for p in placings] == [("b.py", 1), ("a.py", 2)]
    shown = CliRunner().invoke(app, ["finals", str(folder), *files, "--blocks", "3"])
    assert "speed-up" in shown.output
    again = CliRunner().invoke(app, ["finals", str(folder), files[0], files[0], "--json"])
    assert again.exit_code == 1
