"""What a judging leaves behind is found, each kind by its own look, and neighbours are not."""

import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from judge import hygiene
from judge.hygiene import LOOKS, Hygiene, Look, Quarantined, Traces
from sandbox import cgroup
from sandbox.identity import NOBODY
from sandbox.limits import Limits
from tests.judge.machinery import until

QUICK_S = 0.1
MIB = 1 << 20


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    """What is left on purpose goes when the test ends."""
    with ExitStack() as stack:
        yield stack


def leave_process(leaving: ExitStack, _folder: Path) -> str:
    process = subprocess.Popen(["sleep", "1000"])
    leaving.callback(process.wait)
    leaving.callback(process.kill)
    return f"process {process.pid} (sleep)"


def leave_named_shared_memory(leaving: ExitStack, _folder: Path) -> str:
    path = Path("/dev/shm", f"torch_{os.getpid()}_1")
    path.touch()
    leaving.callback(path.unlink)
    return f"shared memory {path}"


def leave_open_shared_memory(leaving: ExitStack, _folder: Path) -> str:
    fd, path = tempfile.mkstemp(dir="/dev/shm")
    leaving.callback(os.close, fd)
    leaving.callback(os.unlink, path)
    return f"shared memory {path}"


def leave_shared_memory_of_programs(leaving: ExitStack, _folder: Path) -> str:
    path = Path(tempfile.mktemp(dir="/dev/shm"))
    path.touch()
    leaving.callback(path.unlink)
    os.chown(path, NOBODY, NOBODY)
    return f"shared memory {path}"


def leave_port(leaving: ExitStack, _folder: Path) -> str:
    server = leaving.enter_context(socket.create_server(("127.0.0.1", 0)))
    return f"port 127.0.0.1:{server.getsockname()[1]} of process {os.getpid()}"


def leave_datagram_port(leaving: ExitStack, _folder: Path) -> str:
    bound = leaving.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    bound.bind(("127.0.0.1", 0))
    return f"port 127.0.0.1:{bound.getsockname()[1]} of process {os.getpid()}"


def leave_unix_port(leaving: ExitStack, folder: Path) -> str:
    path = str(folder / "socket")
    leaving.enter_context(socket.socket(socket.AF_UNIX)).bind(path)
    return f"port {path} of process {os.getpid()}"


def leave_descriptor(leaving: ExitStack, _folder: Path) -> str:
    fd = os.memfd_create("arena")
    leaving.callback(os.close, fd)
    return "descriptor of /memfd:arena (deleted) of the worker"


def leave_temporary(leaving: ExitStack, _folder: Path) -> str:
    folder = tempfile.mkdtemp(prefix=f"opjudge-dummy-{os.getpid()}-")
    leaving.callback(os.rmdir, folder)
    return folder


LEAVERS = {
    "process": (leave_process, hygiene.processes),
    "named shared memory": (leave_named_shared_memory, hygiene.shared_memory),
    "port": (leave_port, hygiene.ports),
    "datagram port": (leave_datagram_port, hygiene.ports),
    "unix port": (leave_unix_port, hygiene.ports),
    "descriptor": (leave_descriptor, hygiene.descriptors),
    "temporary": (leave_temporary, hygiene.temporary),
}
if os.geteuid() == 0:
    LEAVERS["shared memory of programs"] = (
        leave_shared_memory_of_programs,
        hygiene.shared_memory,
    )


def settled(folder: Path, looks: Sequence[Look]) -> Hygiene:
    watch = Hygiene(folder, looks, grace_s=QUICK_S)
    watch.settle()
    assert watch.left() == watch.left_by_judging() == []
    return watch


@pytest.mark.parametrize("kind", LEAVERS)
def test_what_is_left_is_found_and_only_by_its_own_look(
    kind: str, tmp_path: Path, leaving: ExitStack
) -> None:
    leave, look = LEAVERS[kind]
    watching = settled(tmp_path, LOOKS)
    blind = settled(tmp_path, [other for other in LOOKS if other is not look])
    expected = leave(leaving, tmp_path)
    assert watching.left() == watching.left_by_judging() == [expected]
    assert blind.left() == blind.left_by_judging() == []
    leaving.close()
    assert watching.left() == []


LISTENER = """
import socket, sys
sockets = []
for _ in sys.stdin:
    sockets.append(socket.create_server(("127.0.0.1", 0)))
    print(sockets[-1].getsockname()[1], flush=True)
"""


