"""Warm starts: as shut in as cold ones, with nothing passed on, and gone with whoever asked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import landlock
from sandbox.base import Command, SandboxError
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.harness.template import MESSAGE_BYTES, Request
from sandbox.outcome import Outcome, Status
from sandbox.probes import check
from sandbox.process import stat_fields
from sandbox.resident import BubblewrapResident
from tests.sandbox.conftest import LIMITS, dies, eventually, python

WARM = {"OMP_NUM_THREADS": "1"}
SCRIPT = "sandbox.harness.script"


@pytest.fixture(scope="module")
def warm() -> Iterator[Bubblewrap]:
    with closing(Bubblewrap()) as sandbox:
        sandbox.refill(WARM)
        yield sandbox


def script(code: str, *arguments: object, **more: object) -> Command:
    """Python code, run by the harness with the environment that there are warm starts for."""
    return Command(
        argv=("s.py", *map(str, arguments)),
        files={"s.py": code.encode()},
        environment=WARM,
        module=SCRIPT,
        **more,  # type: ignore[arg-type]
    )


def run(sandbox: Bubblewrap, code: str, *arguments: object, **more: object) -> Outcome:
    return sandbox.run(script(code, *arguments, **more), LIMITS)


def started(sandbox: Bubblewrap, code: str) -> BubblewrapResident:
    resident = sandbox.start(script(code), LIMITS)
    assert isinstance(resident, BubblewrapResident)
    return resident


def answer(sandbox: Bubblewrap, code: str, *arguments: object) -> str:
    outcome = run(sandbox, code, *arguments)
    assert outcome.status is Status.OK, outcome
    return outcome.stdout.decode().strip()


def imported(sandbox: Bubblewrap, command: Command) -> bool:
    """Whether the program finds torch imported, that is, whether it was a warm start."""
    outcome = sandbox.run(command, LIMITS)
    assert outcome.status is Status.OK, outcome
    return outcome.stdout == b"True\n"


LOOK = "import sys; print('torch' in sys.modules)"


def test_torch_is_there_already(warm: Bubblewrap) -> None:
    assert imported(warm, script(LOOK))


def test_only_harness_programs_with_the_same_environment_start_warm(warm: Bubblewrap) -> None:
    assert not imported(warm, python(LOOK, environment=WARM))
    assert not imported(warm, replace(script(LOOK), environment={"OMP_NUM_THREADS": "2"}))
    assert not imported(warm, replace(script(LOOK), cores=(0,)))
    with closing(Bubblewrap()) as cold:
        assert not imported(cold, script(LOOK))


def test_another_environment_needs_another_template() -> None:
    others = templates()
    with closing(Bubblewrap()) as sandbox:
        sandbox.refill(WARM)
        first = templates() - others
        sandbox.refill(WARM)
        assert templates() - others == first
        sandbox.refill({"OMP_NUM_THREADS": "2"})
        assert templates().isdisjoint(first)
        assert imported(sandbox, replace(script(LOOK), environment={"OMP_NUM_THREADS": "2"}))
    assert templates().isdisjoint(first)


def templates() -> set[int]:
    """Processes below this one that run a template."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            if b"sandbox.harness.template" in words and ancestor(int(path.name)):
                found.add(int(path.name))
        except OSError:
            continue
    return found


