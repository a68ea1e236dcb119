"""Collecting files: only what is plainly a file, whatever was put in its place."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.base import Command
from sandbox.bubblewrap import Bubblewrap
from sandbox.descriptors import (
    collect,
    memory_file,
    open_beneath,
    open_directory,
    read_at_most,
    safe_name,
)
from sandbox.outcome import Status
from tests.sandbox.conftest import LIMITS, shell


@pytest.fixture
def place(tmp_path: Path, closing: list[int]) -> tuple[Path, int]:
    (tmp_path / "secret").write_text("answers")
    work = tmp_path / "work"
    work.mkdir()
    fd = open_directory(str(work))
    closing.append(fd)
    return work, fd


def test_a_plain_file_is_collected(place: tuple[Path, int]) -> None:
    work, fd = place
    (work / "deep").mkdir()
    (work / "deep" / "result").write_bytes(b"\0data")
    assert collect(fd, ["deep/result", "absent"], 100) == {"deep/result": b"\0data"}


@pytest.mark.parametrize("target", ["/etc/hostname", "../secret", "own"])
def test_a_link_is_not_followed(place: tuple[Path, int], target: str) -> None:
    work, fd = place
    (work / "own").write_text("mine")
    (work / "result").symlink_to(target)
    assert collect(fd, ["result"], 1000) == {}
    # The naive way would have followed it.
    naive = os.open("result", os.O_RDONLY, dir_fd=fd)
    assert os.read(naive, 100) != b""
    os.close(naive)


def test_a_link_on_the_way_is_not_followed(place: tuple[Path, int]) -> None:
    work, fd = place
    (work / "out").symlink_to("..")
    with pytest.raises(OSError, match="secret"):
        open_beneath(fd, "out/secret")
    assert collect(fd, ["out/secret"], 1000) == {}


def test_a_fifo_does_not_block(place: tuple[Path, int]) -> None:
    work, fd = place
    os.mkfifo(work / "result")
    assert collect(fd, ["result"], 1000) == {}


def test_a_directory_is_left_out(place: tuple[Path, int]) -> None:
    work, fd = place
    (work / "result").mkdir()
    assert collect(fd, ["result"], 1000) == {}


@pytest.mark.parametrize(("size", "kept"), [(10, True), (11, False)])
def test_a_file_over_the_limit_is_left_out(place: tuple[Path, int], size: int, kept: bool) -> None:
    work, fd = place
    (work / "result").write_bytes(b"x" * size)
    assert bool(collect(fd, ["result"], 10)) == kept


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\0b"])
def test_bad_names_are_refused(place: tuple[Path, int], name: str) -> None:
    with pytest.raises(ValueError, match="plain relative"):
        safe_name(name)
    with pytest.raises(ValueError, match="plain relative"):
        collect(place[1], [name], 10)


def test_memory_files_and_reading(closing: list[int]) -> None:
    fd = memory_file("x", b"abcdef")
    closing.append(fd)
    assert not os.get_inheritable(fd)
    assert os.read(fd, 3) == b"abc"
    assert read_at_most(fd, 4) == b"abcd"
    assert read_at_most(fd, 99) == b"abcdef"


PLANTS = {
    "link": "ln -s /etc/hostname result",
    "link to own": "echo x >real; ln -s real result",
    "link to device": "ln -s /dev/zero result",
    "fifo": "mkfifo result",
    "directory": "mkdir result",
    "nothing": "true",
}


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_planted_in_a_sandbox_does_not_come_out(box: Bubblewrap, plant: str) -> None:
    outcome = box.run(shell(PLANTS[plant], collect=["result"]), LIMITS)
    assert outcome.files == {}


def test_a_file_cannot_grow_over_the_limit_in_the_first_place(box: Bubblewrap) -> None:
    limits = replace(LIMITS, file_bytes=1 << 20)
    outcome = box.run(shell("head -c 2M /dev/zero >result", collect=["result"]), limits)
    assert outcome.status is Status.FILE_LIMIT
    assert len(outcome.files["result"]) <= 1 << 20


def test_files_go_in_and_come_out(box: Bubblewrap) -> None:
    files = {"a": b"1\n", "deep/er/b": bytes(range(256)), "-c": b"", "with space": b"2"}
    script = "cat a >out; cat deep/er/b >deep/er/out; ls >list"
    command = Command(["sh", "-c", script], files=files, collect=["out", "deep/er/out", "list"])
    outcome = box.run(command, LIMITS)
    assert outcome.status is Status.OK, outcome
    assert outcome.files["out"] == b"1\n"
    assert outcome.files["deep/er/out"] == bytes(range(256))
    assert set(outcome.files["list"].decode().splitlines()) >= {"a", "deep", "-c", "with space"}


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_a_file_cannot_be_put_elsewhere(box: Bubblewrap, name: str) -> None:
    with pytest.raises(ValueError, match="plain relative"):
        box.run(Command(["true"], files={name: b""}), LIMITS)
