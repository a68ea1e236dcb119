"""Units for systemd: systemd itself reads them, and they name what is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from judge.cli import app
from judge.systemd import FILES, UnitName, unit

OPJUDGE = Path(sys.executable).with_name("opjudge")
INSTANCE = {"server": FILES["server"], "worker": FILES["worker"].replace("@", "@cpu")}


@pytest.mark.parametrize("name", FILES)
def test_systemd_finds_nothing_wrong_with_it(name: UnitName, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "install the package systemd: it brings systemd-analyze"
    path = tmp_path / INSTANCE[name]
    path.write_text(unit(name))

    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    said = [line for line in (done.stdout + done.stderr).splitlines() if path.stem in line]
    assert (done.returncode, said) == (0, [])


def test_a_mistake_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / FILES["server"]
    path.write_text(unit("server").replace("Restart=always", "Restart=sometimes"))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ignoring: sometimes" in done.stderr


@pytest.mark.parametrize("name", FILES)
def test_it_starts_what_is_installed_and_holds_no_secret(name: UnitName) -> None:
    text = unit(name)
    assert f"ExecStart={OPJUDGE} {name}" in text
    assert OPJUDGE.exists()
    assert f"LoadCredential=opjudge:/etc/opjudge/{name}.secrets" in text


def test_a_worker_is_never_shown_the_database() -> None:
    assert "database" not in unit("worker")


def test_the_command_prints_a_unit_and_nothing_else() -> None:
    done = CliRunner().invoke(app, ["systemd", "server"])
    assert (done.exit_code, done.stdout) == (0, unit("server"))


def test_another_name_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(app, ["systemd", "queue"])
    assert done.exit_code == 1
    assert "server or worker" in done.stderr
