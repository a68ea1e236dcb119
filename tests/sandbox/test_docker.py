"""The docker back end behaves as bubblewrap does, and a container is as closed as a container gets.

Most bodies are bubblewrap's own tests, run here on another `box`.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import docker_gate
from sandbox.base import Command, SandboxError
from sandbox.docker import Docker
from sandbox.docker_config import Layers
from sandbox.docker_engine import OWNER_LABEL, engine
from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.probes import check
from tests.docker_engine import Engine
from tests.sandbox.conftest import LIMITS, dies, python, shell
from tests.sandbox.test_bubblewrap_isolation import (  # noqa: F401
    CONNECT,
    abstract,
    listener,
    test_a_shared_descriptor_is_the_same_memory,
    test_host_files_are_not_there,
    test_no_capabilities_and_no_new_privileges,
    test_no_network,
    test_no_process_of_the_host_is_seen,
    test_nothing_written_is_there_the_next_time,
    test_only_the_work_directory_can_be_written,
    test_standard_descriptors_cannot_be_shared,
    test_the_environment_is_small_and_fixed,
    test_the_harness_package_can_be_imported_and_the_judge_cannot,
    test_torch_finds_the_same_vector_instructions_inside,
)
from tests.sandbox.test_bubblewrap_limits import (  # noqa: F401
    test_a_fork_bomb,
    test_a_program_that_stops_itself_is_over_its_wall_time,
    test_a_program_within_its_limits,
    test_a_signal_is_reported_as_it_was,
    test_a_sparse_file_is_as_big_as_it_looks,
    test_a_thread_bomb,
    test_cpu_time,
    test_cpu_time_of_children_adds_up,
    test_cpu_time_with_its_signal_ignored,
    test_files_in_memory_count_as_memory,
    test_many_files_share_one_quota,
    test_memory,
    test_memory_of_children_adds_up,
    test_no_descriptor_leaks,
    test_nothing_is_left_alive,
    test_one_big_file,
    test_output,
    test_output_at_its_limit,
    test_the_end_is_the_end_of_all,
    test_the_number_of_files,
    test_wall_time,
    test_what_would_be_left_is_seen,
)

# The first run makes the image.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def box(docker_engine: Engine) -> Docker:
    return Docker(docker_engine.image, url=docker_engine.url)


@pytest.fixture
def client(docker_engine: Engine) -> Iterator[Any]:
    with engine(docker_engine.url) as connection:
        yield connection


def open_box(docker_engine: Engine, **off: bool) -> Docker:
    return Docker(docker_engine.image, url=docker_engine.url, layers=Layers(**off))


def test_with_the_hosts_network_it_would_connect(
    docker_engine: Engine,
    listener: int,  # noqa: F811
    abstract: str,  # noqa: F811
) -> None:
    wide_open = open_box(docker_engine, network=True, seccomp=False, landlock=False)
    for where in (listener, abstract):
        assert wide_open.run(python(CONNECT, where), LIMITS).status is Status.OK


UNSHARE = "import ctypes; libc = ctypes.CDLL(None); print(libc.unshare(0x10000000), libc.ptrace(0))"


def test_the_filter_refuses_what_would_work_without_it(box: Docker, docker_engine: Engine) -> None:
    """A user namespace of its own (all capabilities in it), and being traced."""
    assert box.run(python(UNSHARE), LIMITS).stdout == b"-1 -1\n"
    assert open_box(docker_engine, seccomp=False).run(python(UNSHARE), LIMITS).stdout == b"0 0\n"


NODE = "import os, stat; os.mknod('/work/node', stat.S_IFCHR | 0o666, 0)"


@pytest.mark.parametrize("layer", ["seccomp", "landlock"])
def test_a_device_node_cannot_be_made_even_with_one_layer_off(
    docker_engine: Engine, layer: str
) -> None:
    outcome = open_box(docker_engine, **{layer: False}).run(python(NODE), LIMITS)
    # The filter answers EPERM, the rules answer EACCES.
    assert (b"denied" if layer == "seccomp" else b"not permitted") in outcome.stderr


def test_with_both_off_it_can(docker_engine: Engine) -> None:
    wide_open = open_box(docker_engine, seccomp=False, landlock=False)
    assert wide_open.run(python(NODE), LIMITS).status is Status.OK


SEEN = """
import json, os
found = {"listed": sorted(os.listdir("/proc"))}
for name in ("self/environ", "self/mem", "1/cmdline", "mounts", "cmdline", "self/ns/net"):
    try:
        found[name] = bool(os.stat(f"/proc/{name}"))
    except OSError:
        pass
