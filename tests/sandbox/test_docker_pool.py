"""Containers that wait with torch imported: one program each, under its own limits, then gone."""

import contextlib
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import docker_pool
from sandbox.base import Command, SandboxError
from sandbox.cgroup import Group, GroupV1, GroupV2
from sandbox.docker import Docker
from sandbox.docker_engine import OWNER_LABEL, engine
from sandbox.docker_resident import DockerResident
from sandbox.harness.protocol import CONTROL_BYTES
from sandbox.limits import Limits
from tests.docker_engine import Engine
from tests.sandbox.conftest import dies, eventually
from tests.sandbox.test_bubblewrap_resident import stat_state

# The first run makes the image.
pytestmark = pytest.mark.timeout(900)

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
LIMITS = Limits(wall_s=60, cpu_s=60, memory_bytes=600 << 20, processes=40, file_bytes=8 << 20)
ARENA_BYTES = 1 << 20
PATIENCE_S = 120.0
"""Importing torch takes seconds, and more on a busy machine."""


@pytest.fixture(scope="module")
def engine_box(docker_engine: Engine) -> Iterator[Docker]:
    box = Docker(docker_engine.image, url=docker_engine.url, warm=2)
    yield box
    box.close()


@pytest.fixture
def box(engine_box: Docker) -> Docker:
    engine_box.refill(ENVIRONMENT)
    return engine_box


class Pages:
    """The pages of one harness."""

    def __init__(self) -> None:
        self.fds = [os.memfd_create(name) for name in ("control", "arena")]
        for fd, size in zip(self.fds, (CONTROL_BYTES, ARENA_BYTES), strict=True):
            os.ftruncate(fd, size)
        self.control = mmap.mmap(self.fds[0], CONTROL_BYTES)

    def command(self, library: str = "torch", **more: object) -> Command:
        argv = [*map(str, (*self.fds, ARENA_BYTES, -1, 0)), library]
        usual = {"share": self.fds, "environment": ENVIRONMENT, "module": "sandbox.harness"}
        return Command(argv, **{**usual, **more})  # type: ignore[arg-type]

    def served(self) -> bool:
        """Whether the harness said that it is there."""
        return any(self.control[:4096])

    def close(self) -> None:
        self.control.close()
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def pages() -> Iterator[Pages]:
    with contextlib.closing(Pages()) as made:
        yield made


def waiting(box: Docker) -> list[DockerResident]:
    return [w._resident for w in box._pool._waiting]


def test_a_program_of_the_harness_gets_one_that_waits(box: Docker, pages: Pages) -> None:
    pids = [resident.pid for resident in waiting(box)]
    assert len(pids) == 2
    with box.start(pages.command(files={"a/b": b"1"}, collect=["a/b"]), LIMITS) as resident:
        assert resident.pid in pids
        assert eventually(pages.served, PATIENCE_S)
        assert resident.end().files == {"a/b": b"1"}
    assert [r.pid for r in waiting(box)] == [pid for pid in pids if pid != resident.pid]
    box.refill(ENVIRONMENT)
    assert len({r.pid for r in waiting(box)} - set(pids)) == 1


def test_what_waits_is_stopped(box: Docker) -> None:
    for resident in waiting(box):
        tasks = Path(f"/proc/{resident.pid}/task").iterdir()
        assert {stat_state(task) for task in tasks} == {"T"}


