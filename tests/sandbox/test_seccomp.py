"""The filters: first as programs, interpreted here; then as the kernel applies them."""

import errno
import json
import os
import platform
import struct

import pytest

from sandbox.base import Command
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.harness import seccomp
from sandbox.outcome import Status
from sandbox.resident import BubblewrapResident
from tests.sandbox.conftest import LIMITS, eventually, python

ALLOW = "allow"
KILL = "kill"
MACHINES = ("x86_64", "aarch64")


def decide(program: bytes, audit: int, number: int, arguments: tuple[int, ...] = ()) -> str | int:
    """Run a filter as the kernel would: ``allow``, ``kill``, or the errno."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, audit, 0, *padded)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            break
        else:
            test = {0x15: accumulator == value, 0x35: accumulator >= value}
            test[0x45] = bool(accumulator & value)
            at += if_true if test[operation] else if_false
    if value == 0x80000000:
        return KILL
    return ALLOW if value == 0x7FFF0000 else value & 0xFFFF


@pytest.fixture(params=MACHINES)
def arch(request: pytest.FixtureRequest) -> seccomp.Architecture:
    return seccomp.architecture(request.param)


def test_an_unknown_machine_gets_no_filter_and_so_no_sandbox() -> None:
    with pytest.raises(OSError, match="riscv64"):
        seccomp.architecture("riscv64")


@pytest.mark.parametrize("build", [seccomp.base_program, seccomp.no_processes_program])
def test_a_foreign_abi_is_killed(build: object, arch: seccomp.Architecture) -> None:
    program = build(arch)  # type: ignore[operator]
    assert decide(program, 0x40000003, 1) == KILL  # i386
    other = next(a for a in map(seccomp.architecture, MACHINES) if a.audit != arch.audit)
    assert decide(program, other.audit, 1) == KILL


def test_x32_numbers_are_killed() -> None:
    arch = seccomp.architecture("x86_64")
    assert decide(seccomp.base_program(arch), arch.audit, 0x40000000 | 1) == KILL
    assert decide(seccomp.base_program(arch), arch.audit, 1) == ALLOW


def test_base_refuses_what_it_lists_and_allows_ordinary_calls(arch: seccomp.Architecture) -> None:
    program = seccomp.base_program(arch)
    for name in ("ptrace", "bpf", "keyctl", "userfaultfd", "mount", "unshare", "timer_create"):
        assert decide(program, arch.audit, arch.numbers[name]) == errno.EPERM, name
    for name in ("execve", "seccomp", "sched_setaffinity"):
        assert decide(program, arch.audit, arch.numbers[name]) == ALLOW, name


def test_new_calls_are_refused_unless_listed(arch: seccomp.Architecture) -> None:
    program = seccomp.base_program(arch)
    for number, expected in ((425, errno.ENOSYS), (424, ALLOW), (437, ALLOW), (999, errno.ENOSYS)):
        assert decide(program, arch.audit, number) == expected, number
    assert decide(program, arch.audit, arch.numbers["clone3"]) == errno.ENOSYS


@pytest.mark.parametrize("flag", [1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30])
def test_base_refuses_clone_into_a_new_namespace(flag: int, arch: seccomp.Architecture) -> None:
    program, clone = seccomp.base_program(arch), arch.numbers["clone"]
    assert decide(program, arch.audit, clone, (flag | 17,)) == errno.EPERM
    assert decide(program, arch.audit, clone, (17,)) == ALLOW


def test_only_unix_sockets_in_base_and_none_without_processes(arch: seccomp.Architecture) -> None:
    socket = arch.numbers["socket"]
    base, strict = seccomp.base_program(arch), seccomp.no_processes_program(arch)
    assert decide(base, arch.audit, socket, (1,)) == ALLOW
    for family in (0, 2, 10, 16, 38, 40):
        assert decide(base, arch.audit, socket, (family,)) == errno.EPERM, family
    assert decide(strict, arch.audit, socket, (1,)) == errno.EPERM


def test_arguments_are_tested_by_value(arch: seccomp.Architecture) -> None:
    program = seccomp.base_program(arch)
    ioctl, fcntl = arch.numbers["ioctl"], arch.numbers["fcntl"]
    assert decide(program, arch.audit, ioctl, (0, 0x5412)) == errno.EPERM
    assert decide(program, arch.audit, ioctl, (0, 0x1_0000_5412)) == errno.EPERM  # kernel: 32 bits
    assert decide(program, arch.audit, ioctl, (0, 0x5413)) == ALLOW
    assert decide(program, arch.audit, fcntl, (0, 10, 18)) == errno.EPERM
    assert decide(program, arch.audit, fcntl, (0, 1)) == ALLOW


def test_threads_but_no_processes(arch: seccomp.Architecture) -> None:
    program, clone = seccomp.no_processes_program(arch), arch.numbers["clone"]
    assert decide(program, arch.audit, clone, (0x00010000 | 0x100,)) == ALLOW
    assert decide(program, arch.audit, clone, (17,)) == errno.EPERM
    assert decide(program, arch.audit, clone, (0x100 | 0x4000,)) == errno.EPERM  # vfork by clone
    for name in ("fork", "vfork", "execve", "execveat"):
        if name in arch.numbers:
            assert decide(program, arch.audit, arch.numbers[name]) == errno.EPERM, name
    for name in ("affinity", "attr", "param", "scheduler"):
        assert decide(program, arch.audit, arch.numbers[f"sched_set{name}"]) == 0, name


# (call, arguments): without the filter each answers otherwise than with EPERM, even for nobody.
# -1 stands for a bad pointer, so that nothing is ever really done.
CALLS: dict[str, tuple[int, ...]] = {
    "add_key": (-1, -1, 0, 0, 0),
    "bpf": (999, -1, 1 << 30),
    "fcntl": (0, 10, 18),
    "inotify_init1": (-1,),
    "io_setup": (0, -1),
    "ioctl": (0, 0x5412, -1),
    "keyctl": (9999,),
    "memfd_create": (-1, 0),
    "mount": (0, -1, 0, 0, 0),
    "mq_open": (-1, 0, 0, 0),
    "name_to_handle_at": (-1, -1, -1, -1, 0),
    "perf_event_open": (-1, 0, -1, -1, 0),
    "personality": (0xFFFFFFFF,),
    "process_vm_readv": (0, 0, 0, 0, 0, 1),
    "ptrace": (9999, 0, 0, 0),
    "setns": (-1, 0),
    "shmget": (0, 0, 0),
    "socket": (16, 3, 0),
    "timer_create": (9999, 0, 0),
    "umount2": (-1, 0x8000),
    "unshare": (1,),
    "userfaultfd": (0x7FFFFFFF,),
    "vmsplice": (-1, -1, 1, 0xFF),
}
LOCKS = """
import errno, fcntl, os, struct, sys
file = os.open(sys.argv[1], os.O_RDONLY)
lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0)
attempts = {"flock": lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)}
for name in ("F_GETLK", "F_SETLK", "F_SETLKW", "F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW"):
    attempts[name] = lambda name=name: fcntl.fcntl(file, getattr(fcntl, name), lock)