def test_ports_of_processes_below_are_found_the_new_ones_too(leaving: ExitStack) -> None:
    child = leaving.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", LISTENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
    )
    assert child.stdin is not None
    assert child.stdout is not None
    expected: set[str] = set()
    for _ in range(2):
        child.stdin.write("\n")
        expected.add(f"port 127.0.0.1:{child.stdout.readline().strip()} of process {child.pid}")
        for _look in range(2):
            found = hygiene.ports(hygiene.Scope.of(os.getpid()))
            assert {text for text in found.values() if str(child.pid) in text} == expected
    child.stdin.close()


def test_connections_and_sockets_that_are_not_bound_are_no_ports(leaving: ExitStack) -> None:
    server = leaving.enter_context(socket.create_server(("127.0.0.1", 0)))
    before = hygiene.ports(hygiene.Scope.of(os.getpid()))
    leaving.enter_context(socket.create_connection(server.getsockname()))
    leaving.enter_context(server.accept()[0])
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        leaving.enter_context(socket.socket(socket.AF_INET, kind))
    leaving.enter_context(socket.socket(socket.AF_UNIX))
    leaving.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
    # One on its way to a service that does not answer, one that was broken off.
    waiting = leaving.enter_context(socket.socket())
    waiting.setblocking(False)
    waiting.connect_ex(("192.0.2.1", 9))
    broken = leaving.enter_context(socket.create_connection(server.getsockname()))
    with server.accept()[0] as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with pytest.raises(ConnectionResetError):
        broken.recv(1)
    assert hygiene.ports(hygiene.Scope.of(os.getpid())) == before


HERE = cgroup.create(Limits())
if HERE is not None:
    HERE.close()

    def test_a_control_group_that_is_left_is_found(tmp_path: Path) -> None:
        watching = settled(tmp_path, LOOKS)
        blind = settled(tmp_path, [look for look in LOOKS if look is not hygiene.groups])
        group = cgroup.create(Limits())
        assert group is not None
        try:
            found = watching.left()
            assert found == sorted(f"control group {path}" for path in group.directories)
            assert blind.left() == []
        finally:
            group.close()
        assert watching.left() == []


def test_shared_memory_that_is_open_is_found(tmp_path: Path, leaving: ExitStack) -> None:
    watching = settled(tmp_path, LOOKS)
    blind = settled(tmp_path, [look for look in LOOKS if look is not hygiene.shared_memory])
    expected = leave_open_shared_memory(leaving, tmp_path)
    assert expected in watching.left()
    assert expected not in blind.left()


def test_memory_that_does_not_come_back(tmp_path: Path) -> None:
    watching = Hygiene(tmp_path, grace_s=QUICK_S, leak_bytes=32 * MIB)
    blind = Hygiene(tmp_path, grace_s=QUICK_S)
    for watch in (watching, blind):
        watch.settle()
    kept = bytearray(b"x" * (64 * MIB))
    (found,) = watching.left()
    assert found.endswith("MiB of memory of the worker")
    assert blind.left() == []
    del kept


def test_a_mapping_without_its_descriptor_is_found(tmp_path: Path, leaving: ExitStack) -> None:
    import mmap

    watch = settled(tmp_path, LOOKS)
    fd = os.memfd_create("arena")
    os.ftruncate(fd, MIB)
    leaving.enter_context(closing(mmap.mmap(fd, MIB)))
    os.close(fd)
    found = watch.left()
    assert "mapping of memfd:arena (deleted) of the worker" in found


def test_what_was_there_before_and_what_goes_in_time_is_no_finding(
    tmp_path: Path, leaving: ExitStack
) -> None:
    for leave, _ in LEAVERS.values():
        leave(leaving, tmp_path)
    watch = settled(tmp_path, LOOKS)
    leaving.close()
    assert watch.left() == []
    patient = Hygiene(tmp_path, grace_s=60)
    patient.settle()
    with subprocess.Popen(["sleep", "0.3"]):
        assert patient.left() == []


def test_a_device_is_looked_at_too(tmp_path: Path) -> None:
    held: Traces = {}
    watch = Hygiene(tmp_path, (), lambda _scope: dict(held), grace_s=0)
    watch.settle()
    assert watch.left() == []
    held["memory"] = "300 MiB on device 0"
    assert watch.left() == ["300 MiB on device 0"]


