"""Workloads that are declared cold find nothing of theirs in the caches."""

from pathlib import Path

import pytest

from judge.arena import Arena
from judge.caches import Caches, largest_bytes
from judge.errors import ProblemError
from judge.package import load_package
from judge.verdict import Mode, Verdict
from tests.fixtures import write_package
from tests.judge.conftest import NUMPY_BASELINE, Judge

HONEST = "def solve(x, y, eps): np.multiply(x, np.float32(1 + eps), out=y)"


def test_the_largest_cache_counts(tmp_path: Path) -> None:
    assert largest_bytes(tmp_path) == 64 << 20
    for index, size in enumerate(("32K", "1024K", "16M", "odd")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert largest_bytes(tmp_path) == 16 << 20


def test_a_flush_goes_over_more_than_the_caches_hold() -> None:
    caches = Caches()
    for times in (1, 2):
        caches.flush()
        assert caches._other is not None
        assert caches._other.nbytes >= largest_bytes()
        assert (caches._other == times).all()


@pytest.mark.parametrize("cache", ["hot", "cold"])
def test_cold_workloads_are_flushed_and_hot_ones_warmed(
    cache: str, tmp_path: Path, judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = ("timed: true}", f"timed: true, cache: {cache}}}")
    files = {"baseline.py": NUMPY_BASELINE}
    package = load_package(write_package(tmp_path / "row_scale", declared, files=files))
    done: list[str] = []
    monkeypatch.setattr(Caches, "flush", lambda _: done.append("cold"))
    monkeypatch.setattr(Arena, "warm", lambda *_: done.append("hot"))
    result = judged(HONEST, mode=Mode.BENCHMARK, package=package)
    assert result.verdict is Verdict.AC
    timed = [run for run in result.runs if run.timed]
    assert {run.cache for run in timed} == {cache}
    assert done.count(cache) >= 2 * sum(len(run.candidate_samples_ns) for run in timed)
    assert ("cold" in done) == (cache == "cold")


def test_another_word_is_refused(tmp_path: Path) -> None:
    declared = ("timed: true}", "timed: true, cache: warm}")
    with pytest.raises(ProblemError, match="hot"):
        load_package(write_package(tmp_path / "row_scale", declared))
