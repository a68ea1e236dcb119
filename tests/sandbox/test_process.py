"""What is read of processes from outside, and the heap that keeps its pages."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sandbox.base import SandboxError
from sandbox.bubblewrap import Bubblewrap
from sandbox.outcome import Status
from sandbox.process import Handle, Threads, parent_of, stat_fields, tree_usage
from tests.sandbox.conftest import LIMITS, eventually, python


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def test_a_handle_follows_a_process_to_its_end(child: subprocess.Popen[bytes]) -> None:
    handle = Handle(child.pid)
    assert handle.alive()
    assert not handle.wait(0)
    handle.send(signal.SIGKILL)
    assert handle.wait(10)
    assert not handle.alive()
    child.wait()
    handle.send(signal.SIGKILL)  # reaped: nothing happens, to anybody
    handle.close()


def test_a_handle_of_nobody() -> None:
    with pytest.raises(ProcessLookupError):
        Handle(2**22 + 1)
    with pytest.raises(OSError, match="No such"):
        stat_fields(2**22 + 1)


def test_parent(child: subprocess.Popen[bytes]) -> None:
    assert parent_of(child.pid) == os.getpid()


def test_names_with_brackets_do_not_confuse() -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b') R (x) Z'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert parent_of(process.pid) == os.getpid()
        threads = Threads(process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        threads.wait_stopped()
        assert stat_fields(process.pid)[0] == "T"
        os.kill(process.pid, signal.SIGCONT)
        with pytest.raises(SandboxError, match="did not stop"):
            threads.wait_stopped(0.05)
        threads.close()
        process.kill()


def test_threads_of_a_dead_process_are_stopped(child: subprocess.Popen[bytes]) -> None:
    threads = Threads(child.pid)
    child.kill()
    child.wait()
    threads.wait_stopped()
    threads.close()


TREE = """
import os, threading, time
block = bytearray(20 << 20)
if os.fork() == 0:
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(1000,)).start()
    while time.process_time() < 0.3:
        pass
time.sleep(1000)
"""


def test_the_use_of_a_tree_is_summed() -> None:
    argv = ["sh", "-c", f"{sys.executable} -c '{TREE}'; :"]
    with subprocess.Popen(argv, start_new_session=True) as top:
        try:

            def grown() -> bool:
                usage = tree_usage(top.pid)
                # python, its child with 4 threads; two blocks, one of them copied on write.
                return usage.threads >= 5 and usage.cpu_s >= 0.2 and usage.private_bytes > 20 << 20

            assert eventually(grown)
            # The tree's root itself is not counted, and this process has children of its own.
            assert tree_usage(os.getpid()).threads > tree_usage(top.pid).threads
        finally:
            os.killpg(top.pid, signal.SIGKILL)


SHARED = """
import mmap, os, time
block = mmap.mmap(-1, 24 << 20)
for at in range(0, len(block), 4096):
    block[at] = 1
if os.fork() == 0:
    sum(block[at] for at in range(0, len(block), 4096))
print(flush=True)
time.sleep(1000)
"""


def test_a_page_that_two_processes_share_counts_once_if_asked_for() -> None:
    argv = ["sh", "-c", f"{sys.executable} -c '{SHARED}'; :"]
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE) as top:
        try:
            assert top.stdout is not None
            assert [top.stdout.readline() for _ in range(2)] == [b"\n"] * 2
            assert tree_usage(top.pid).shared_bytes == 2 * (24 << 20)
            assert tree_usage(top.pid, exact=True).shared_bytes == 24 << 20
            assert tree_usage(top.pid).private_bytes < 24 << 20
        finally:
            os.killpg(top.pid, signal.SIGKILL)


TABLES = """
import mmap, time
reserved = mmap.mmap(-1, 16 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, mmap.PROT_READ)
sum(reserved[at] for at in range(0, 16 << 30, 2 << 20))
print(flush=True)
time.sleep(1000)
"""


def test_page_tables_are_memory() -> None:
    """A page of nothing but zeros every 2 MiB: none is resident, each has a table of its own."""
    argv = ["sh", "-c", f"{sys.executable} -c '{TABLES}'; :"]
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE) as top:
        try:
            assert top.stdout is not None
            top.stdout.readline()
            assert tree_usage(top.pid).private_bytes > 32 << 20
        finally:
            os.killpg(top.pid, signal.SIGKILL)


def test_a_process_that_ends_meanwhile_uses_nothing(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    assert tree_usage(child.pid).threads == 0


FAULTS = """
import resource
def faults(mib):
    for _ in range(3): b"x" * (mib << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10): b"x" * (mib << 20)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10
print([faults(mib) for mib in (1, 8, 40)])
"""


def test_a_fresh_temporary_does_not_fault_again(box: Bubblewrap) -> None:
    hot = box.run(python(FAULTS), LIMITS)
    assert hot.status is Status.OK
    assert max(eval(hot.stdout)) < 10
    names = ("MMAP_THRESHOLD", "TRIM_THRESHOLD", "TOP_PAD")
    off = {"MALLOC_MMAP_MAX_": "65536"} | {f"MALLOC_{name}_": "131072" for name in names}
    cold = box.run(python(FAULTS, environment=off), LIMITS)
    assert max(eval(cold.stdout)) > 1000
