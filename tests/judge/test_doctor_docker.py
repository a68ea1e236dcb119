"""`opjudge doctor` with the docker back end, on machines that lack one thing each."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from judge import doctor, doctor_docker
from judge.requirement import State
from sandbox import docker_engine as engine_module
from sandbox.probes import PROBES
from tests.docker_engine import KERNEL_APART, Engine
from tests.judge.test_doctor import document, row, run, without

# The first run makes the image.
pytestmark = pytest.mark.timeout(900)

NAMES = {
    *("root", "docker's library", "Docker engine", "settings", "image", "runtimes"),
    *("seccomp", "Landlock", "real-time threads", "worker's libraries", "torch", "Valkey or Redis"),
}


@pytest.fixture
def chosen(docker_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that there has to be; torch is not really asked."""
    for name in [n for n in os.environ if n.startswith("OPJUDGE_")]:
        monkeypatch.delenv(name)
    if docker_engine.url is not None:
        monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    monkeypatch.setenv("OPJUDGE_SANDBOX", "docker")
    monkeypatch.setenv("OPJUDGE_DOCKER_IMAGE", docker_engine.image)
    monkeypatch.setattr(doctor, "_in_child", lambda _code, _timeout_s: ("", "there"))


def lacking(name: str, seen: str, **environment: str) -> dict[str, Any]:
    """The only row that is not met, which says so; then nothing is probed."""
    found = document(code=3, **environment)
    bad = [r["name"] for r in found["requirements"] if r["needed"] and r["state"] != "ok"]
    assert name in bad
    assert seen in row(found, name)["seen"]
    assert row(found, name)["remedy"]
    assert f"{name}: " in found["problem"]
    assert (found["probes"], found["level"]) == ([], None)
    return found


@pytest.mark.usefixtures("chosen")
def test_this_machine_really() -> None:
    found = document()
    assert {r["name"] for r in found["requirements"]} == NAMES
    assert [p["name"] for p in found["probes"]] == [probe.name for probe in PROBES]
    assert row(found, "image")["seen"].startswith("sha256:")
    assert "A worker would take jobs here." in run().stdout


@pytest.mark.usefixtures("chosen")
def test_builds_apart_are_looked_at() -> None:
    found = document(OPJUDGE_DOCKER_BUILD_RUNTIME=KERNEL_APART)
    assert row(found, "runtimes")["seen"] == f"runc; {KERNEL_APART} for builds"


@pytest.mark.usefixtures("chosen")
def test_no_engine(tmp_path: Path) -> None:
    found = lacking("Docker engine", "start dockerd", DOCKER_HOST=f"unix://{tmp_path}/none")
    assert row(found, "image")["state"] == "missing"


@pytest.mark.usefixtures("chosen")
def test_an_engine_that_one_may_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may use every socket: the kernel's refusal is played."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))

        def refused(_url: str) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(engine_module, "_knock", refused)
        url = f"unix://{tmp_path}/socket"
        lacking(
            "Docker engine", f"no permission to use the Docker engine at {url}", DOCKER_HOST=url
        )


@pytest.mark.usefixtures("chosen")
def test_no_image() -> None:
    lacking("image", "there is no image 'never:made'", OPJUDGE_DOCKER_IMAGE="never:made")
    lacking("image", "no image is named", OPJUDGE_DOCKER_IMAGE="")


@pytest.mark.usefixtures("chosen")
def test_no_runtime() -> None:
    lacking("runtimes", "has no runtime 'never'", OPJUDGE_DOCKER_BUILD_RUNTIME="never")
    lacking("runtimes", "a kernel of its own", OPJUDGE_DOCKER_RUNTIME=KERNEL_APART)
    lacking("runtimes", "for builds alone", OPJUDGE_DOCKER_BUILD_RUNTIME="runc")


@pytest.mark.usefixtures("chosen")
def test_settings_that_make_no_sense() -> None:
    lacking("settings", "OPJUDGE_DOCKER_DEVICES: '/dev/never'", OPJUDGE_DOCKER_DEVICES="/dev/never")
    lacking("settings", "OPJUDGE_DOCKER_WARM", OPJUDGE_DOCKER_WARM="many")


@pytest.mark.usefixtures("chosen")
def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "docker")
    lacking("docker's library", "not installed")


@pytest.mark.usefixtures("chosen")
def test_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (root, *_) = doctor_docker.docker_requirements()
    assert (root.state, root.needed) == (State.MISSING, True)
    assert "run the worker as root" in root.seen
