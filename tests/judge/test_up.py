"""`opjudge up`, the parts: lock, port, socket path, environment. The whole is in tests/e2e."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from judge.defaults import local_url
from judge.errors import UserError
from judge.up import (
    SERVER,
    Running,
    UpOptions,
    _environment,
    _free_port,
    _locked,
    _socket_path,
    up,
)

RUNNING = Running(url="http://here:1", pid=os.getpid(), data_dir="d", queue="polling", worker=True)


@pytest.mark.parametrize("part", ["uvicorn", "torch"])
def test_a_bare_installation_is_told_what_it_lacks(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *_: None if name == part else find(name)
    )
    options = UpOptions(data_dir=tmp_path / "data")
    with pytest.raises(UserError, match=rf"needs {part}, .*opjudge\[embedded\]") as caught:
        up(options, lambda _running: None, lambda _line: None)
    assert caught.value.code == "missing-extra"
    assert not options.data_dir.exists()


def test_a_data_directory_belongs_to_one(tmp_path: Path) -> None:
    with _locked(tmp_path / "data") as announce:
        announce(RUNNING)
        with (
            pytest.raises(UserError, match=rf"process {os.getpid()}, http://here:1") as caught,
            _locked(tmp_path / "data"),
        ):
            pytest.fail("two on one data directory")
    assert caught.value.code == "already-running"


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with _locked(tmp_path) as announce:
            announce(RUNNING)


def test_one_that_is_not_up_yet_is_refused_as_well(tmp_path: Path) -> None:
    with (
        _locked(tmp_path),
        pytest.raises(UserError, match="already running"),
        _locked(tmp_path),
    ):
        pytest.fail("two on one data directory")


def test_children_do_not_hold_the_lock(tmp_path: Path) -> None:
    with _locked(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child, _locked(tmp_path):
        child.kill()


def test_a_data_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot use the data directory"),
        _locked(tmp_path / "file"),
    ):
        pytest.fail("a file is no directory")


def test_others_cannot_look_into_it(tmp_path: Path) -> None:
    with _locked(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_refused_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} .*--port") as caught:
            _free_port("127.0.0.1", port)
    assert caught.value.code == "port-taken"


def test_port_zero_is_any_free_one() -> None:
    assert _free_port("127.0.0.1", 0) > 0


def test_a_short_socket_path_lies_in_the_data_directory() -> None:
    assert _socket_path(Path("/data/valkey")) == Path("/data/valkey/valkey.sock")


def test_a_long_one_is_shortened_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    long, other = Path("/" + "x" * 120), Path("/" + "y" * 120)
    path = _socket_path(long)
    assert path == _socket_path(long)
    assert path != _socket_path(other)
    assert path.parent.parent == tmp_path
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_link_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = _socket_path(Path("/" + "x" * 120)).parent
    place.rmdir()
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="belongs to somebody else"):
        _socket_path(Path("/" + "x" * 120))


@pytest.mark.parametrize(
    ("host", "reachable"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.7", "10.0.0.7")],
)
def test_the_worker_reaches_a_server_that_listens_everywhere(host: str, reachable: str) -> None:
    assert local_url(host, 8000) == f"http://{reachable}:8000"


def test_children_are_told_everything_by_environment(tmp_path: Path) -> None:
    options = UpOptions(data_dir=tmp_path, host="0.0.0.0", device="h100", problems_dir=tmp_path)
    environment = _environment(options, 8001, "http://127.0.0.1:8001", "http://pub", "unix:///s")
    assert environment["OPJUDGE_URL"] == "http://127.0.0.1:8001"
    assert environment["OPJUDGE_PUBLIC_URL"] == "http://pub"
    assert environment["OPJUDGE_REDIS_URL"] == "unix:///s"
    assert environment["OPJUDGE_PORT"] == "8001"
    assert environment["OPJUDGE_DEVICE"] == "h100"
    assert environment["OPJUDGE_DATA_DIR"] == environment["OPJUDGE_PROBLEMS_DIR"] == str(tmp_path)


def test_children_run_this_code_and_not_what_lies_around(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("raise SystemExit('the wrong judge')")
    environment = {**os.environ, **_environment(UpOptions(), 1, "", "", None)}
    argv = [sys.executable, "-c", "import judge.defaults; print(judge.__file__)"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert b"wrong" not in done.stderr
    assert done.stdout.decode().strip().endswith("judge/__init__.py")


def test_the_server_is_named_not_imported() -> None:
    assert SERVER[1:] == ("-m", "leaderboard")
