"""The attacks. Runs inside the sandbox under test, and is never imported by the host.

    python attacks.py together|ATTACK FACTS

FACTS is a JSON object. ``together`` prints a line of JSON for each attack, `[name, got, seen]`.
An attack returns what it got; one that the kernel refuses ends in OSError. The few that are to be
killed print ``got`` if they live to. None does any harm where it succeeds.
"""

import ctypes
import json
import mmap
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

Facts = dict[str, Any]

_PATIENCE_S = 5
# Long enough for limits that are looked after every few milliseconds.
_HOLD_S = 0.5
_BLOCK_BYTES = 1 << 20
# Memory, links to the program's own descriptors, and terminals of the container's own.
_ORDINARY_DEVICES = {
    *("null", "zero", "full", "random", "urandom", "shm", "mqueue"),
    *("fd", "stdin", "stdout", "stderr", "core", "tty", "ptmx", "pts", "console"),
}


def say(line: str) -> None:
    """Tell the host."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def system_call(facts: Facts, name: str, *arguments: Any) -> int:
    """A raw call by name. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(facts["calls"][name]), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def first_success(attempts: dict[str, Callable[[], object]]) -> str:
    """Names of the attempts that work. Raises the last one's OSError if none does."""
    got: list[str] = []
    refusal = OSError("nothing to try")
    for name, attempt in attempts.items():
        try:
            attempt()
            got.append(name)
        except OSError as error:
            refusal = error
    if not got:
        raise refusal
    return ", ".join(got)


def open_and_close(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def connect(facts: Facts) -> str:
    with socket.create_connection(("127.0.0.1", facts["port"]), timeout=2):
        return "connected"


def abstract_socket(facts: Facts) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + facts["abstract"])
    return "connected"


def host_file(facts: Facts) -> str:
    paths = (os.path.join(facts["folder"], "secret"), "/etc/shadow")
    return first_success({path: partial(open_and_close, path) for path in paths})


def write_outside(facts: Facts) -> str:
    def make(folder: str) -> None:
        path = os.path.join(folder, "opjudge-probe-" + facts["token"])
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(path)

    folders = (facts["folder"], "/", "/etc", "/usr", "/opt", "/dev", facts["harness"])
    return first_success({folder: partial(make, folder) for folder in folders})


def host_process(facts: Facts) -> str:
    with open(f"/proc/{facts['pid']}/cmdline") as file:
        if facts["token"] in file.read():
            return f"command line of process {facts['pid']}"
    raise ProcessLookupError("another process has that number here")


def host_signal(facts: Facts) -> str:
    # Whether it arrived is for the host to say: the number may be one of ours, which ignore it.
    os.kill(facts["pid"], facts["signal"])
    raise ProcessLookupError("sent, to whom the host will see")


def devices(_facts: Facts) -> str:
    found = set(os.listdir("/dev")) - _ORDINARY_DEVICES
    if not found:
        raise FileNotFoundError("none there")
    return ", ".join(sorted(found)[:5])


def unshare(facts: Facts) -> str:
    system_call(facts, "unshare", 0x10000000)
    return "a user namespace"


def mount(facts: Facts) -> str:
    # On a folder of its own and undone at once: the attack must do no harm where it succeeds.
    os.makedirs("probe-mount", exist_ok=True)

    def attempt() -> None:
        system_call(facts, "mount", b"none", b"probe-mount", b"tmpfs", 0, None)
        system_call(facts, "umount2", b"probe-mount", 0)

    def attempt_as_root_of_a_namespace() -> None:
        system_call(facts, "unshare", 0x10020000)
        attempt()

    return first_success({"mounted": attempt, "in a namespace": attempt_as_root_of_a_namespace})


def ptrace(facts: Facts) -> str:
    system_call(facts, "ptrace", 0, 0, 0, 0)
    return "traced"


def keyctl(facts: Facts) -> str:
    return f"key ring {system_call(facts, 'keyctl', 0, -3, 1)}"


def bpf(facts: Facts) -> str:
    attributes = (ctypes.c_uint32 * 4)(2, 4, 4, 1)  # an array of one word
    return f"map {system_call(facts, 'bpf', 0, attributes, 16)}"


def io_uring(facts: Facts) -> str:
    return f"ring {system_call(facts, 'io_uring_setup', 1, ctypes.create_string_buffer(120))}"


def socket_families(_facts: Facts) -> str:
    kinds = {
        "ALG": (38, socket.SOCK_SEQPACKET),
        "NETLINK": (16, socket.SOCK_RAW),
        "VSOCK": (40, socket.SOCK_STREAM),
        "PACKET": (17, socket.SOCK_RAW),
    }
    return first_success({name: partial(socket.socket, *kind) for name, kind in kinds.items()})


