"""The option lists: what would be shown, to whom, and what is refused."""

import os
import socket
import sys
from pathlib import Path

import pytest

from sandbox import identity, jail
from sandbox.base import Command, SandboxError
from sandbox.identity import Identity
from sandbox.limits import Limits


def pairs(options: list[str], kind: str) -> list[tuple[str, str]]:
    return [(options[i + 1], options[i + 2]) for i, word in enumerate(options) if word == kind]


def test_the_system_is_shown_read_only() -> None:
    options = jail.system_mounts()
    assert "--bind" not in options
    assert ("/usr", "/usr") in pairs(options, "--ro-bind")
    shown = {
        target for kind in ("--ro-bind", "--ro-bind-try") for _, target in pairs(options, kind)
    }
    assert not shown & {"/", "/etc", "/proc", "/sys", "/home", "/root", "/var", "/dev", "/run"}


def test_only_outermost_interpreter_directories_are_mounted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "inner"))
    paths = jail.interpreter_paths()
    assert tmp_path in paths
    assert tmp_path / "inner" not in paths
    assert not any(path.is_relative_to("/usr") for path in paths)


def test_a_python_at_the_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/")
    with pytest.raises(SandboxError, match="virtual environment"):
        jail.interpreter_paths()


def test_a_private_python_is_refused_to_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SandboxError, match=r"chmod o\+rx"):
        jail.interpreter_mounts(())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert str(tmp_path) in jail.interpreter_mounts(())


def test_only_what_is_mounted_needs_hiding(tmp_path: Path) -> None:
    inside = Path(jail.interpreter_paths()[0] if jail.interpreter_paths() else "/usr") / "lib"
    options = jail.interpreter_mounts([tmp_path, inside, Path("/nonexistent")])
    assert str(tmp_path) not in options
    at = options.index("--remount-ro")
    assert options[at - 2 : at + 2] == ["--tmpfs", str(inside), "--remount-ro", str(inside)]


def test_one_quota_for_everything_that_can_be_written() -> None:
    options = jail.private_mounts(Limits(file_bytes=12345))
    assert options.count("--tmpfs") == 1
    assert options[options.index("--size") + 1] == "12345"
    links = pairs(options, "--symlink")
    assert links == [("work/.tmp", "/tmp"), ("../work/.shm", "/dev/shm")]


def test_the_environment_follows_the_cores() -> None:
    none = jail.environment(Command(["x"]))
    two = jail.environment(Command(["x"], cores=[0, 3], environment={"HOME": "/h"}))
    assert "OMP_NUM_THREADS" not in none
    assert two["OMP_NUM_THREADS"] == two["OPENBLAS_NUM_THREADS"] == "2"
    assert (none["HOME"], two["HOME"]) == ("/work", "/h")


def test_a_module_of_the_harness_is_run_with_this_python() -> None:
    command = Command(("a", "b"), module="sandbox.harness.source")
    assert jail.needs_python(command)
    argv = jail.command_line(command)
    assert argv[0] == sys.executable
    assert "-I" in argv
    assert argv[-2:] == ["a", "b"]
    assert jail.HARNESS_ROOT in argv[-3]
    assert (jail.package_root() / "sandbox" / "harness" / "source.py").exists()


def test_any_other_program_is_run_as_it_is() -> None:
    command = Command(("/bin/ls", "-l"))
    assert not jail.needs_python(command)
    assert jail.command_line(command) == ["/bin/ls", "-l"]


def test_an_ordinary_user_is_mapped_by_bwrap_alone() -> None:
    who = Identity(root=False)
    assert who.options() == ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    assert (who.passed, who.prefix) == ([], "")


def test_root_is_dropped_to_nobody() -> None:
    who = Identity(root=True)
    assert "--reuid=65534" in who.prefix
    assert "--bounding-set=-all" in who.prefix
    assert str(who.passed[0]) in who.options()
    who.close()
    assert who.passed == []


def test_root_without_setpriv_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SandboxError, match="setpriv"):
        Identity(root=True)


def test_users_that_cannot_be_mapped_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_child_pid", lambda _: 2**22 + 1)
    who = Identity(root=True)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(SandboxError, match="ordinary user"):
        who.establish(ours)
    who.close()


def test_a_bwrap_that_died_early_is_left_to_its_own_message() -> None:
    who = Identity(root=True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        who.establish(ours)  # nobody holds the other end of the pipe
    who.close()