for name, attempt in attempts.items():
    try:
        attempt()
        print(name, "OK")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
print("open again", fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 100) >= 100)
"""
HOLD = """
import fcntl, sys, time
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(1000)
"""
LOCK_NAMES = ("F_GETLK", "F_SETLK", "F_SETLKW", "F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW")


def try_locks(box: Bubblewrap) -> dict[str, str]:
    outcome = box.run(python(LOCKS, "/usr/bin/env"), LIMITS)
    assert outcome.status is Status.OK, outcome
    lines = [line.rpartition(" ") for line in outcome.stdout.decode().splitlines()]
    assert lines.pop() == ("open again", " ", "True")
    return {name: code for name, _, code in lines}


def test_files_that_all_sandboxes_see_cannot_be_locked(box: Bubblewrap) -> None:
    assert try_locks(box) == {"flock": "ENOSYS", **dict.fromkeys(LOCK_NAMES, "EPERM")}


def test_without_the_filter_a_lock_reaches_from_one_sandbox_to_another() -> None:
    box = Bubblewrap(layers=Layers(seccomp=False))
    assert set(try_locks(box).values()) == {"OK"}
    with box.start(python(HOLD, "/usr/bin/env"), LIMITS) as other:
        assert isinstance(other, BubblewrapResident)
        assert eventually(lambda: os.fstat(other.tree.stdout).st_size > 0)
        assert try_locks(box)["flock"] == "EAGAIN"


PROBE = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for name, number, arguments in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    found[name] = ctypes.get_errno() if result == -1 else 0
print(json.dumps(found))
"""


