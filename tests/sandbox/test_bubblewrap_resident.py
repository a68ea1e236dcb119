"""A program that stays: stopped for certain, continued, and gone with its owner."""

import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.base import Command, SandboxError
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.resident import BubblewrapResident
from tests.sandbox.conftest import LIMITS, dies, eventually, python, shell

LONG = replace(LIMITS, wall_s=300, cpu_s=300)


class Counters:
    """A shared page of counters that threads inside raise as fast as they can."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("counters")
        os.ftruncate(self.fd, 4096)
        self.map = mmap.mmap(self.fd, 4096)

    def read(self) -> tuple[int, ...]:
        return struct.unpack_from("=16Q", self.map)

    def close(self) -> None:
        self.map.close()
        os.close(self.fd)


@pytest.fixture
def counters() -> Counters:  # type: ignore[misc]
    shared = Counters()
    yield shared
    shared.close()


BURN = r"""
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
static volatile uint64_t *page;
static void *burn(void *slot) { for (;;) page[(uintptr_t)slot]++; }
static void *spawn(void *slot) {
    for (;;) {
        pthread_t t;
        if (pthread_create(&t, 0, spawn, slot)) continue;
        pthread_detach(t);
        page[(uintptr_t)slot]++;
        return 0;
    }
}
int main(int n, char **a) {
    page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(a[1]), 0);
    pthread_t t;
    for (uintptr_t i = 1; i < (uintptr_t)atoi(a[2]); i++) pthread_create(&t, 0, burn, (void *)i);
    if (n > 3) { pthread_create(&t, 0, spawn, (void *)0); pthread_exit(0); }
    burn(0);
}
"""


@pytest.fixture(scope="session")
def burner(box: Bubblewrap) -> bytes:
    command = Command(
        ["gcc", "-O1", "-pthread", "-o", "burn", "burn.c"],
        files={"burn.c": BURN.encode()},
        collect=["burn"],
    )
    return box.run(command, replace(LIMITS, file_bytes=64 << 20)).files["burn"]


def start_burning(
    box: Bubblewrap, burner: bytes, counters: Counters, threads: int, *more: str
) -> BubblewrapResident:
    script = f"cp burn b && chmod 755 b && exec ./b {counters.fd} {threads} {' '.join(more)}"
    resident = box.start(shell(script, files={"burn": burner}, share=[counters.fd]), LONG)
    assert isinstance(resident, BubblewrapResident)
    assert eventually(lambda: all(counters.read()[:threads]))
    return resident


@pytest.mark.parametrize("threads", [1, 8])
def test_a_stop_stops_every_thread(
    box: Bubblewrap, burner: bytes, counters: Counters, threads: int
) -> None:
    with start_burning(box, burner, counters, threads) as resident:
        for _ in range(20):
            resident.stop()
            seen = counters.read()
            states = {stat_state(p) for p in Path(f"/proc/{resident.pid}/task").iterdir()}
            assert states == {"T"}
            assert counters.read() == seen
            resident.resume()
            assert eventually(lambda: counters.read() != seen)  # noqa: B023


def stat_state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def test_a_stop_holds_while_threads_are_born_and_the_main_one_is_dead(
    box: Bubblewrap, burner: bytes, counters: Counters
) -> None:
    with start_burning(box, burner, counters, 3, "spawn") as resident:
        for _ in range(100):
            resident.stop()
            seen = counters.read()
            states = {stat_state(p) for p in Path(f"/proc/{resident.pid}/task").iterdir()}
            assert states <= {"T", "Z"}
            assert counters.read() == seen
            resident.resume()
            assert eventually(lambda: counters.read() != seen)  # noqa: B023


def test_without_the_verification_a_thread_may_still_run(
    box: Bubblewrap, burner: bytes, counters: Counters
) -> None:
    """The signal alone is not enough, or there would be nothing to verify."""
    with start_burning(box, burner, counters, 8) as resident:

        def still_runs() -> bool:
            signal.pidfd_send_signal(resident.tree.program.fd, signal.SIGSTOP)
            seen = counters.read()
            resident.tree.threads.wait_stopped()
            late = counters.read() != seen
            resident.resume()
            return late

        assert eventually(still_runs)


def test_a_stop_that_does_not_come_is_an_error(
    box: Bubblewrap, burner: bytes, counters: Counters
) -> None:
    with (
        start_burning(box, burner, counters, 1) as resident,
        pytest.raises(SandboxError, match="did not stop"),
    ):
        resident.tree.threads.wait_stopped(timeout_s=0.05)  # nobody has sent the signal


WAKE = r"""
import ctypes, mmap, os, sys
page = mmap.mmap(int(sys.argv[1]), 4096)
libc = ctypes.CDLL(None, use_errno=True)
if sys.argv[2] == "timer":
    event = (ctypes.c_int * 16)(0, 0, 18, 0)            # sigev_signo SIGCONT, SIGEV_SIGNAL
    timer = ctypes.c_void_p()
    if libc.timer_create(1, event, ctypes.byref(timer)) == 0:
        times = (ctypes.c_long * 4)(0, 50_000_000, 0, 50_000_000)
        assert libc.timer_settime(timer, 0, times, None) == 0
