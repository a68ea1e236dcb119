"""What is asked of the engine, without one: the request, the filter, whose container is whose."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sandbox import docker_gate
from sandbox.base import Command, SandboxError
from sandbox.docker_config import Devices, Handed, Plan, Wanted, apart, container
from sandbox.docker_engine import find_image, is_orphan, owner
from sandbox.docker_places import Folder, Places, sweep
from sandbox.docker_resident import group_of
from sandbox.docker_seccomp import _ORDINARY, other_than, profile
from sandbox.harness import seccomp
from sandbox.limits import Limits

FOLDER = Path("/run/opjudge/x")
LIMITS = Limits()


def host(plan: Plan, command: Command) -> dict[str, Any]:
    config: Any = container(plan, Wanted(command, LIMITS, FOLDER, {}), FOLDER / "shown", Handed())
    host_config: dict[str, Any] = config["HostConfig"]
    return host_config


def test_devices_are_shown_as_they_are_named() -> None:
    request = {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}
    devices = Devices(("/dev/davinci0",), (request,), (Path("/usr/local/dcmi"),))
    config = host(Plan("sha256:0", "nvidia", devices=devices), Command(["true"]))
    assert config["DeviceRequests"] == [request]
    assert config["Devices"][0]["PathOnHost"] == "/dev/davinci0"
    assert config["Runtime"] == "nvidia"
    (driver,) = [m for m in config["Mounts"] if m["Source"] == "/usr/local/dcmi"]
    assert driver["ReadOnly"] is True


def test_by_default_there_is_no_device_and_nothing_of_the_host_but_its_own_folder() -> None:
    config = host(Plan("sha256:0"), Command(["true"]))
    assert config["Devices"] == config["DeviceRequests"] == []
    assert all(Path(mount["Source"]).is_relative_to(FOLDER) for mount in config["Mounts"])
    writable = {m["Target"]: m["Source"] for m in config["Mounts"] if not m["ReadOnly"]}
    assert set(writable) == {"/work", "/tmp", "/dev/shm", "/.opjudge/out"}
    assert {m["Target"] for m in config["Mounts"]} - set(writable) == {"/.opjudge/gate"}


def test_a_runtime_with_its_own_kernel_has_room_for_that_and_waits_for_nobody() -> None:
    config: Any = apart(Plan("sha256:0", "runsc"), Wanted(Command(["true"]), LIMITS, FOLDER, {}))
    assert config["Entrypoint"][-1] == "true"
    assert "timeout -s KILL 70 env" in config["Entrypoint"][2]
    assert config["HostConfig"]["Runtime"] == "runsc"
    assert config["HostConfig"]["Memory"] == LIMITS.memory_bytes + (128 << 20)
    assert config["HostConfig"]["PidsLimit"] > 4 * LIMITS.processes
    assert not any(mount["Target"] == "/.opjudge/gate" for mount in config["HostConfig"]["Mounts"])


def test_directories_of_the_image_are_empty_unless_something_needed_is_there() -> None:
    idle = {"/boot", "/home", "/media", "/mnt", "/run", "/srv", "/var"}
    assert set(host(Plan("sha256:0"), Command(["true"]))["Tmpfs"]) == {"/sys", *idle}
    driver = Devices(mounts=(Path("/var/driver"),))
    shown = host(Plan("sha256:0", devices=driver), Command(["true"]))["Tmpfs"]
    assert set(shown) == {"/sys", *idle} - {"/var"}
    brings_its_own = Devices(requests=({"Driver": "nvidia"},))
    assert set(host(Plan("sha256:0", devices=brings_its_own), Command(["true"]))["Tmpfs"]) == {
        "/sys"
    }


@pytest.mark.parametrize("refused", [(), (5,), (0, 0xFFFF_FFFF), seccomp.REFUSED_FCNTL])
def test_all_but_some_words(refused: tuple[int, ...]) -> None:
    pairs = other_than(refused)
    near = {w + d & 0xFFFF_FFFF for w in (0, *refused) for d in (-2, -1, 0, 1, 2)}
    for word in near:
        matches = sum(word & mask == value for mask, value in pairs)
        assert matches == (word not in refused), word


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_an_allow_list_without_what_the_other_filter_denies(machine: str) -> None:
    rules = json.loads(profile(machine))
    assert rules["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = [n for r in rules["syscalls"] if "errnoRet" not in r for n in r["names"]]
    assert not set(allowed) & set(seccomp._DENIED)
    free = {n for r in rules["syscalls"] if r["action"] == "SCMP_ACT_ALLOW" and "args" not in r
            for n in r["names"]}  # fmt: skip
    assert not free & {"clone", "socket", "socketpair", "ioctl", "fcntl", "mknod", "mknodat"}
    assert set(_ORDINARY.split()) <= free


def test_no_filter_for_a_machine_without_one() -> None:
    with pytest.raises(OSError, match="riscv64"):
        profile("riscv64")


def test_an_owner_is_an_orphan_once_it_is_gone() -> None:
    mine = owner(os.getpid())
    boot, space, _, start = mine.split("/")
    assert not is_orphan(mine)
    assert is_orphan(f"{boot}/{space}/{os.getpid()}/{int(start) + 1}")  # its number was reused
    assert is_orphan(f"{boot}/{space}/{(1 << 22) + 1}/1")
    assert is_orphan(f"before/{space}/{os.getpid()}/{start}")
    assert not is_orphan(f"{boot}/1/{os.getpid()}/{start}")  # a number in another namespace
    assert not is_orphan("nonsense")


def test_the_directories_of_the_gone_are_swept(tmp_path: Path) -> None:
    """Also what they have mounted."""
    mine, gone = Folder(tmp_path), Folder(tmp_path)
    label = mine.owner.split("/", 1)[1]
    (gone.path / "owner").write_text(f"before/{label}")
    places = [Places(folder.path, LIMITS) for folder in (mine, gone)]
    assert Path(gone.path, "outputs").is_mount()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [mine.path]
    for place in places:
        place.close()
    places[0].remove()
    mine.close()
    assert list(tmp_path.iterdir()) == []


GROUPS = {
    "v1": ("3:pids:/docker/x\n2:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n0::/\n",
           ("memory/docker/x", "pids/docker/x", "cpuacct/docker/x")),
    "v2": ("0::/system.slice/docker-x.scope\n", ("system.slice/docker-x.scope",)),
}  # fmt: skip


@pytest.mark.parametrize("version", GROUPS)
def test_the_engines_control_group_is_found(tmp_path: Path, version: str) -> None:
    text, folders = GROUPS[version]
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text(text)
    with pytest.raises(SandboxError, match="on the host of the Docker engine"):
        group_of(7, tmp_path, tmp_path)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    group = group_of(7, tmp_path, tmp_path)
    assert group.version == version
    assert set(group.directories) == {tmp_path / folder for folder in folders}


def test_the_script_names_what_the_host_looks_for() -> None:
    assert docker_gate.SCRIPT.endswith("exec cat /.opjudge/gate/life")


class Inspected:
    """An engine that knows one image, pulled from a registry: there is none here to pull from."""

    def inspect_image(self, _name: str) -> dict[str, Any]:
        return {"Id": "sha256:1", "RepoDigests": ["judge/image@sha256:2"], "Config": {}}


def test_the_digest_of_an_image_is_recorded_with_its_id() -> None:
    assert find_image(Inspected(), "judge/image@sha256:2") == {
        "image": "sha256:1",
        "image_digest": "judge/image@sha256:2",
    }