print(json.dumps(found))
"""


def test_of_proc_there_is_only_the_processor(box: Docker, docker_engine: Engine) -> None:
    """No process, no environment, no memory to open: not even the program's own."""
    assert json.loads(box.run(python(SEEN), LIMITS).stdout) == {"listed": ["cpuinfo"]}
    bare = json.loads(open_box(docker_engine, procless=False).run(python(SEEN), LIMITS).stdout)
    assert {"1", "self", "cpuinfo"} <= set(bare["listed"])
    assert len(bare) == 7


UNCOVER = """
import ctypes
libc = ctypes.CDLL(None)
assert libc.umount2(b"/proc", 2) == libc.mount(b"proc", b"/work", b"proc", 0, None) == -1
open("/proc/new", "w")
"""


def test_it_cannot_be_uncovered(docker_engine: Engine) -> None:
    """Even without the filter, since there are no capabilities."""
    outcome = open_box(docker_engine, seccomp=False).run(python(UNCOVER), LIMITS)
    assert b"Read-only file system" in outcome.stderr or b"Permission denied" in outcome.stderr


def test_the_memory_of_another_process_cannot_be_written(
    box: Docker, docker_engine: Engine
) -> None:
    """The attack that /proc is for: a child's memory, changed by its parent."""
    poke = """
import ctypes, os, signal
word = ctypes.c_long(1)
child = os.fork()
if child == 0:
    signal.pause()
fd = os.open(f"/proc/{child}/mem", os.O_RDWR)
print(os.pread(fd, 8, ctypes.addressof(word)) == bytes(word))
os.kill(child, 9)
"""
    assert b"No such file" in box.run(python(poke), LIMITS).stderr
    # The rules about files refuse it as well.
    bare = open_box(docker_engine, procless=False, landlock=False)
    assert bare.run(python(poke), LIMITS).stdout == b"True\n"


NODE_BY_SHELL = "mknod node c 0 0 && echo made"


def test_programs_without_python_are_confined_too(docker_engine: Engine) -> None:
    """Compilers, that is."""
    confined = open_box(docker_engine, seccomp=False).run(shell(NODE_BY_SHELL), LIMITS)
    assert b"Permission denied" in confined.stderr
    open_to_all = open_box(docker_engine, seccomp=False, landlock=False)
    assert open_to_all.run(shell(NODE_BY_SHELL), LIMITS).stdout == b"made\n"


def test_python_is_there_only_if_asked_for_where_there_is_no_landlock(
    docker_engine: Engine,
) -> None:
    """Where there is, Python takes on the rules for every program."""
    command = shell(f"test -e {sys.prefix} && echo there")
    bare = open_box(docker_engine, landlock=False)
    assert bare.run(command, LIMITS).stdout == b""


