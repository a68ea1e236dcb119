"""Problem packages fetched once and kept by their hash."""

import shutil
from pathlib import Path

import pytest

from judge.cache import PackageCache
from judge.errors import InfrastructureError, ProblemError
from judge.package import Package, load_package, pack, pack_public
from tests.fixtures import write_package


@pytest.fixture
def original(tmp_path: Path) -> Package:
    return load_package(write_package(tmp_path / "original" / "row_scale"))


@pytest.fixture
def cache(tmp_path: Path) -> PackageCache:
    return PackageCache(tmp_path / "cache")


def never() -> bytes:
    pytest.fail("it is here already")


def test_a_package_is_fetched_once(cache: PackageCache, original: Package) -> None:
    first = cache.whole("row_scale", original.hash, lambda: pack(original))
    again = cache.whole("row_scale", original.hash, never)
    assert first == again
    assert first.hash == original.hash
    assert first.root != original.root


def test_another_hash_is_our_fault_and_is_forgotten(cache: PackageCache, original: Package) -> None:
    with pytest.raises(InfrastructureError, match="should have hash"):
        cache.whole("row_scale", "00" * 32, lambda: pack(original))
    with pytest.raises(InfrastructureError):
        cache.whole("row_scale", "00" * 32, lambda: pack(original))


def test_what_was_read_ahead_is_not_read_again(cache: PackageCache, original: Package) -> None:
    cache.read_ahead()  # there is not even a folder
    place = cache.whole("row_scale", original.hash, lambda: pack(original)).root
    cache.read_ahead()
    shutil.rmtree(place)
    assert cache.whole("row_scale", original.hash, never).hash == original.hash
    with pytest.raises(ProblemError):
        cache.whole("renamed", original.hash, lambda: b"not a zip")


def test_a_damaged_copy_is_not_taken_for_the_package_when_read_ahead(
    cache: PackageCache, original: Package, tmp_path: Path
) -> None:
    place = cache.whole("row_scale", original.hash, lambda: pack(original)).root
    with (place / "reference.py").open("a") as file:
        file.write("# touched\n")
    cache.read_ahead()
    with pytest.raises(InfrastructureError):
        cache.whole("row_scale", original.hash, never)
    cache.whole("row_scale", original.hash, lambda: pack(original))
    (place / "problem.yaml").write_text("no problem")
    cache.read_ahead()
    # Nor does it keep another one from being read.
    smaller = ("{rows: 509, cols: 1021}", "{rows: 7, cols: 13}")
    other = load_package(write_package(tmp_path / "other" / "another", smaller))
    fetched = cache.whole("another", other.hash, lambda: pack(other)).root
    (cache._folder / ".unpack-left").mkdir()
    cache.read_ahead()
    shutil.rmtree(fetched)
    assert cache.whole("another", other.hash, never).hash == other.hash
    with pytest.raises(ProblemError):
        cache.whole("row_scale", original.hash, never)


def test_a_copy_damaged_on_disk_is_fetched_again(cache: PackageCache, original: Package) -> None:
    place = cache.whole("row_scale", original.hash, lambda: pack(original)).root
    with (place / "reference.py").open("a") as file:
        file.write("# touched\n")
    with pytest.raises(InfrastructureError):
        cache.whole("row_scale", original.hash, never)
    assert cache.whole("row_scale", original.hash, lambda: pack(original)).hash == original.hash


def test_the_public_part_has_a_hash_of_its_own(cache: PackageCache, original: Package) -> None:
    public = cache.public("row_scale", original.hash, lambda: pack_public(original))
    assert public.hash != original.hash
    assert [w.name for w in public.problem.workloads if w.hidden] == []
    assert cache.public("row_scale", original.hash, never) == public


def test_a_failed_fetch_leaves_nothing_behind(cache: PackageCache, original: Package) -> None:
    with pytest.raises(ProblemError):
        cache.whole("row_scale", original.hash, lambda: b"not a zip")
    assert cache.whole("row_scale", original.hash, lambda: pack(original)).hash == original.hash
