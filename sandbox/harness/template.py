"""Makes sandboxes by forking itself, with the libraries that programs need imported already.

    python -m sandbox.harness.template SOCKET LIBRARY...

Runs in a sandbox of its own, where it alone keeps CAP_SYS_ADMIN (over that sandbox's namespaces,
nothing else), and never sees anything of a contestant. For every request it forks, and the child
becomes a sandbox in the sandbox: new namespaces, a new work directory, no capability; a process 1
that ends with its program or with its host; and a program that waits for the host's go, then takes
on the Landlock rules and the system-call filter and runs a module of the harness.

A request is one datagram of JSON from the trusted host with descriptors attached; see `Request`.
"""

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.abc import InspectLoader
from types import CodeType, ModuleType

from sandbox.harness import seccomp

WORK = "/work"
READY = b"r"
MESSAGE_BYTES = 64 << 10
_MOST_DESCRIPTORS = 250
_NEW_PIDS = 0x20000000  # CLONE_NEWPID
_NEW_NAMESPACES = 0x0C020000  # CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC
_NEW_NETWORK = 0x40000000
_NOSUID_NODEV = 2 | 4
_CAPABILITIES_V3 = 0x20080522
_CAPSET = {"x86_64": 126, "aarch64": 91}
# The same numbers on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _LANDLOCK_RESTRICT_SELF = 428, 429, 446
_HERE = -100  # AT_FDCWD
_CLONE = 1 | 0x8000 | os.O_CLOEXEC  # OPEN_TREE_CLONE | AT_RECURSIVE
_EMPTY_PATH = 4  # MOVE_MOUNT_F_EMPTY_PATH
_FOLDERS = (".tmp", ".shm")
# Read and compiled by each program anew, its own code would take it ten milliseconds.
_MODULES = ("sandbox.harness", "sandbox.harness.source")
_NEEDED = ("ast", "mmap", "traceback", "zipfile", "sandbox.harness.protocol")


@dataclass(frozen=True)
class Request:
    """What the host wants.

    The descriptors that come with it: the program's end of the barrier, stdout, stderr, status,
    the Landlock rules if `landlock`, then those of `share`.

    Attributes:
        module, arguments: what to run, as ``python -m``.
        share: the numbers under which the program has the shared descriptors.
        file_bytes, inodes: quota of the work directory.
        kept: what lies under the work directory and must stay visible: a Python installed there.
        network: keep the template's network namespace, for the tests of the tests.
    """

    module: str
    arguments: tuple[str, ...]
    share: tuple[int, ...]
    file_bytes: int
    inodes: int
    kept: tuple[str, ...]
    seccomp: bool
    landlock: bool
    network: bool

    def encode(self) -> bytes:
        """As it travels. Raises ValueError if it is too long for a datagram."""
        data = json.dumps(asdict(self)).encode()
        if len(data) > MESSAGE_BYTES or len(self.share) > _MOST_DESCRIPTORS - 5:
            raise ValueError("the command line is too long for a warm start")
        return data


def main(arguments: Sequence[str]) -> None:
    """Import, serve; in a new sandbox, run what was asked for."""
    number, *libraries = arguments
    for name in (*libraries, *_NEEDED):
        importlib.import_module(name)
    ready = {name: _code(name) for name in _MODULES}
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(number)) as requests:
        # Those forked off are nobody's to wait for.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        requests.send(READY)
        request, fds = _next_sandbox(requests)
    _enter(request, fds)
    sys.argv = [request.module, *request.arguments]
    _run(ready.get(request.module) or _code(request.module))


def _code(module: str) -> CodeType:
    """What ``python -m`` would run. Raises ImportError if there is no such module."""
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
    if spec is None or not isinstance(spec.loader, InspectLoader):
        raise ImportError(f"no module {module}")
    code = spec.loader.get_code(spec.name)
    if code is None:
        raise ImportError(f"{module} has no code")
    return code


def _run(code: CodeType) -> None:
    """As the main module, of which nothing of this one's is left."""
    module = ModuleType("__main__")
    module.__file__ = code.co_filename
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def _next_sandbox(requests: socket.socket) -> tuple[Request, list[int]]:
    """Serve for ever; returns in the program of each new sandbox."""
    ours = os.pidfd_open(os.getpid())
    while True:
        data, fds, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, _MOST_DESCRIPTORS)
        if not data:
            sys.exit(0)
        if _fork_into_new_pids(ours) == 0:
            request = Request(**json.loads(data))
            try:
                _isolate(request, fds)
            except OSError as error:
                # Nobody holds the barrier any more: the host gets these words.
                os.write(fds[2], str(error).encode())
                os._exit(1)
            return request, fds
        for fd in fds:
            os.close(fd)