def ancestor(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def test_arguments_output_and_exit_code(warm: Bubblewrap) -> None:
    code = "import sys; print(sys.argv[1:]); print('err', file=sys.stderr); sys.exit(3)"
    outcome = run(warm, code, "a", "b c")
    assert (outcome.status, outcome.exit_code) == (Status.NONZERO_EXIT, 3)
    assert (outcome.stdout, outcome.stderr) == (b"['a', 'b c']\n", b"err\n")


def test_a_traceback_shows_nothing_of_the_template(warm: Bubblewrap) -> None:
    outcome = run(warm, "raise KeyError('mine')")
    assert outcome.exit_code == 1
    assert b"KeyError: 'mine'" in outcome.stderr
    assert b"_isolate" not in outcome.stderr


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_signal_is_reported(warm: Bubblewrap, number: signal.Signals) -> None:
    outcome = run(warm, f"import os; os.kill(os.getpid(), {int(number)})")
    assert (outcome.status, outcome.signal) == (Status.SIGNALLED, number)


def test_files_come_back(warm: Bubblewrap) -> None:
    code = "import shutil; shutil.copy('s.py', 'out'); print(open('a/b').read())"
    command = script(code, collect=["out"])
    outcome = warm.run(replace(command, files={**command.files, "a/b": b"deep"}), LIMITS)
    assert outcome.stdout == b"deep\n"
    assert outcome.files == {"out": code.encode()}


def test_descriptors_have_the_same_numbers_and_no_others_are_open(warm: Bubblewrap) -> None:
    code = """
import os
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
print([fd for fd in range(512) if is_open(fd)])
"""
    fds = [os.memfd_create(f"shared-{n}") for n in range(3)]
    try:
        for fd in fds:
            os.write(fd, str(fd).encode())
        outcome = run(warm, code, share=fds)
        assert json.loads(outcome.stdout) == [0, 1, 2, *fds], outcome
        read = "import os, sys; print([os.pread(int(a), 9, 0).decode() for a in sys.argv[1:]])"
        # Handed over in another order, and each under another's number at first.
        outcome = run(warm, read, *fds, share=fds[::-1])
        assert outcome.stdout.decode().strip() == str([str(fd) for fd in fds])
    finally:
        for fd in fds:
            os.close(fd)


def test_no_privilege_is_left(warm: Bubblewrap) -> None:
    """Read from outside: there is no /proc inside."""
    with started(warm, "import signal; signal.pause()") as resident:
        status = Path(f"/proc/{resident.pid}/status").read_text()
        init = Path(f"/proc/{resident.tree.init.pid}/status").read_text()
    for text in (status, init):
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert f"{kind}:\t{0:016x}" in text
    assert "NoNewPrivs:\t1" in status


def test_each_has_namespaces_of_its_own(warm: Bubblewrap) -> None:
    command = script("import signal; signal.pause()")
    with warm.start(command, LIMITS) as one, warm.start(command, LIMITS) as two:
        for kind in ("pid", "mnt", "net", "ipc", "uts"):
            three = {os.readlink(f"/proc/{p}/ns/{kind}") for p in (one.pid, two.pid, os.getpid())}
            assert len(three) == 3, kind


def test_nothing_passes_from_one_to_the_next(warm: Bubblewrap) -> None:
    leave = """
import os, sys
for place in ('/work', '/tmp', '/dev/shm'):
    open(place + '/left', 'w').write('x')
os.environ['LEFT'] = '1'
sys.modules['left'] = sys
"""
    find = """
import os, sys
print([p for p in ('/work', '/tmp', '/dev/shm') if os.path.exists(p + '/left')],
      'LEFT' in os.environ, 'left' in sys.modules)
"""
    assert run(warm, leave + find).stdout == b"['/work', '/tmp', '/dev/shm'] True True\n"
    assert answer(warm, find) == "[] False False"


def test_two_at_a_time_do_not_see_each_other(warm: Bubblewrap) -> None:
    wait = """
import os, signal, socket
open('/work/secret', 'w').write('x')
server = socket.socket(socket.AF_UNIX)
server.bind('\\0meeting')
server.listen()
os.write(1, b'up')
signal.pause()
"""
    look = """
import os, signal, socket
found = [os.path.exists('/work/secret')]
try:
    socket.socket(socket.AF_UNIX).connect('\\0meeting')
    found.append('connected')
except OSError:
    pass
for pid in range(1, 200):
    if pid not in (1, os.getpid()):
        try:
            os.kill(pid, 0)
            found.append(pid)
        except OSError:
            pass
print(found, os.getpid())
"""
    with started(warm, wait) as other:
        while os.fstat(other.tree.stdout).st_size == 0:
            assert other.alive(), other.end()
        assert answer(warm, look) == "[False] 2"


def test_random_numbers_are_not_the_same_everywhere(warm: Bubblewrap) -> None:
    code = "import random, numpy; print(random.random(), numpy.random.random())"
    first, second = (answer(warm, code).split() for _ in range(2))
    assert set(first).isdisjoint(second)


def test_the_quota_counts_bytes_and_files(warm: Bubblewrap) -> None:
    fill = "open('/dev/shm/f', 'wb').write(bytes(1 << 30))"
    assert run(warm, fill).status is Status.FILE_LIMIT
    many = "for n in range(100_000): open(f'/tmp/{n}', 'w').close()"
    assert run(warm, many).status is Status.FILE_LIMIT


@pytest.mark.parametrize("grouped", [True, False])
def test_limits_hold(grouped: bool) -> None:
    hog = "x = bytearray(int(__import__('sys').argv[1]) << 20); x[::4096] = x[::4096]; print('ok')"
    swarm = """
import threading, time
for _ in range(100): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
time.sleep(5)
"""
    with closing(Bubblewrap(layers=Layers(cgroup=grouped))) as sandbox:
        sandbox.refill(WARM)
        # What it has from the template is not charged to it.
        assert run(sandbox, hog, 128).stdout == b"ok\n"
        patient = hog + "; __import__('time').sleep(2)"
        assert run(sandbox, patient, 1024).status is Status.MEMORY_LIMIT
        assert run(sandbox, swarm).status is Status.VIOLATION
        forever = replace(LIMITS, wall_s=0.5)
        assert sandbox.run(script("while True: pass"), forever).status is Status.WALL_LIMIT


def test_every_probe_is_contained(warm: Bubblewrap) -> None:
    report = check(warm, WARM)
    assert report.breaches() == []


@pytest.mark.parametrize(
    ("layers", "probes"),
    [
        (Layers(seccomp=False), {"ptrace", "unshare"}),
        (Layers(network=True, landlock=False), {"abstract_socket"}),
        *([(Layers(landlock=False), {"device_file"})] if landlock.abi() else []),
    ],
)
def test_without_a_layer_some_get_through(layers: Layers, probes: set[str]) -> None:
    with closing(Bubblewrap(layers=layers)) as sandbox:
        sandbox.refill(WARM)
        through = {f.name for f in check(sandbox, WARM).findings if not f.contained}
    assert probes <= through


def test_it_ends_with_the_process_that_asked(warm: Bubblewrap) -> None:
    """A forked child, as a worker forks one for every judgement, is killed at once."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resident = warm.start(script("import signal; signal.pause()"), LIMITS)
        os.write(writer, str(resident.pid).encode())
        signal.pause()
    os.close(writer)
    pid = int(os.read(reader, 20))
    os.close(reader)
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert dies(pidfd)
    finally:
        os.close(pidfd)
    assert imported(warm, script(LOOK))


def test_a_forked_child_does_not_close_its_parents_template(warm: Bubblewrap) -> None:
    child = os.fork()
    if child == 0:
        warm.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert imported(warm, script(LOOK))


def test_without_its_template_a_start_is_cold_and_correct() -> None:
    others = templates()
    with closing(Bubblewrap()) as sandbox:
        sandbox.refill(WARM)
        for pid in sorted(templates() - others, reverse=True):
            with closing_fd(os.pidfd_open(pid)) as pidfd:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                assert dies(pidfd)
        assert not imported(sandbox, script(LOOK))
        sandbox.refill(WARM)
        assert imported(sandbox, script(LOOK))


class closing_fd:
    """Like `contextlib.closing`, of a descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *_exc: object) -> None:
        os.close(self.fd)


