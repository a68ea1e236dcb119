"""Zip files from strangers: known tricks are refused by name, junk is never a crash."""

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.archive import (
    Limits,
    check_paths,
    digest,
    ignored,
    looks_like_zip,
    path_fault,
    read_zip,
    strip_top_folder,
    write_zip,
)
from judge.errors import SubmissionError

LIMITS = Limits(total_bytes=1000, files=4)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
safe_names = st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}\.py", fullmatch=True)


def zipped(
    *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns about the duplicates we make on purpose
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return buffer.getvalue()


def member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def refusal(data: bytes, limits: Limits = LIMITS) -> SubmissionError:
    with pytest.raises(SubmissionError) as caught:
        read_zip(data, limits, SubmissionError)
    return caught.value


def test_plain_members() -> None:
    data = zipped(("a.py", b"1"), ("d/", b""), ("d/b.py", b"2"), method=zipfile.ZIP_DEFLATED)
    assert read_zip(data, LIMITS, SubmissionError) == {"a.py": b"1", "d/b.py": b"2"}
    assert looks_like_zip(data)


def test_an_empty_archive() -> None:
    assert looks_like_zip(zipped())
    assert read_zip(zipped(), LIMITS, SubmissionError) == {}


@pytest.mark.parametrize(
    "name",
    [
        "../a.py",
        "a/../../b.py",
        "/etc/passwd",
        "C:/a.py",
        "c:a.py",
        "a\\b.py",
        "a//b.py",
        "./a.py",
        "a/./b.py",
        "..",
        "../",
        "a\nb.py",
        "a\x1b[31m.py",
        "a\u202eyp.exe",
        "x" * 201,
        "é" * 150,
        "/",
    ],
)
def test_unsafe_names(name: str) -> None:
    error = refusal(zipped((name, b"x")))
    assert error.code == "unsafe-path"
    assert "\n" not in error.message
    assert "\x1b" not in error.message


def test_a_name_cut_by_a_nul() -> None:
    data = zipped(("a.py_evil", b"x")).replace(b"a.py_evil", b"a.py\0evil")
    assert refusal(data).code == "unsafe-path"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (["a.py", "a.py"], "duplicate-name"),
        (["a", "a/b.py"], "duplicate-name"),
        (["a/b.py", "a"], "duplicate-name"),
        (["a", "a/b/c.py"], "duplicate-name"),
        (["1", "2", "3", "4", "5"], "too-many-files"),
    ],
)
def test_sets_of_names(members: Sequence[str], expected: str) -> None:
    assert refusal(zipped(*((name, b"") for name in members))).code == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (stat.S_IFLNK | 0o777, "symlink"),
        (stat.S_IFIFO | 0o666, "special-file"),
        (stat.S_IFCHR | 0o666, "special-file"),
        (stat.S_IFSOCK | 0o666, "special-file"),
    ],
)
def test_members_that_are_not_plain_files(mode: int, expected: str) -> None:
    assert refusal(zipped((member("a.py", mode), b"/etc/passwd"))).code == expected
    assert refusal(zipped((member(".hidden", mode), b"/etc/passwd"))).code == expected


def test_litter_is_left_out_and_does_not_count() -> None:
    litter = [("__MACOSX/._a.py", b"x" * 900), (".DS_Store", b"x"), ("__pycache__/a.pyc", b"\0")]
    data = zipped(("a.py", b"y" * 900), *litter, (".git/config", b""), (".idea/x", b""))
    assert read_zip(data, LIMITS, SubmissionError) == {"a.py": b"y" * 900}


def test_the_size_is_checked_before_decompressing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*args: object) -> None:
        raise AssertionError("decompressed")

    data = zipped(("a.py", b"\0" * 1001), method=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zipfile.ZipFile, "open", unwanted)
    error = refusal(data)
    assert error.code == "too-large"
    assert "1001 bytes" in error.message
    assert "limit is 1000 bytes" in error.message


def test_sizes_add_up() -> None:
    assert refusal(zipped(("a", b"x" * 600), ("b", b"x" * 401))).code == "too-large"
    assert len(read_zip(zipped(("a", b"x" * 600), ("b", b"x" * 400)), LIMITS, SubmissionError)) == 2


def lie_about_size(data: bytes, size: int) -> bytes:
    """Declares another uncompressed size, in the local header and in the directory."""
    at = data.index(b"PK\x01\x02")
    changed = bytearray(data)
    struct.pack_into("<I", changed, 22, size)
    struct.pack_into("<I", changed, at + 24, size)
    return bytes(changed)


def test_a_bomb_that_declares_a_small_size() -> None:
    bomb = zipped(("a.py", b"\0" * 10_000_000), method=zipfile.ZIP_DEFLATED)
    assert refusal(lie_about_size(bomb, 10)).code == "corrupt-archive"


