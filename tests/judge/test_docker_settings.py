"""Accelerators are the operator's to name; what is wrong is said with the variable's name."""

from pathlib import Path
from typing import Any

import pytest

from judge import docker_settings
from judge.backend import make_sandbox
from judge.docker_settings import DockerSettings
from judge.errors import UserError
from sandbox.base import Command
from sandbox.docker_config import Handed, Plan, Wanted, container
from sandbox.limits import Limits

FOLDER = Path("/run/opjudge/x")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*DockerSettings.model_fields, "image"):
        monkeypatch.delenv(f"OPJUDGE_DOCKER_{name.upper()}", raising=False)


def asked(command: Command | None = None) -> dict[str, Any]:
    """What is asked of the engine with the settings in the environment."""
    plan = Plan("sha256:0", devices=docker_settings.docker_settings().shown())
    wanted = Wanted(command or Command(["true"]), Limits(), FOLDER, {})
    return container(plan, wanted, FOLDER / "shown", Handed())


def test_without_settings_there_is_no_device() -> None:
    host = asked()["HostConfig"]
    assert host["Devices"] == host["DeviceRequests"] == []
    assert docker_settings.docker_settings().warm == 3


@pytest.mark.parametrize(
    ("value", "requests"),
    [
        ("all", [{"Driver": "nvidia", "Count": -1}]),
        ("0,GPU-1e-2f", [{"Driver": "nvidia", "DeviceIDs": ["0", "GPU-1e-2f"]}]),
        ("nvidia.com/gpu=0", [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]),
    ],
)
def test_nvidia(
    value: str, requests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPJUDGE_DOCKER_GPUS", value)
    found = asked()["HostConfig"]["DeviceRequests"]
    for request in found:
        if request["Driver"] == "nvidia":
            assert request.pop("Capabilities") == [["gpu", "compute", "utility"]]
    assert found == requests


def test_ascend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine that has such devices, as far as can be told without one."""
    monkeypatch.setattr(Path, "is_char_device", lambda path: str(path).startswith("/dev/"))
    monkeypatch.setattr(docker_settings, "_ASCEND_DRIVER", tmp_path)
    monkeypatch.setattr(docker_settings, "_ASCEND_MORE", (tmp_path / "not there",))
    monkeypatch.setenv("OPJUDGE_DOCKER_ASCEND", "0, 3")
    request = asked()
    nodes = [device["PathOnHost"] for device in request["HostConfig"]["Devices"]]
    assert nodes == [
        *("/dev/davinci0", "/dev/davinci3"),
        *("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"),
    ]
    (driver,) = [m for m in request["HostConfig"]["Mounts"] if m["Source"] == str(tmp_path)]
    assert (driver["Target"], driver["ReadOnly"]) == (str(tmp_path), True)
    libraries = [w for w in request["Entrypoint"] if w.startswith("LD_LIBRARY_PATH=")]
    assert libraries == [
        f"LD_LIBRARY_PATH={tmp_path}/lib64:{tmp_path}/lib64/common:{tmp_path}/lib64/driver"
    ]


def test_other_devices_and_drivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPJUDGE_DOCKER_DEVICES", "/dev/null /dev/zero")
    monkeypatch.setenv("OPJUDGE_DOCKER_MOUNTS", str(tmp_path))
    host = asked()["HostConfig"]
    assert [d["PathInContainer"] for d in host["Devices"]] == ["/dev/null", "/dev/zero"]
    assert all(d["CgroupPermissions"] == "rw" for d in host["Devices"])
    assert str(tmp_path) in [mount["Target"] for mount in host["Mounts"] if mount["ReadOnly"]]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("GPUS", "some", "'some' is not all, a number, a UUID, or a CDI name"),
        ("ASCEND", "a", "'a' is not the number of an NPU"),
        ("ASCEND", "77", "'/dev/davinci77' is not a character device"),
        ("DEVICES", "/dev/never", "'/dev/never' is not a character device"),
        ("DEVICES", "/etc/passwd", "'/etc/passwd' is not a character device"),
        ("MOUNTS", "/never/there", "'/never/there' is not an absolute path of this machine"),
        ("MOUNTS", "etc", "'etc' is not an absolute path"),
        ("WARM", "-1", "OPJUDGE_DOCKER_WARM='-1': Input should be greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_said(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OPJUDGE_DOCKER_{name}", value)
    monkeypatch.setenv("OPJUDGE_DOCKER_IMAGE", "any")
    with pytest.raises(UserError) as caught:
        make_sandbox("docker")
    assert message in str(caught.value)
    assert "OPJUDGE_DOCKER_" in str(caught.value)
    assert caught.value.code == "bad-setting"


def test_without_an_image_there_is_no_sandbox() -> None:
    with pytest.raises(UserError, match="OPJUDGE_DOCKER_IMAGE"):
        make_sandbox("docker")