def test_it_dies_with_its_maker() -> None:
    code = (
        "import signal\nfrom sandbox.bubblewrap import Bubblewrap\nb = Bubblewrap()\n"
        f"b.refill({WARM!r})\nprint(b._template._resident.pid, flush=True)\nsignal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        with closing_fd(os.pidfd_open(int(maker.stdout.readline()))) as pidfd:
            maker.kill()
            assert dies(pidfd)


def test_a_descriptor_with_a_high_number_is_shared_by_a_cold_start(warm: Bubblewrap) -> None:
    read = "import os, sys; print(os.pread(int(sys.argv[1]), 9, 0), 'torch' in sys.modules)"
    fd = os.memfd_create("high")
    os.write(fd, b"high")
    high = os.dup2(fd, 700)
    try:
        assert run(warm, read, high, share=[high]).stdout == b"b'high' False\n"
        assert run(warm, read, fd, share=[fd]).stdout == b"b'high' True\n"
    finally:
        os.close(fd)
        os.close(high)


def test_a_start_that_cannot_be_made_is_an_error_and_not_the_end(
    warm: Bubblewrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(warm._template, "_kept", ("/work/nowhere",))
        with pytest.raises(SandboxError, match=r"built: .*No such file"):
            run(warm, "print(1)")
    assert imported(warm, script(LOOK))


def test_a_command_line_that_is_too_long_is_refused(warm: Bubblewrap) -> None:
    with pytest.raises(ValueError, match="too long"):
        run(warm, "print(1)", "x" * MESSAGE_BYTES)
    assert imported(warm, script(LOOK))
    request = Request("m", (), tuple(range(3, 300)), 1, 1, (), True, True, False)
    with pytest.raises(ValueError, match="too long"):
        request.encode()


def test_a_stop_holds(warm: Bubblewrap) -> None:
    burn = "import os\nwhile True: os.write(1, b'.')"
    with started(warm, burn) as resident:
        while os.fstat(resident.tree.stdout).st_size == 0:
            assert resident.alive()
        resident.stop()
        size = os.fstat(resident.tree.stdout).st_size
        for _ in range(1000):
            assert os.fstat(resident.tree.stdout).st_size == size
        resident.resume()
        while os.fstat(resident.tree.stdout).st_size == size:
            assert resident.alive()


def below(pid: int) -> set[int]:
    """The living children of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if process_state(int(child)) not in ("Z", "")}


def process_state(pid: int) -> str:
    try:
        return stat_fields(pid)[0]
    except OSError:
        return ""


def test_several_are_made_at_once_and_none_runs_before_it_is_asked_for(warm: Bubblewrap) -> None:
    fds = [os.memfd_create("ran") for _ in range(3)]
    code = "import os, sys, time; os.write(int(sys.argv[1]), b'ran'); time.sleep(1000)"
    try:
        launches = [warm.begin(script(code, fd, share=(fd,)), LIMITS) for fd in fds]
        # Asked for in another order than they were begun.
        for launch, fd in reversed(list(zip(launches, fds, strict=True))):
            assert os.pread(fd, 9, 0) == b""
            with launch.resident():
                assert eventually(lambda fd=fd: os.pread(fd, 9, 0) == b"ran")  # type: ignore[misc]
    finally:
        for fd in fds:
            os.close(fd)


def test_one_that_is_given_up_leaves_nothing(warm: Bubblewrap) -> None:
    template = warm._template
    assert template is not None
    host_pid = template._resident.pid
    open_before, children = set(os.listdir("/proc/self/fd")), below(host_pid)
    launch = warm.begin(script("open('/work/ran', 'w')"), LIMITS)
    assert eventually(lambda: below(host_pid) > children)
    launch.abandon()
    assert eventually(lambda: below(host_pid) == children)
    assert set(os.listdir("/proc/self/fd")) == open_before


def test_begun_cold_it_starts_when_it_is_asked_for() -> None:
    cold = Bubblewrap()
    cold.begin(script("print('never')"), LIMITS).abandon()
    launch = cold.begin(script("import time; time.sleep(1000)"), LIMITS)
    with launch.resident() as resident:
        assert resident.alive()


def test_threads_may_start_programs_at_the_same_time(warm: Bubblewrap) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: answer(warm, f"print({n})"), range(12)))
    assert found == [str(n) for n in range(12)]


def test_killed_they_die_together_and_are_ended_later(warm: Bubblewrap) -> None:
    residents = [started(warm, "import time; time.sleep(1000)") for _ in range(2)]
    for resident in residents:
        resident.kill()
    for resident in residents:
        assert eventually(lambda r=resident: not r.alive())  # type: ignore[misc]
        assert resident.end() is resident.end()
        resident.kill()