def test_a_member_shorter_than_declared() -> None:
    data = zipped(("a.py", b"x" * 10), method=zipfile.ZIP_DEFLATED)
    assert refusal(lie_about_size(data, 500)).code == "corrupt-archive"


def test_an_archive_larger_than_all_it_may_contain() -> None:
    assert refusal(b"PK\x03\x04" + b"\0" * 100_000).code == "too-large"


def test_a_directory_of_very_many_entries() -> None:
    data = zipped(*((f"{i}.py", b"") for i in range(20_000)))
    error = refusal(data, Limits(total_bytes=1 << 30, files=4))
    assert error.code == "too-many-files"
    assert "lists too many files" in error.message  # said before the entries were looked at


def test_an_encrypted_archive() -> None:
    data = bytearray(zipped(("a.py", b"x")))
    for at in (6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    error = refusal(bytes(data))
    assert error.code == "encrypted-archive"
    assert "without a password" in error.message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression(method: int) -> None:
    error = refusal(zipped(("a.py", b"x" * 100), method=method))
    assert error.code == "corrupt-archive"
    assert "plain zip" in error.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"not a zip",
        zipped(("a.py", b"x" * 50))[:-10],
        zipped(("a.py", b"x" * 50)).replace(b"xxxx", b"yyyy", 1),
    ],
    ids=["empty", "head", "tail", "text", "cut", "changed"],
)
def test_damaged_archives(data: bytes) -> None:
    assert refusal(data).code == "corrupt-archive"


@given(st.data())
def test_a_damaged_archive_is_an_error_or_stays_within_limits(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    whole = bytearray(zipped(("a.py", b"print(1)\n" * 20), ("d/b.py", b"2"), method=method))
    places = st.integers(0, len(whole) - 1)
    for at, byte in data.draw(st.dictionaries(places, st.integers(0, 255), max_size=6)).items():
        whole[at] = byte
    kept = (
        bytes(whole[: data.draw(st.integers(0, len(whole)))]) if data.draw(st.booleans()) else whole
    )
    try:
        files = read_zip(bytes(kept), LIMITS, SubmissionError)
    except SubmissionError:
        return
    assert sum(map(len, files.values())) <= LIMITS.total_bytes
    assert len(files) <= LIMITS.files
    assert all(path_fault(path) is None for path in files)


@given(st.binary(max_size=300).map(lambda tail: b"PK\x03\x04" + tail))
def test_junk_is_corrupt(data: bytes) -> None:
    assert refusal(data).code in ("corrupt-archive", "too-many-files")


@given(names)
def test_no_accepted_path_leaves_its_folder(name: str) -> None:
    if path_fault(name) is None:
        parts = name.split("/")
        assert ".." not in parts
        assert all(parts)
        assert all(len(part.encode()) <= 255 for part in parts)


@given(st.dictionaries(safe_names, st.binary(max_size=50), max_size=4))
def test_what_is_written_is_read_back(files: dict[str, bytes]) -> None:
    data = write_zip(files)
    assert read_zip(data, LIMITS, SubmissionError) == files
    assert write_zip(dict(reversed(files.items()))) == data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {info.date_time for info in archive.infolist()} <= {(1980, 1, 1, 0, 0, 0)}


def test_paths_of_a_plain_list() -> None:
    check_paths(["a.py", "b/a.py", "b/c.py"], SubmissionError)
    with pytest.raises(SubmissionError, match="both a file and a folder"):
        check_paths(["b", "b/c.py"], SubmissionError)


@pytest.mark.parametrize(
    ("paths", "stripped"),
    [
        (["top/a.py", "top/b/c.py"], ["a.py", "b/c.py"]),
        (["top/inner/a.py"], ["inner/a.py"]),
        (["a.py", "top/b.py"], ["a.py", "top/b.py"]),
        (["one/a.py", "two/b.py"], ["one/a.py", "two/b.py"]),
        (["a.py"], ["a.py"]),
        ([], []),
    ],
)
def test_strip_top_folder(paths: list[str], stripped: list[str]) -> None:
    assert list(strip_top_folder(dict.fromkeys(paths, b""))) == stripped


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.py", False),
        ("a/b.py", False),
        (".a.py", True),
        ("a/.b/c.py", True),
        ("a/__pycache__/b.pyc", True),
        ("__MACOSX/a.py", True),
        ("__init__.py", False),
    ],
)
def test_ignored(path: str, expected: bool) -> None:
    assert ignored(path) is expected


def test_digests_do_not_run_together() -> None:
    digests = [
        digest({"a": b"bc"}),
        digest({"ab": b"c"}),
        digest({"a": b"", "bc": b""}),
        digest({}, "a", "bc"),
        digest({}, "abc"),
        digest({"a": b"bc"}, ""),
        digest({}),
    ]
    assert len(set(digests)) == len(digests)
    assert digest({"a": b"1", "b": b"2"}) == digest({"b": b"2", "a": b"1"})