else:
    # A terminal or socket would do; here the pipe's owner is told of data by SIGCONT.
    r = int(sys.argv[3])
    libc.fcntl(r, 10, 18); libc.fcntl(r, 8, os.getpid()); libc.fcntl(r, 4, 0o20000 | os.O_NONBLOCK)
n = 0
while True:
    n += 1
    page[:8] = n.to_bytes(8, "little")
"""


def wakes(box: Bubblewrap, counters: Counters, how: str, closing: list[int]) -> bool:
    r, w = os.pipe()
    closing += [r, w]
    command = python(WAKE, counters.fd, how, r, share=[counters.fd, r])
    with box.start(command, LONG) as resident:
        assert eventually(lambda: counters.read()[0] > 0)
        resident.stop()
        seen = counters.read()
        os.write(w, b"x")
        woken = eventually(lambda: counters.read() != seen, 0.3)
        assert resident.alive()
    return woken


@pytest.mark.parametrize("how", ["timer", "pipe"])
def test_a_stopped_program_cannot_have_itself_woken(
    box: Bubblewrap, counters: Counters, how: str, closing: list[int]
) -> None:
    assert not wakes(box, counters, how, closing)


@pytest.mark.parametrize("how", ["timer", "pipe"])
def test_without_the_filter_it_can(counters: Counters, how: str, closing: list[int]) -> None:
    assert wakes(Bubblewrap(layers=Layers(seccomp=False)), counters, how, closing)


def test_a_dead_program_is_seen_and_can_be_stopped_and_continued(box: Bubblewrap) -> None:
    with box.start(shell("echo last words; exit 4"), LIMITS) as resident:
        assert eventually(lambda: not resident.alive())
        resident.stop()
        resident.resume()
        resident.check()
        outcome = resident.end()
    assert (outcome.status, outcome.exit_code) == (Status.NONZERO_EXIT, 4)
    assert outcome.stdout == b"last words\n"


def test_a_program_long_dead_is_not_over_its_wall_time(box: Bubblewrap) -> None:
    with box.start(shell("exit 4"), replace(LIMITS, wall_s=0.001)) as resident:
        assert eventually(lambda: not resident.alive())
        assert resident.end().status is Status.NONZERO_EXIT


@pytest.mark.parametrize(
    ("script", "limits", "status"),
    [
        ("yes", LONG, Status.OUTPUT_LIMIT),
        ("sleep 1000", replace(LONG, wall_s=0.2), Status.WALL_LIMIT),
        ("while :; do :; done", replace(LONG, cpu_s=0.2), Status.CPU_LIMIT),
    ],
)
def test_check_ends_what_is_over_a_limit(
    box: Bubblewrap, script: str, limits: Limits, status: Status
) -> None:
    with box.start(shell(script), limits) as resident:

        def checked() -> bool:
            resident.check()
            return not resident.alive()

        assert eventually(checked)
        assert resident.end().status is status


def test_check_leaves_a_good_program_alone(box: Bubblewrap) -> None:
    with box.start(shell("sleep 1000"), LIMITS) as resident:
        for _ in range(10):
            resident.check()
        assert resident.alive()


def test_memory_is_told_from_a_crash(box: Bubblewrap) -> None:
    code = "kept = bytearray(1 << 30)\nfor i in range(0, len(kept), 4096): kept[i] = 1"
    with box.start(python(code), replace(LIMITS, memory_bytes=64 << 20)) as resident:

        def checked() -> bool:
            resident.check()
            return not resident.alive()

        assert eventually(checked)
        assert resident.end().status is Status.MEMORY_LIMIT


def test_cores(box: Bubblewrap) -> None:
    core = max(os.sched_getaffinity(0))
    with box.start(shell("sleep 1000", cores=[core]), LIMITS) as resident:
        assert os.sched_getaffinity(resident.pid) == {core}


OWNER = """
import os, signal, sys, threading
from sandbox.base import Command
from sandbox.bubblewrap import Bubblewrap
from sandbox.limits import Limits
resident = Bubblewrap().start(Command(["/bin/sh", "-c", "sleep 1000 & exec sleep 1000"]), Limits())
print(resident.pid, resident.tree.init.pid, resident.tree.outer.pid, flush=True)
signal.pause()
"""


def test_a_killed_owner_takes_the_sandbox_along(closing: list[int]) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        closing += [os.pidfd_open(pid) for pid in pids]
        assert not any(dies(fd, 0) for fd in closing)
        owner.kill()
    assert all(dies(fd) for fd in closing)


HEIR = """
import os, sys
from sandbox.base import Command
from sandbox.bubblewrap import Bubblewrap
from sandbox.limits import Limits
script = "echo made >made; while ! [ -e /work/never ]; do :; done"
made = Bubblewrap().start(Command(["/bin/sh", "-c", script], collect=["made"]), Limits())
exits = Bubblewrap().start(Command(["/bin/sh", "-c", "exit 7"]), Limits())
pid = os.fork()
if pid == 0:
    for _ in range(50):
        made.stop(); made.resume(); made.check(); assert made.alive()
    while exits.alive():
        pass
    print(exits.end().exit_code, made.end().files, flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(made.alive(), exits.end().exit_code, made.end().status)
"""


def test_a_forked_child_can_use_and_end_what_its_parent_started() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEIR], capture_output=True, check=True
    )
    assert done.stdout.splitlines() == [b"7 {'made': b'made\\n'}", b"False 7 signalled"]
    assert done.stderr == b""


def start_in_thread(method: str) -> BubblewrapResident:
    found: list[BubblewrapResident] = []
    box = Bubblewrap()

    def start() -> None:
        found.append(getattr(box, method)(shell("sleep 1000"), LIMITS))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    return found[0]


def test_a_sandbox_outlives_the_thread_that_started_it() -> None:
    with start_in_thread("start") as resident:
        assert not dies(resident.tree.program.fd, 0.2)


def test_because_another_thread_keeps_it() -> None:
    """The kernel's parent-death signal follows the thread, so without the keeper it dies."""
    with start_in_thread("_start") as resident:
        assert dies(resident.tree.program.fd)


def test_an_error_in_the_keeper_is_raised_to_the_caller() -> None:
    errors: list[Exception] = []

    def start() -> None:
        try:
            Bubblewrap(bwrap="/bin/false").start(shell("true"), LIMITS)
        except SandboxError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "could not be built" in str(errors[0]) or "cannot run" in str(errors[0])


def test_starting_and_ending_are_quick(box: Bubblewrap) -> None:
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        box.start(shell("sleep 1000"), LIMITS).end()
        times.append(time.perf_counter() - begin)
    assert min(times) < 1.0
