"""Packages travel whole, tell contestants nothing hidden, and arrive safely or not at all."""

import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from judge.archive import Limits, read_zip, write_zip
from judge.errors import ProblemError
from judge.package import Package, load_package, pack, pack_public, unpack
from tests.fixtures import REFERENCE, write_package

LIMITS = Limits(1 << 20, 100)
FILES = {
    "attachments/notes.txt",
    "baseline.py",
    "problem.yaml",
    "reference.py",
    "statement/problem.en.md",
    "statement/problem.zh.md",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "row_scale"


def test_a_pack_is_canonical_and_without_submissions(root: Path) -> None:
    package = load_package(write_package(root))
    data = pack(package)
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
    assert pack(load_package(root)) == data
    assert set(read_zip(data, LIMITS, ProblemError)) == FILES


def test_unpacking_gives_the_same_package(root: Path, tmp_path: Path) -> None:
    package = load_package(write_package(root))
    there = unpack(pack(package), tmp_path / "cache", "row_scale")
    assert there == replace(package, root=tmp_path / "cache" / "row_scale")
    assert load_package(there.root) == there
    assert os.listdir(tmp_path / "cache") == ["row_scale"]


def test_the_public_pack_does_not_tell_hidden_workloads(root: Path, tmp_path: Path) -> None:
    package = load_package(write_package(root))
    data = pack_public(package)
    for secret in (b"509", b"1021", b"secret", b"prime"):
        assert secret in pack(package)
        assert secret not in data
    public = unpack(data, tmp_path / "public", "row_scale")
    visible = tuple(w for w in package.problem.workloads if not w.hidden)
    assert public.problem == package.problem.model_copy(update={"workloads": visible})
    assert (public.reference, public.baseline) == (package.reference, package.baseline)
    assert public.hash != package.hash


@pytest.mark.parametrize("pack_it", [pack, pack_public])
def test_an_edited_package_is_not_packed_under_its_old_hash(
    root: Path, pack_it: Callable[[Package], bytes]
) -> None:
    package = load_package(write_package(root))
    (root / "reference.py").write_text("# other\n" + REFERENCE)
    with pytest.raises(ProblemError, match="edited since it was loaded"):
        pack_it(package)


def test_unpacking_twice_is_harmless(root: Path, tmp_path: Path) -> None:
    data = pack(load_package(write_package(root)))
    first = unpack(data, tmp_path / "cache", "row_scale")
    assert unpack(data, tmp_path / "cache", "row_scale") == first


def test_unpacking_never_replaces_something_else(root: Path, tmp_path: Path) -> None:
    data = pack(load_package(write_package(root)))
    other = write_package(tmp_path / "cache" / "row_scale", ("1.0.0", "1.0.1"))
    with pytest.raises(ProblemError) as caught:
        unpack(data, tmp_path / "cache", "row_scale")
    assert caught.value.code == "package-exists"
    assert load_package(other).problem.version == "1.0.1"
    assert os.listdir(tmp_path / "cache") == ["row_scale"]


def test_a_zipped_folder_is_taken_too(root: Path, tmp_path: Path) -> None:
    files = read_zip(pack(load_package(write_package(root))), LIMITS, ProblemError)
    data = write_zip({f"anything/{path}": content for path, content in files.items()})
    assert unpack(data, tmp_path / "cache", "row_scale").slug == "row_scale"


@pytest.mark.parametrize("slug", ["../evil", "", "/tmp", "Row", "a\n"])
def test_unpacking_under_a_bad_slug(tmp_path: Path, slug: str) -> None:
    with pytest.raises(ProblemError, match="cannot be the slug"):
        unpack(write_zip({"problem.yaml": b""}), tmp_path, slug)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "a\\b"])
def test_unpacking_hostile_paths(root: Path, tmp_path: Path, path: str) -> None:
    files = read_zip(pack(load_package(write_package(root))), LIMITS, ProblemError)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ProblemError) as caught:
        unpack(write_zip({**files, path: b"evil"}), tmp_path / "cache", "row_scale")
    assert caught.value.code == "unsafe-path"
    assert sorted(tmp_path.rglob("*")) == before


def test_unpacking_a_link(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("reference.py")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ProblemError) as caught:
        unpack(buffer.getvalue(), tmp_path, "row_scale")
    assert caught.value.code == "symlink"


def test_an_invalid_package_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"row_scale/problem\.yaml is missing"):
        unpack(write_zip({"reference.py": b""}), tmp_path, "row_scale")
    assert os.listdir(tmp_path) == []
