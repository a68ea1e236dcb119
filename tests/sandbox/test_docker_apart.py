"""Builds under a kernel of their own (gVisor): the same verdicts where it can give them."""

import os
from pathlib import Path

import pytest

from judge.building import build
from judge.verdict import Language
from sandbox.base import Command, Sandbox, SandboxError
from sandbox.docker import Docker
from sandbox.docker_config import Plan, Wanted, apart
from sandbox.docker_engine import OWNER_LABEL, engine
from sandbox.identity import NOBODY
from sandbox.outcome import Status
from sandbox.probes import check
from sandbox.probes.checked import Checked
from tests.docker_engine import KERNEL_APART, Engine
from tests.sandbox.conftest import LIMITS, shell
from tests.sandbox.test_bubblewrap_isolation import (  # noqa: F401
    CONNECT,
    abstract,
    listener,
    test_host_files_are_not_there,
    test_no_network,
    test_nothing_written_is_there_the_next_time,
    test_only_the_work_directory_can_be_written,
    test_python_is_there_only_if_asked_for,
)
from tests.sandbox.test_bubblewrap_limits import (  # noqa: F401
    test_a_fork_bomb,
    test_cpu_time,
    test_cpu_time_of_children_adds_up,
    test_many_files_share_one_quota,
    test_memory,
    test_memory_of_children_adds_up,
    test_no_descriptor_leaks,
    test_one_big_file,
    test_output,
    test_output_at_its_limit,
    test_wall_time,
)

# The first run makes the image.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def docker(docker_engine: Engine) -> Docker:
    return Docker(docker_engine.image, url=docker_engine.url, build_runtime=KERNEL_APART)


@pytest.fixture(scope="module")
def box(docker: Docker) -> Sandbox:
    return docker.builder


def test_its_kernel_is_not_the_hosts(box: Sandbox, docker: Docker) -> None:
    mine = Path("/proc/sys/kernel/osrelease").read_bytes()
    assert docker.run(shell("uname -r"), LIMITS).stdout == mine
    assert box.run(shell("uname -r"), LIMITS).stdout != mine


def test_cpp_is_built(docker: Docker) -> None:
    text = b'extern "C" void solve(const float* x, float* y) { y[0] = x[0]; }'
    built = build(docker.builder, Language.CPP, {"s.cpp": text}, 2)
    assert built.ok, built.log
    assert built.artifact.startswith(b"\x7fELF")
    wrong = build(docker.builder, Language.CPP, {"s.cpp": b"int f( {"}, 2)
    assert (wrong.ok, "error: expected" in wrong.log) == (False, True)


def test_python_is_checked(docker: Docker) -> None:
    assert build(docker.builder, Language.PYTHON, {"s.py": b"def solve(x, y): pass"}, 2).ok
    wrong = build(docker.builder, Language.PYTHON, {"s.py": b"def solve(x, y)"}, 2)
    assert (wrong.ok, "s.py:1: syntax error" in wrong.log) == (False, True)
    by_name = Command(["s.py", "2", "s.py"], {"s.py": b"1"}, module="sandbox.harness.source")
    assert b"no function `solve`" in docker.builder.run(by_name, LIMITS).stdout


def test_files_go_in_and_come_out(box: Sandbox) -> None:
    command = shell(
        "cat a b/c/d >both; mkdir out; echo new >out/f; ln -s /etc/passwd link; mkfifo fifo",
        files={"a": b"1", "b/c/d": b"2" * 100_000},
        collect=["both", "out/f", "link", "fifo", "missing", "out"],
    )
    found = box.run(command, LIMITS).files
    assert found == {"both": b"1" + b"2" * 100_000, "out/f": b"new\n"}


def test_exit_codes_and_signals(box: Sandbox) -> None:
    assert box.run(shell("exit 3"), LIMITS).exit_code == 3
    outcome = box.run(shell("kill -SEGV $$"), LIMITS)
    assert (outcome.status, outcome.signal) == (Status.SIGNALLED, 11)
    assert box.run(Command(["/nonexistent"]), LIMITS).exit_code == 127


def test_its_end_is_the_end_of_all(box: Sandbox, docker_engine: Engine) -> None:
    assert box.run(shell("sleep 1000 & exit 0"), LIMITS).status is Status.OK
    with engine(docker_engine.url) as client:
        assert client.containers(all=True, filters={"label": OWNER_LABEL}) == []


def test_it_takes_nothing_of_the_hosts(
    box: Sandbox, docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its standard input is given to the program's user: that was the host's /dev/null."""
    before = os.stat("/dev/null")
    assert box.run(shell("true"), LIMITS).status is Status.OK
    assert os.stat("/dev/null")[:6] == before[:6]
    monkeypatch.setattr("sandbox.docker_apart.apart", without_stdin)
    try:
        box.run(shell("true"), LIMITS)
        assert os.stat("/dev/null").st_uid == NOBODY
    finally:
        os.chown("/dev/null", before.st_uid, before.st_gid)


def without_stdin(plan: Plan, wanted: Wanted) -> dict[str, object]:
    return {**apart(plan, wanted), "OpenStdin": False}


def test_it_cannot_stay_nor_share(box: Sandbox, docker_engine: Engine) -> None:
    with pytest.raises(SandboxError, match="no program can stay"):
        box.start(shell("true"), LIMITS)
    with pytest.raises(SandboxError, match="nothing can be shared"):
        box.run(shell("true", share=[9]), LIMITS)
    with pytest.raises(SandboxError, match="OPJUDGE_DOCKER_BUILD_RUNTIME"):
        Docker(docker_engine.image, url=docker_engine.url, runtime=KERNEL_APART)


def test_what_is_timed_runs_on_the_hosts_kernel(docker: Docker) -> None:
    assert check(docker).breaches() == []
    assert docker.describe()["runtime"] == "runc"
    assert docker.describe()["build_runtime"] == KERNEL_APART


def test_a_checked_sandbox_builds_where_its_own_does(docker: Docker) -> None:
    report = check(docker)
    assert Checked(docker, report.level, ()).builder is docker.builder


def test_a_runtime_that_does_not_work_is_said(
    docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SandboxError, match=r"has no runtime 'never'.*daemon\.json"):
        Docker(docker_engine.image, url=docker_engine.url, build_runtime="never")
    with pytest.raises(SandboxError, match="a kernel of its own"):
        Docker(docker_engine.image, url=docker_engine.url, build_runtime="runc")
    monkeypatch.setattr("sandbox.docker_config._APART", "exit 1 # %d")
    with pytest.raises(SandboxError, match="docker run --runtime runsc"):
        Docker(docker_engine.image, url=docker_engine.url, build_runtime=KERNEL_APART)
