"""Each attack by itself, on the host and in a child: what counts as success, what as refusal.

Those that succeed on the host for root alone, or not on every kernel, are in `test_probes`.
"""

import errno
import faulthandler
import json
import os
import platform
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import seccomp
from sandbox.probes import attacks
from sandbox.probes.bait import SIGNAL, Bait

QUOTA = 2 << 20


@pytest.fixture
def bait() -> Iterator[Bait]:
    with Bait() as laid_out:
        yield laid_out


@pytest.fixture
def facts(bait: Bait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> attacks.Facts:
    """What the attacks are told, in a folder where they may write."""
    monkeypatch.chdir(tmp_path)
    return {
        "token": bait.token,
        "folder": str(bait.folder),
        "port": bait.port,
        "abstract": bait.abstract,
        "pid": bait.pid,
        "signal": int(SIGNAL),
        "harness": str(tmp_path),
        "quota": QUOTA,
        "calls": {**seccomp.architecture().numbers, "io_uring_setup": 425},
    }


OPEN_TO_ALL = (
    attacks.connect,
    attacks.abstract_socket,
    attacks.host_file,
    attacks.write_outside,
    attacks.host_process,
    attacks.devices,
    attacks.ptrace,
    attacks.keyctl,
    attacks.disk_quota,
)


@pytest.mark.parametrize("attack", OPEN_TO_ALL, ids=lambda a: str(a.__name__))
def test_with_nothing_in_the_way_it_gets_something(attack: Any, facts: attacks.Facts) -> None:
    got, seen = attacks.attempt(attack, facts)
    assert (got, bool(seen)) == (True, True), seen


def test_writing_leaves_nothing_behind(facts: attacks.Facts, bait: Bait, tmp_path: Path) -> None:
    attacks.attempt(attacks.write_outside, facts)
    attacks.attempt(attacks.disk_quota, facts)
    attacks.attempt(attacks.device_file, facts)
    assert [path.name for path in bait.folder.iterdir()] == ["secret"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_a_refusal(facts: attacks.Facts, tmp_path: Path) -> None:
    gone = {**facts, "abstract": "opjudge-nobody-listens", "pid": 2**22 + 1, "folder": "/nowhere"}
    assert attacks.attempt(attacks.abstract_socket, gone) == (False, "Connection refused")
    assert attacks.attempt(attacks.host_process, gone)[0] is False
    assert attacks.attempt(attacks.host_signal, gone) == (False, "No such process")


def test_a_process_of_ones_own_with_that_number_is_not_the_hosts(facts: attacks.Facts) -> None:
    mine = {**facts, "pid": os.getpid()}
    assert attacks.attempt(attacks.host_process, mine) == (
        False,
        "another process has that number here",
    )


def test_a_signal_that_arrives_is_the_hosts_to_see(facts: attacks.Facts, bait: Bait) -> None:
    got, seen = attacks.attempt(attacks.host_signal, facts)
    assert (got, "host" in seen) == (False, True)
    assert bait.was_signalled() is (os.geteuid() == 0 or os.geteuid() == os.stat(
        f"/proc/{bait.pid}"
    ).st_uid)  # fmt: skip


def test_ordinary_devices_are_no_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", lambda _path: ["null", "shm", "urandom"])
    assert attacks.attempt(attacks.devices, {}) == (False, "none there")
    monkeypatch.setattr(os, "listdir", lambda _path: ["null", "kvm", "sda"])
    assert attacks.attempt(attacks.devices, {}) == (True, "kvm, sda")


def test_a_full_disk_is_a_refusal_and_is_emptied(facts: attacks.Facts, tmp_path: Path) -> None:
    """A limit on the size of one file stands for the quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (QUOTA // 4, before[1]))
    try:
        got, seen = attacks.attempt(attacks.disk_quota, facts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (got, seen) in ((False, "no space left"), (False, os.strerror(errno.EFBIG)))
    assert list(tmp_path.iterdir()) == []


def test_another_processor_has_no_32_bit_calls_of_this_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert attacks.attempt(attacks.foreign_abi, {}) == (False, "not on this processor")


def faults(_facts: attacks.Facts) -> str:
    faulthandler.disable()  # the test runner's, which would write about it
    signal.raise_signal(signal.SIGSEGV)
    return "unreachable"


def test_a_fault_is_a_refusal_only_of_32_bit_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attacks.attempt(faults, {}) == (True, "SIGSEGV")
    monkeypatch.setattr(attacks, "foreign_abi", faults)
    assert attacks.attempt(faults, {}) == (False, "SIGSEGV")


def fine() -> None:
    """Works."""


def closed() -> None:
    raise OSError(errno.EACCES, "closed")


def locked() -> None:
    raise OSError(errno.EPERM, "locked")


def test_one_success_of_several_is_enough() -> None:
    assert attacks.first_success({"a": closed, "b": fine, "c": locked, "d": fine}) == "b, d"
    with pytest.raises(OSError, match="locked"):
        attacks.first_success({"a": closed, "b": locked})
    with pytest.raises(OSError, match="nothing"):
        attacks.first_success({})


def test_a_raw_call_raises_what_the_kernel_says() -> None:
    numbers = {"calls": seccomp.architecture().numbers}
    with pytest.raises(OSError, match="Bad file descriptor"):
        attacks.system_call(numbers, "fcntl", -1, 1)


def hangs(_facts: attacks.Facts) -> str:
    signal.pause()
    return "unreachable"


def test_an_attack_that_hangs_is_ended_and_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "_PATIENCE_S", 1)
    assert attacks.attempt(hangs, {}) == (True, "SIGALRM")


def mistaken(_facts: attacks.Facts) -> str:
    raise TypeError("a mistake in the attack")


def test_an_attack_that_breaks_is_no_refusal_and_its_child_ends() -> None:
    before = os.getpid()
    assert attacks.attempt(mistaken, {}) == (True, "no answer")
    assert os.getpid() == before


def run(which: str, facts: attacks.Facts, folder: Path) -> list[str]:
    argv = [sys.executable, "-I", "-S", "-B", str(attacks.__file__), which, json.dumps(facts)]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_alone_they_say_what_they_hold(facts: attacks.Facts, tmp_path: Path) -> None:
    assert run("memory", {"bytes": 4 << 20}, tmp_path) == ["got 4 MiB"]
    assert run("shared_memory", {"bytes": 4 << 20}, tmp_path) == ["got 4 MiB"]
    assert run("processes", {"count": 3}, tmp_path) == ["got 3 processes"]


def test_together_each_has_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def first(_facts: attacks.Facts) -> str:
        return "line\nbreak"

    def second(_facts: attacks.Facts) -> str:
        raise OSError(errno.EPERM, "no")

    before = signal.getsignal(SIGNAL)
    monkeypatch.setattr(attacks, "TOGETHER", (first, second))
    monkeypatch.setattr(sys, "argv", ["attacks.py", "together", f'{{"signal": {int(SIGNAL)}}}'])
    attacks.main()
    assert signal.getsignal(SIGNAL) is signal.SIG_IGN
    signal.signal(SIGNAL, before)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert lines == [["first", True, "line\nbreak"], ["second", False, "no"]]


def test_the_script_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """It runs without site-packages, and without this repository."""
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='looked at')"
    argv = [sys.executable, "-I", "-S", "-B", "-c", code, str(attacks.__file__)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