def foreign_abi(_facts: Facts) -> str:
    if platform.machine() != "x86_64":
        raise OSError("not on this processor")
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid for i386); int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return f"process id {ctypes.CFUNCTYPE(ctypes.c_int)(address)()}"


def fork_later(facts: Facts) -> str:
    sys.path.insert(0, facts["harness"])
    from sandbox.harness.seccomp import install_no_processes

    try:
        install_no_processes()
    except OSError as error:
        return f"no filter: {error}"
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "forked"


def device_file(_facts: Facts) -> str:
    # Number 0:0, a "whiteout", is the one device that the kernel itself lets anybody make.
    os.mknod("probe-device", 0o20600, 0)
    os.unlink("probe-device")
    return "made"


def chmod_device(_facts: Facts) -> str:
    os.chmod("/dev/null", os.stat("/dev/null").st_mode & 0o7777)  # the mode that it has
    return "changed"


def privileges(_facts: Facts) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) == 0 and any(data):
        return f"capabilities {data[0]:#x}"
    os.setuid(0)
    return "became root"


def disk_quota(facts: Facts) -> str:
    names = [f"probe-{i}" for i in range(4)]
    block = bytes(_BLOCK_BYTES)
    try:
        for name in names:
            with open(name, "wb", buffering=0) as file:
                for _ in range(facts["quota"] // 2 // _BLOCK_BYTES):
                    if file.write(block) != len(block):
                        raise OSError("no space left")
    finally:
        for name in names:
            if os.path.exists(name):
                os.unlink(name)
    return "stored twice the quota"


def memory(facts: Facts) -> None:
    block = b"x" * _BLOCK_BYTES
    kept = [bytearray(block) for _ in range(facts["bytes"] // _BLOCK_BYTES)]
    time.sleep(_HOLD_S)
    say(f"got {len(kept)} MiB")


def shared_memory(facts: Facts) -> None:
    # The kernel counts this as shared with others, though nobody else has it.
    kept = mmap.mmap(-1, facts["bytes"])
    for at in range(0, len(kept), mmap.PAGESIZE):
        kept[at] = 1
    time.sleep(_HOLD_S)
    say(f"got {len(kept) >> 20} MiB")


def processes(facts: Facts) -> None:
    until, ended = os.pipe()
    for _ in range(facts["count"]):
        if os.fork() == 0:
            os.close(ended)
            os.read(until, 1)  # for as long as the first process lives
            os._exit(0)
    time.sleep(_HOLD_S)
    say(f"got {facts['count']} processes")


TOGETHER = (
    connect, abstract_socket, host_file, write_outside, host_process, host_signal, devices,
    unshare, mount, ptrace, keyctl, bpf, io_uring, socket_families, foreign_abi, fork_later,
    device_file, chmod_device, privileges, disk_quota,
)  # fmt: skip
ALONE = (memory, shared_memory, processes)


def attempt(attack: Callable[[Facts], str], facts: Facts) -> tuple[bool, str]:
    """Whether an attack gets what it is after, and what it saw. Runs in a child of its own."""
    answers, answer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(answer, json.dumps(_outcome(attack, facts)).encode())
        finally:
            # Whatever happened: the child must never go on as its parent.
            os._exit(0)
    os.close(answer)
    with open(answers, encoding="utf-8") as file:
        text = file.read()
    status = os.waitpid(pid, 0)[1]
    if text:
        got, seen = json.loads(text)
        return bool(got), str(seen)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    # Killed by the filter; or a fault, where the kernel knows no 32-bit calls.
    stopped = number == signal.SIGSYS or (number == signal.SIGSEGV and attack is foreign_abi)
    name = signal.Signals(number).name if number else "no answer"
    return not stopped, name


def _outcome(attack: Callable[[Facts], str], facts: Facts) -> tuple[bool, str]:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_PATIENCE_S)
    try:
        return True, attack(facts)
    except OSError as error:
        return False, error.strerror or str(error)


def main() -> None:
    which, facts = sys.argv[1], json.loads(sys.argv[2])
    if which != "together":
        {attack.__name__: attack for attack in ALONE}[which](facts)
        return
    signal.signal(facts["signal"], signal.SIG_IGN)
    for attack in TOGETHER:
        got, seen = attempt(attack, facts)
        say(json.dumps([attack.__name__, got, seen]))


if __name__ == "__main__":
    main()