@pytest.mark.parametrize(
    "other",
    [
        {"library": "numpy"},
        {"environment": {"OMP_NUM_THREADS": "2"}},
        {"cores": [0]},
        {"module": "sandbox.harness.source"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_program_is_started_cold(
    box: Docker, pages: Pages, other: dict[str, object]
) -> None:
    with box.start(pages.command(**other), LIMITS) as resident:  # type: ignore[arg-type]
        assert resident.pid not in [r.pid for r in waiting(box)]
    assert len(waiting(box)) == 2


def test_more_than_waits_for_it_is_started_cold(box: Docker, pages: Pages) -> None:
    with box.start(pages.command(), replace(LIMITS, memory_bytes=9 << 30)):
        assert len(waiting(box)) == 2
    # What torch holds already is more than this.
    with box.start(pages.command(), replace(LIMITS, memory_bytes=32 << 20)) as resident:
        assert eventually(lambda: not checked(resident))
        assert resident.end().status.value == "memory_limit"
    assert len(waiting(box)) == 1


def checked(resident: object) -> bool:
    assert isinstance(resident, DockerResident)
    resident.check()
    return resident.alive()


def test_its_own_limits_are_those_of_the_program(box: Docker, pages: Pages) -> None:
    pids = [resident.pid for resident in waiting(box)]
    with box.start(pages.command(), LIMITS) as resident:
        assert isinstance(resident, DockerResident)
        assert resident.pid in pids
        assert eventually(pages.served, PATIENCE_S)
        own = Path(f"/proc/{resident.pid}/limits").read_text()
        place = os.fstatvfs(resident.tree.places.work)
        assert place.f_blocks * place.f_frsize == LIMITS.file_bytes
        assert in_force(resident) == (LIMITS.memory_bytes, LIMITS.processes + 1)
    assert f"Max file size             {LIMITS.file_bytes} " in own


def in_force(resident: DockerResident) -> tuple[int, int]:
    """Memory in bytes, and processes."""
    folders = resident.tree.group.directories
    memory = [d / name for d in folders for name in ("memory.limit_in_bytes", "memory.max")]
    (limit,) = {int(path.read_text()) for path in memory if path.exists()}
    (processes,) = {int((d / "pids.max").read_text()) for d in folders if (d / "pids.max").exists()}
    return limit, processes


def test_who_may_not_write_limits_asks_the_engine(
    box: Docker, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def refuse(group: Group, limits: Limits) -> None:
        refused.append(limits)
        raise PermissionError

    monkeypatch.setattr(GroupV1, "set_limits", refuse)
    monkeypatch.setattr(GroupV2, "set_limits", refuse)
    pids = [resident.pid for resident in waiting(box)]
    with box.start(pages.command(), LIMITS) as resident:
        assert isinstance(resident, DockerResident)
        assert resident.pid in pids
        assert refused
        assert in_force(resident) == (LIMITS.memory_bytes, LIMITS.processes + 1)


def test_it_has_the_descriptors_of_the_program_and_no_others(box: Docker, pages: Pages) -> None:
    with box.start(pages.command(), LIMITS) as resident:
        assert eventually(pages.served, PATIENCE_S)
        folder = Path(f"/proc/{resident.pid}/fd")
        # The harness closes what it has mapped, but its maps keep them.
        links = {os.readlink(path).split()[0] for path in folder.iterdir()}
    outputs = {f"/.opjudge/out/{name}" for name in ("stdout", "stderr")}
    assert links <= {"/dev/null", "/memfd:control", "/memfd:arena", *outputs}


def test_it_is_confined_as_if_it_had_been_started_cold(box: Docker, pages: Pages) -> None:
    more = replace(LIMITS, memory_bytes=9 << 30)
    facts = []
    for limits in (LIMITS, more):
        with box.start(pages.command(), limits) as resident:
            assert eventually(pages.served, PATIENCE_S)
            facts.append(confinement(resident.pid))
            pages.control[:4096] = bytes(4096)
    assert facts[0] == facts[1]


def confinement(pid: int) -> list[str]:
    words = ("Seccomp", "Cap", "NoNewPrivs", "Uid", "Gid", "Groups")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in lines if line.startswith(words)]


def test_another_environment_replaces_what_waits(docker_engine: Engine, closing: list[int]) -> None:
    with contextlib.closing(Docker(docker_engine.image, url=docker_engine.url, warm=1)) as box:
        box.refill(ENVIRONMENT)
        closing.append(os.pidfd_open(waiting(box)[0].pid))
        box.refill({"OMP_NUM_THREADS": "2"})
        assert dies(closing[0], 0)
        assert len(waiting(box)) == 1
        closing.append(os.pidfd_open(waiting(box)[0].pid))
    assert dies(closing[1], 0)


def test_closing_leaves_nothing(docker_engine: Engine) -> None:
    box = Docker(docker_engine.image, url=docker_engine.url, warm=1)
    box.refill(ENVIRONMENT)
    names = [resident.tree.folder for resident in waiting(box)]
    box.close()
    assert not names[0].path.exists()
    with engine(docker_engine.url) as client:
        found = client.containers(all=True, filters={"label": OWNER_LABEL})
    assert names[0].name not in json.dumps(found)
    assert waiting(box) == []


def test_a_library_that_cannot_be_imported_is_said(
    docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_pool, "LIBRARY", "no_such_library")
    box = Docker(docker_engine.image, url=docker_engine.url, warm=2)
    with pytest.raises(SandboxError, match="No module named 'no_such_library'"):
        box.refill(ENVIRONMENT)
    assert waiting(box) == []


def test_one_that_died_while_it_waited_costs_nothing(box: Docker, pages: Pages) -> None:
    for resident in waiting(box):
        os.kill(resident.pid, 9)
        assert eventually(lambda: not resident.alive())  # noqa: B023
    with box.start(pages.command(), LIMITS) as cold:
        assert eventually(pages.served, PATIENCE_S)
        assert cold.alive()


OWNER = """
import os, sys
from sandbox.base import Command
from sandbox.docker import Docker
from sandbox.limits import Limits
box = Docker(sys.argv[1], url=sys.argv[2] or None, warm=1)
box.refill({})
pid = box._pool._waiting[0]._resident.pid
if sys.argv[3] == "dies":
    print(pid, flush=True)
    sys.stdin.read()
fds = [os.memfd_create("a"), os.memfd_create("b")]
for fd in fds:
    os.ftruncate(fd, 1 << 20)
command = Command([*map(str, (*fds, 1 << 20, -1, 0)), "torch"], share=fds, module="sandbox.harness")
child = os.fork()
if child == 0:
    mine = box.start(command, Limits())
    print(mine.pid == pid, flush=True)
    mine.end()
    box.close()
    os._exit(0)
os.waitpid(child, 0)
theirs = box.start(command, Limits())
print(theirs.pid == pid, len(box._pool._waiting), flush=True)
theirs.end()
box.close()
"""


def owner(docker_engine: Engine, what: str) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-W", "error", "-c", OWNER]
    return subprocess.Popen(
        [*argv, docker_engine.image, docker_engine.url or "", what],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_only_one_of_parent_and_child_gets_it(docker_engine: Engine) -> None:
    with owner(docker_engine, "forks") as process:
        said, errors = process.communicate()
    assert (said, errors) == (b"True\nFalse 0\n", b"")


def test_it_goes_with_a_worker_that_is_killed(docker_engine: Engine, closing: list[int]) -> None:
    with owner(docker_engine, "dies") as process:
        assert process.stdout is not None
        closing.append(os.pidfd_open(int(process.stdout.readline())))
        process.kill()
        assert dies(closing[0])