def test_the_worker_must_see_what_the_engine_sees(
    box: Docker, client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sandbox.docker_places._FILES", "elsewhere")
    monkeypatch.setattr("sandbox.docker_config.written", lambda folder, _root: [
        (tmp_path, "/work"), (folder / "outputs", "/.opjudge/out")
    ])  # fmt: skip
    with pytest.raises(SandboxError, match="same mount namespace"):
        box.run(shell("true"), LIMITS)
    assert containers(client) == []


def test_files_go_in_and_come_out(box: Docker) -> None:
    command = shell(
        "cat a b/c/d >both; mkdir out; echo new >out/f; ln -s /etc/passwd link; mkfifo fifo",
        files={"a": b"1", "b/c/d": b"2" * 100_000},
        collect=["both", "out/f", "link", "fifo", "missing", "out"],
    )
    found = box.run(command, LIMITS).files
    assert found == {"both": b"1" + b"2" * 100_000, "out/f": b"new\n"}


def test_files_that_do_not_fit_are_an_error(box: Docker, client: Any) -> None:
    with pytest.raises(SandboxError, match="do not fit"):
        box.run(shell("true", files={"a": bytes(LIMITS.file_bytes + 1)}), LIMITS)
    assert containers(client) == []


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b"])
def test_file_names_cannot_lead_out(box: Docker, name: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        box.run(shell("true", files={name: b""}), LIMITS)


def test_identity(box: Docker) -> None:
    outcome = box.run(shell("id -u; id -g; id -G; hostname; pwd"), LIMITS)
    assert outcome.stdout == b"65534\n65534\n65534\nsandbox\n/work\n"


def test_device_nodes_are_not_the_programs(box: Docker) -> None:
    assert box.run(shell("chmod 666 /dev/null"), LIMITS).status is Status.NONZERO_EXIT


def test_the_place_of_its_start_says_nothing_and_cannot_be_written(box: Docker) -> None:
    command = shell("ls /.opjudge/gate; touch /.opjudge/gate/x; echo >/.opjudge/gate/go")
    outcome = box.run(command, LIMITS)
    assert outcome.stdout == b"go\nlife\n"
    assert outcome.stderr.count(b"Read-only") + outcome.stderr.count(b"denied") == 2


OPEN = """
import fcntl, json
def opened(fd):
    try:
        return fcntl.fcntl(fd, fcntl.F_GETFD) >= 0
    except OSError:
        return False
print(json.dumps([fd for fd in range(512) if opened(fd)]))
"""


def test_descriptors_arrive_under_their_numbers_and_no_others(
    box: Docker, closing: list[int]
) -> None:
    closing += [os.memfd_create(str(i)) for i in range(5)]
    os.write(closing[-1], b"last")
    code = f"{OPEN}import os; print(os.pread({closing[-1]}, 9, 0))"
    seen, last = box.run(python(code, share=closing), LIMITS).stdout.splitlines()
    assert json.loads(seen) == sorted({0, 1, 2, *closing})
    assert last == b"b'last'"


def test_hidden_directories_are_empty(docker_engine: Engine) -> None:
    package = Path(pytest.__file__).parent
    command = python("import os, sys; print(len(os.listdir(sys.argv[1])))", package)
    hiding = Docker(docker_engine.image, url=docker_engine.url, hide=[package])
    assert hiding.run(command, LIMITS).stdout == b"0\n"


def test_a_program_that_is_not_there(box: Docker) -> None:
    assert box.run(Command(["/nonexistent"]), LIMITS).exit_code == 127


def test_cpp_is_built(box: Docker) -> None:
    command = shell("g++ -shared -fPIC -o a.so a.cc", files={"a.cc": b"int f;"}, collect=["a.so"])
    outcome = box.run(command, replace(LIMITS, memory_bytes=1 << 30))
    assert outcome.files["a.so"].startswith(b"\x7fELF"), outcome


def containers(client: Any) -> list[str]:
    return [str(c["Id"]) for c in client.containers(all=True, filters={"label": OWNER_LABEL})]


def test_the_container_is_as_hard_as_the_engine_can_make_it(box: Docker, client: Any) -> None:
    with box.start(shell("sleep 1000", cores=[0]), LIMITS):
        (ident,) = containers(client)
        facts = client.inspect_container(ident)
    host = facts["HostConfig"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"]) == ("none", True, ["ALL"])
    assert (host["Privileged"], host["PidMode"], host["IpcMode"]) == (False, "", "private")
    assert host["Memory"] == host["MemorySwap"] == LIMITS.memory_bytes
    assert (host["CpusetCpus"], host["LogConfig"]["Type"]) == ("0", "none")
    assert "no-new-privileges" in host["SecurityOpt"]
    writable = {mount["Destination"] for mount in facts["Mounts"] if mount["RW"]}
    assert writable <= {"/work", "/tmp", "/dev/shm", "/root", "/.opjudge/out"}
    assert not any("docker.sock" in mount["Source"] for mount in facts["Mounts"])
    assert facts["Config"]["User"] == "65534:65534"


def test_nothing_is_left_of_a_container(box: Docker, client: Any) -> None:
    with box.start(shell("sleep 1000 & sleep 1000"), LIMITS):
        assert len(containers(client)) == 1
        assert any(Path("/run/opjudge").glob(f"opjudge-{os.getpid()}-*"))
    assert containers(client) == []
    assert not any(Path("/run/opjudge").glob(f"opjudge-{os.getpid()}-*"))


OWNER = """
import signal, sys
from sandbox.base import Command
from sandbox.docker import Docker
from sandbox.limits import Limits
resident = Docker(sys.argv[1], url=sys.argv[2] or None).start(
    Command(["/bin/sh", "-c", "sleep 1000 & exec sleep 1000"]), Limits())
print(resident.pid, resident.tree.init.pid, flush=True)
signal.pause()
"""


@contextlib.contextmanager
def owned(docker_engine: Engine) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A process with a container, and the process ids of that."""
    argv = [sys.executable, "-c", OWNER, docker_engine.image, docker_engine.url or ""]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        yield owner, [int(word) for word in owner.stdout.readline().split()]
        owner.kill()


def test_a_killed_owner_takes_the_container_along(
    docker_engine: Engine, closing: list[int]
) -> None:
    with owned(docker_engine) as (owner, pids):
        closing += [os.pidfd_open(pid) for pid in pids]
        assert not any(dies(fd, 0) for fd in closing)
        owner.kill()
        assert all(dies(fd) for fd in closing)


def test_an_orphan_is_reaped(
    docker_engine: Engine, client: Any, closing: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose process 1 still waits, as if the owner's end of the FIFO had not been the last."""
    with owned(docker_engine) as (owner, pids):
        closing.append(os.pidfd_open(pids[1]))
        (life,) = Path("/run/opjudge").glob(f"opjudge-{owner.pid}-*/shown/life")
        closing.append(os.open(life, os.O_RDWR | os.O_NONBLOCK))
        owner.kill()
        owner.wait()
        assert not dies(closing[0], 0.2)
    Docker(docker_engine.image, url=docker_engine.url)
    assert dies(closing[0])
    assert containers(client) == []
    assert not any(Path("/run/opjudge").glob(f"opjudge-{owner.pid}-*"))


def test_what_belongs_to_the_living_is_left(docker_engine: Engine, box: Docker) -> None:
    with box.start(shell("sleep 1000"), LIMITS) as resident:
        Docker(docker_engine.image, url=docker_engine.url)
        assert resident.alive()


def test_no_engine_is_said_with_a_remedy() -> None:
    with pytest.raises(SandboxError, match="start dockerd"):
        Docker("any", url="unix:///nonexistent/socket")


def test_no_image_is_said_with_a_remedy(docker_engine: Engine) -> None:
    with pytest.raises(SandboxError, match="OPJUDGE_DOCKER_IMAGE"):
        Docker("opjudge-test:never-made", url=docker_engine.url)


def test_another_kernel_cannot_do_it(docker_engine: Engine) -> None:
    with pytest.raises(SandboxError, match="kernel of its own"):
        Docker(docker_engine.image, url=docker_engine.url, runtime="runsc")


def test_only_root_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="needs root"):
        Docker("any")


def test_a_container_that_cannot_start_leaves_nothing(
    box: Docker, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SandboxError, match="refused"):
        box.run(shell("true", cores=[4000]), LIMITS)
    monkeypatch.setattr(docker_gate, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr("sandbox.docker_config.SCRIPT", "exec sleep 1000")
    with pytest.raises(SandboxError, match="did not come up"):
        box.run(shell("true"), LIMITS)
    monkeypatch.setattr("sandbox.docker_config.SCRIPT", "exit 0")
    with pytest.raises(SandboxError, match="ended"):
        box.run(shell("true"), LIMITS)
    assert containers(client) == []
    assert not any(Path("/run/opjudge").glob(f"opjudge-{os.getpid()}-*"))


def test_it_describes_itself(box: Docker) -> None:
    facts = box.describe()
    assert (facts["backend"], facts["seccomp"], facts["user"]) == ("docker", "base", "nobody")
    assert facts["version"][0].isdigit()
    assert facts["image"].startswith("sha256:")
    assert facts["cgroup"] in ("v1", "v2")


def test_a_killed_keeper_is_no_success(box: Docker) -> None:
    with box.start(shell("sleep 1000"), Limits()) as resident:
        os.kill(resident.tree.init.pid, 9)  # type: ignore[attr-defined]
        assert dies(resident.tree.init.fd)  # type: ignore[attr-defined]
        assert resident.end().status is Status.SIGNALLED


def test_the_self_check_finds_nothing_that_gets_through(box: Docker) -> None:
    assert check(box).breaches() == []