ORPHAN = """
import os, subprocess, sys
from pathlib import Path
from judge.hygiene import Hygiene
from judge.processes import adopt_orphans
if sys.argv[2] == "adopt":
    adopt_orphans()
watch = Hygiene(Path(sys.argv[1]), grace_s=0)
watch.settle()
child = os.fork()
if child == 0:
    left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print(left.pid, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(len(watch.left()), flush=True)
"""


@pytest.mark.parametrize(("adopt", "found"), [("adopt", 1), ("not", 0)])
def test_an_orphan_is_seen_because_it_comes_back(adopt: str, found: int, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", ORPHAN, str(tmp_path), adopt]
    # Not to its end of file: the orphan holds the pipe.
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        orphan, number = (int(process.stdout.readline()) for _ in range(2))
        os.kill(orphan, 9)
    assert number == found


NEIGHBOUR = """
import mmap, os, socket, sys
user = int(sys.argv[1])
os.setgid(user), os.setuid(user)
held = open(f"/dev/shm/neighbour-{os.getpid()}", "w+b")
held.truncate(1 << 20)
page = mmap.mmap(held.fileno(), 1 << 20)
server = socket.create_server(("127.0.0.1", 0))
unix = socket.socket(socket.AF_UNIX)
unix.bind("\\0neighbour-%d" % os.getpid())
print(held.name, flush=True)
sys.stdin.read()
"""
WORKER = """
import sys
from pathlib import Path
from judge.hygiene import Hygiene
watch = Hygiene(Path(sys.argv[1]), grace_s=0)
watch.settle()
print("settled", flush=True)
sys.stdin.readline()
print(watch.left(), flush=True)
"""


def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)


@pytest.mark.parametrize("user", [os.geteuid(), *([NOBODY] if os.geteuid() == 0 else [])])
def test_what_neighbours_start_meanwhile_is_theirs(
    user: int, tmp_path: Path, leaving: ExitStack
) -> None:
    """Processes, ports and shared memory of the same user as the worker or as its programs."""
    with start(WORKER, tmp_path) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        worker.stdout.readline()
        # An interpreter that nobody may enter cannot be another user's.
        with subprocess.Popen(
            [
                "/usr/bin/python3" if user != os.geteuid() else sys.executable,
                "-c",
                NEIGHBOUR,
                str(user),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as neighbour:
            assert neighbour.stdout is not None
            path = neighbour.stdout.readline().strip()
            leaving.callback(os.unlink, path)
            # One that nobody has open; of the programs' user it would be a finding, see above.
            fd, of_nobody_now = tempfile.mkstemp(dir="/dev/shm")
            os.close(fd)
            leaving.callback(os.unlink, of_nobody_now)
            worker.stdin.write("\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == "[]\n"


def test_what_a_neighbour_leaves_that_dies_is_theirs(tmp_path: Path, leaving: ExitStack) -> None:
    """What carries the process id of a dead process is ours only if that process judged for us."""
    watch = Hygiene(tmp_path, LOOKS, grace_s=0)
    watch.settle()
    with start("pass") as dead:
        dead.wait()
    path = Path(tempfile.mkdtemp(prefix=f"opjudge-dummy-{dead.pid}-"))
    leaving.callback(path.rmdir)
    assert watch.left() == []
    watch.judged_by(dead.pid)
    assert watch.left() == [str(path)]


def test_a_quarantine_lasts_until_its_file_is_removed(tmp_path: Path) -> None:
    home = tmp_path / "worker"
    watch = Hygiene(home, ())
    watch.admit()
    watch.quarantine(["process 7 (sleep)", "shared memory /dev/shm/x"])
    with pytest.raises(Quarantined, match=r"process 7 \(sleep\); shared memory /dev/shm/x.*delete"):
        Hygiene(home, ()).admit()
    (home / "quarantine").unlink()
    watch.admit()


def test_a_quarantine_ends_with_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Hygiene(tmp_path, ())
    watch.quarantine(["process 7 (sleep)"])
    monkeypatch.setattr(hygiene, "_boot", lambda: "another")
    watch.admit()
    assert not (tmp_path / "quarantine").exists()


def test_zombies_that_came_here_are_buried(tmp_path: Path) -> None:
    watch = settled(tmp_path, LOOKS)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert watch.left() == []
    assert not Path(f"/proc/{pid}").exists()