def _fork_into_new_pids(ours: int) -> int:
    """Fork; the child is process 1 of a new namespace. `ours` is a pidfd of this process.

    Not by way of a child that unshares and forks: a fork with torch imported takes 3 to 6 ms.
    """
    _call("unshare", _NEW_PIDS)
    pid = os.fork()
    if pid != 0:
        _call("setns", ours, _NEW_PIDS)
    return pid


def _isolate(request: Request, fds: list[int]) -> None:
    """As process 1 of the new sandbox, build it; returns in its program."""
    barrier, stdout, stderr, status, *_ = fds
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.setsid()
    _call("unshare", _NEW_NAMESPACES | (0 if request.network else _NEW_NETWORK))
    _make_place(request)
    _drop_capabilities()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    program = os.fork()
    if program != 0:
        _keep(program, barrier, status)
    os.close(status)
    with contextlib.suppress(OSError):
        os.setsid()


def _keep(program: int, barrier: int, status: int) -> None:
    """Be process 1: reap, note how the program ended, and end with it, or with the host."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    _close_all_but([barrier, status, reader, writer])
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # One of the few that could reach it from inside: process 1 gets only what it has handlers for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.register(barrier, select.POLLRDHUP)
    while True:
        for pid, code in _ended():
            if pid == program:
                os.write(status, json.dumps({"exit-code": code}).encode() + b"\n")
                os._exit(0)
        for fd, _ in poll.poll():
            if fd == barrier:
                os._exit(0)
            os.read(reader, 512)


def _ended() -> list[tuple[int, int]]:
    """Processes that have ended, with their exit codes: 128 + signal if signalled."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0] != 0:
            code = os.waitstatus_to_exitcode(found[1])
            ended.append((found[0], code if code >= 0 else 128 - code))
    return ended


def _enter(request: Request, fds: Sequence[int]) -> None:
    """Wait for the host's go, then give up what a program must not have."""
    barrier, _, _, _, *rest = fds
    _reseed()
    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
    with socket.socket(fileno=barrier) as gate:
        gate.send(b"\n")
        if not gate.recv(1):
            os._exit(1)
    if request.landlock:
        _confine(rest.pop(0))
    _place(rest, request.share)
    os.chdir(WORK)
    if request.seccomp:
        seccomp.install(seccomp.base_program())


def _reseed() -> None:
    """numpy's global generator would give every program the same numbers; `random` sees to it."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _place(fds: Sequence[int], numbers: Sequence[int]) -> None:
    """Move descriptors to the numbers they must have, and close everything else."""
    beyond = max((*numbers, *fds, 2)) + 1
    for fd in fds:
        os.dup2(fd, beyond + fd)
    for fd, number in zip(fds, numbers, strict=True):
        os.dup2(beyond + fd, number)
    _close_all_but(numbers)


def _close_all_but(kept: Sequence[int]) -> None:
    """Close every descriptor but the standard ones and these."""
    last = 2
    for number in sorted(kept):
        os.closerange(last + 1, number)
        last = number
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))


def _make_place(request: Request) -> None:
    """A fresh work directory over the template's own; /tmp and /dev/shm are links into it."""
    kept = [
        (path, _call("syscall", _OPEN_TREE, _HERE, path.encode(), _CLONE)) for path in request.kept
    ]
    options = f"size={request.file_bytes},nr_inodes={request.inodes},mode=0777"
    _call("mount", b"tmpfs", WORK.encode(), b"tmpfs", _NOSUID_NODEV, options.encode())
    for name in _FOLDERS:
        os.mkdir(f"{WORK}/{name}")
        os.chmod(f"{WORK}/{name}", 0o1777)
    for path, tree in kept:
        os.makedirs(path, 0o755)
        _call("syscall", _MOVE_MOUNT, tree, b"", _HERE, path.encode(), _EMPTY_PATH)
        os.close(tree)
    os.chdir(WORK)


def _confine(rules: int) -> None:
    _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    _call("syscall", _LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _drop_capabilities() -> None:
    """All of them, for good: nothing run from here on can get any back."""
    _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    _prctl(47, 4)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL
    number = _CAPSET[os.uname().machine]
    _call("syscall", number, struct.pack("=Ii", _CAPABILITIES_V3, 0), bytes(24))


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, value, 0, 0, 0)


def _call(name: str, *arguments: int | bytes) -> int:
    """A function of the C library that returns a negative number on failure. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(libc, name)(*converted)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