def probe(box: Bubblewrap) -> dict[str, int]:
    numbers = seccomp.architecture().numbers
    calls = [(name, numbers[name], arguments) for name, arguments in CALLS.items()]
    calls.append(("io_uring_setup", 425, (0, -1)))
    outcome = box.run(python(PROBE, json.dumps(calls)), LIMITS)
    assert outcome.status is Status.OK, outcome
    found: dict[str, int] = json.loads(outcome.stdout)
    return found


def test_the_kernel_refuses_each_call_inside(box: Bubblewrap) -> None:
    found = probe(box)
    assert found.pop("io_uring_setup") == errno.ENOSYS
    assert {name: code for name, code in found.items() if code != errno.EPERM} == {}


def test_without_the_filter_the_kernel_would_not_refuse() -> None:
    found = probe(Bubblewrap(layers=Layers(seccomp=False)))
    assert [name for name, code in found.items() if code == errno.EPERM] == []


NO_PROCESSES = """
import ctypes, json, os, sys, threading
sys.path.insert(0, "/.opjudge")
from sandbox.harness.seccomp import install_no_processes
threads = [threading.Thread(target=lambda: asked.wait() and tries.append(attempt(os.fork)))]
asked, tries, result = threading.Event(), [], {}

def attempt(what, *arguments):
    try:
        value = what(*arguments)
    except OSError as error:
        return error.errno
    if value == 0 and what is os.fork:
        os._exit(0)
    return 0

threads[0].start()
before = os.sched_getaffinity(0)
if sys.argv[1] == "on":
    install_no_processes()
asked.set()
threads[0].join()
result["fork_in_older_thread"] = tries[0]
result["fork"] = attempt(os.fork)
result["spawn"] = attempt(os.posix_spawn, "/bin/true", ["true"], {})
libc = ctypes.CDLL(None, use_errno=True)
libc.clone.argtypes = [ctypes.c_void_p] * 4
result["thread"] = 1
t = threading.Thread(target=lambda: result.update(thread=0))
t.start(); t.join()
result["affinity"] = attempt(os.sched_setaffinity, 0, {max(before)})
result["moved"] = os.sched_getaffinity(0) != before
result["idle"] = attempt(os.sched_setscheduler, 0, os.SCHED_IDLE, os.sched_param(0))
result["policy"] = os.sched_getscheduler(0)
result["exec"] = 0
print(json.dumps(result), flush=True)
result["exec"] = attempt(os.execv, "/bin/echo", ["echo", "exec worked"])
print(json.dumps(result))
"""


def test_the_harness_can_give_up_processes(box: Bubblewrap) -> None:
    outcome = box.run(python(NO_PROCESSES, "on"), LIMITS)
    assert outcome.status is Status.OK, outcome
    result = json.loads(outcome.stdout.splitlines()[-1])
    for name in ("fork_in_older_thread", "fork", "spawn", "exec"):
        assert result[name] == errno.EPERM, name
    assert result["thread"] == 0
    assert (result["affinity"], result["moved"]) == (0, False)
    assert (result["idle"], result["policy"]) == (0, os.SCHED_OTHER)


def test_without_that_it_could_start_them(box: Bubblewrap) -> None:
    outcome = box.run(python(NO_PROCESSES, "off"), LIMITS)
    first, last = outcome.stdout.splitlines()
    result = json.loads(first)
    assert result["fork_in_older_thread"] == result["fork"] == result["spawn"] == 0
    assert result["moved"] == (len(os.sched_getaffinity(0)) > 1)
    assert last == b"exec worked"


INT80 = """
import ctypes, mmap
code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid for i386); int 0x80; ret
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""

if platform.machine() == "x86_64":

    def test_a_32_bit_call_kills(box: Bubblewrap) -> None:
        outcome = box.run(python(INT80), LIMITS)
        assert (outcome.status, outcome.signal) == (Status.SIGNALLED, 31)

    def test_without_the_filter_a_32_bit_call_is_not_stopped_by_us() -> None:
        command: Command = python(INT80)
        outcome = Bubblewrap(layers=Layers(seccomp=False)).run(command, LIMITS)
        # A kernel without 32-bit support faults instead (11).
        assert outcome.status is Status.OK or outcome.signal == 11
