"""Landlock: what the rules say, the program that takes them on, and what they refuse inside."""

import errno
import json
import os
import secrets
import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import landlock
from sandbox.base import Command, SandboxError
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.harness import seccomp
from sandbox.landlock import Handled
from sandbox.outcome import Status
from sandbox.process import stat_fields
from tests.sandbox.conftest import LIMITS, python, shell

OFF = Layers(landlock=False)
# With the host's network and no filter, only Landlock is left to refuse.
ALONE = Layers(network=True, seccomp=False)
NOTHING = Layers(network=True, seccomp=False, landlock=False)
HERE = landlock.abi()


@pytest.mark.parametrize(
    ("abi", "files", "network", "scopes"),
    [(1, 13, 0, 0), (2, 14, 0, 0), (3, 15, 0, 0), (4, 15, 3, 0), (5, 16, 3, 0), (6, 16, 3, 3),
     (99, 16, 3, 3)],
)  # fmt: skip
def test_each_abi_forbids_what_it_knows(abi: int, files: int, network: int, scopes: int) -> None:
    assert Handled.by(abi) == Handled((1 << files) - 1, network, scopes)


@pytest.mark.parametrize(("abi", "size"), [(1, 8), (3, 8), (4, 16), (5, 16), (6, 24), (9, 24)])
def test_the_kernel_is_told_no_field_that_it_does_not_know(abi: int, size: int) -> None:
    assert len(Handled.by(abi).packed(abi)) == size


def test_a_kernel_without_it_has_abi_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "switched off")

    monkeypatch.setattr(landlock, "_call", refuse)
    assert landlock.abi() == 0
    with pytest.raises(SandboxError, match="switched off"):
        landlock.Ruleset(1)


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_the_confiner_is_a_small_static_program(machine: str, number: int) -> None:
    program = landlock.confiner(7, machine)
    assert program[:4] == b"\x7fELF"
    kind, target = struct.unpack_from("<HH", program, 16)
    entry, headers = struct.unpack_from("<QQ", program, 24)
    load_kind, load_flags, _, at, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", program, headers)
    stack_kind, stack_flags = struct.unpack_from("<II", program, headers + 56)
    assert (kind, target) == (2, number)
    assert (load_kind, load_flags, size) == (1, 0b101, len(program))  # readable and executable
    assert (stack_kind, stack_flags) == (0x6474E551, 0b110)  # readable and writable
    assert at < entry < at + size


# As disassembled and run in an emulator of each processor: restrict self, close, execve, exit.
CODE = {
    "x86_64": (
        "bf2500000031f6b8be0100000f0585c07526bf25000000b8030000000f05"
        "488b7c2410488d742410488b0c24488d54cc10b83b0000000f05bf7e000000b83c0000000f05"
    ),
    "aarch64": (
        "a00480d2010080d2c83780d2010000d4600100b5a00480d2280780d2010000d4"
        "e00b40f9e1430091e20340f9e26f228b42400091a81b80d2010000d4"
        "c00f80d2a80b80d2010000d4"
    ),
}


@pytest.mark.parametrize("machine", CODE)
def test_its_instructions_are_those_that_were_tried(machine: str) -> None:
    assert landlock.confiner(37, machine)[64 + 2 * 56 :].hex() == CODE[machine]


def test_a_machine_with_other_instructions_gets_none() -> None:
    with pytest.raises(SandboxError, match="riscv64"):
        landlock.confiner(7, "riscv64")


def test_rules_for_a_sandbox_that_is_gone_are_an_error() -> None:
    if HERE:
        rules = landlock.Ruleset(HERE)
        with pytest.raises(SandboxError, match="rules"):
            rules.fill(2**22 + 1)
        rules.close()


def test_where_the_kernel_has_none_programs_run_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    box = Bubblewrap()
    assert box.describe()["landlock"] == "none"
    assert box.run(shell("echo ran"), LIMITS).stdout == b"ran\n"


def test_it_describes_the_abi(box: Bubblewrap) -> None:
    assert box.describe()["landlock"] == (f"ABI {HERE}" if HERE else "none")
    assert Bubblewrap(layers=OFF).describe()["landlock"] == "none"


SHOW = r"""printf '[%s]' "$@"; echo; echo "$EXTRA"; read -r line || echo end; exit 7"""


@pytest.mark.parametrize("layers", [Layers(), OFF], ids=["on", "off"])
def test_programs_start_the_same_with_and_without(layers: Layers) -> None:
    """Arguments, environment, standard input, exit code: the confiner hands everything on."""
    words = ["", "a b", "$HOME", "'", '"', "\\", "*"]
    command = Command(["sh", "-c", SHOW, "sh", *words], environment={"EXTRA": "x y"})
    outcome = Bubblewrap(layers=layers).run(command, LIMITS)
    shown = "".join(f"[{word}]" for word in words)
    assert outcome.stdout.decode() == f"{shown}\nx y\nend\n"
    assert outcome.exit_code == 7
    assert Bubblewrap(layers=layers).run(Command(["nonexistent"]), LIMITS).exit_code == 127


USE = """
import json, os
open("/work/a", "w").write("1"); open("/work/a").read(); os.truncate("/work/a", 0)
os.mkdir("/work/d"); os.rename("/work/a", "/work/d/a"); os.link("/work/d/a", "/tmp/b")
os.symlink("a", "/work/s"); os.mkfifo("/work/f"); os.unlink("/tmp/b"); os.listdir("/usr")
open("/dev/null", "w").write("x"); open("/dev/urandom", "rb").read(1); open("/proc/cpuinfo").read()
import socket
a, b = socket.socketpair(); a.send(b"x")
server = socket.socket(socket.AF_UNIX); server.bind("/work/socket"); server.listen()
socket.socket(socket.AF_UNIX).connect("/work/socket")
child = os.fork()
if child == 0: os.execv("/bin/sleep", ["sleep", "100"])
os.kill(child, 9); os.waitpid(child, 0)
print("all")
"""


def test_what_programs_do_in_their_own_place_still_works(box: Bubblewrap) -> None:
    outcome = box.run(python(USE, files={}), LIMITS)
    assert (outcome.stdout, outcome.stderr) == (b"all\n", b"")


def test_nothing_inside_can_make_rule_sets(box: Bubblewrap) -> None:
    code = (
        "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
        "for n in (444, 445): print(c.syscall(n, None, 0, 1), ctypes.get_errno())"
    )
    refused = f"-1 {errno.ENOSYS}\n"
    assert box.run(python(code), LIMITS).stdout.decode() == refused * 2


ATTEMPT = """
import ctypes, fcntl, json, os, socket, sys

def attempt(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return error.errno
    return 0

port, name, device = int(sys.argv[1]), sys.argv[2], os.open("/dev/urandom", os.O_RDONLY)
print(json.dumps({
    "device": attempt(os.mknod, "/work/device", 0o20600, 0),
    "in a child": os.waitstatus_to_exitcode(os.system("setsid mknod /work/d2 c 0 0 2>/dev/null")),
    "ioctl": attempt(fcntl.ioctl, device, 0x80045200, bytearray(4)),
    "connect": attempt(socket.socket().connect, ("127.0.0.1", port)),
    "bind": attempt(socket.socket().bind, ("127.0.0.1", 0)),
    "abstract": attempt(socket.socket(socket.AF_UNIX).connect, "\\0" + name),
}))
"""


def attempts(layers: Layers) -> dict[str, int]:
    """What each attempt ended with: an errno, or an exit code."""
    name = f"opjudge-test-{secrets.token_hex(8)}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind("\0" + name)
        hidden.listen()
        command = python(ATTEMPT, server.getsockname()[1], name)
        outcome = Bubblewrap(layers=layers).run(command, LIMITS)
    assert outcome.status is Status.OK, outcome
    found: dict[str, int] = json.loads(outcome.stdout)
    return found


def test_without_any_layer_all_attempts_succeed() -> None:
    assert set(attempts(NOTHING).values()) == {0}


if HERE >= 6:

    def test_landlock_alone_refuses_all_of_them() -> None:
        assert attempts(ALONE) == {
            "device": errno.EACCES,
            "in a child": 1,
            "ioctl": errno.EACCES,
            "connect": errno.EACCES,
            "bind": errno.EACCES,
            "abstract": errno.EPERM,
        }

    def test_an_older_abi_refuses_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(landlock, "abi", lambda: 3)
        found = attempts(ALONE)
        assert (found.pop("device"), found.pop("in a child")) == (errno.EACCES, 1)
        assert set(found.values()) == {0}

    def test_signals_do_not_leave_it() -> None:
        """Process 1 inside belongs to bwrap; as root, only dropping it is in the way otherwise."""
        signal = shell("kill -0 1")
        user = Layers(drop_root=False)
        assert Bubblewrap(layers=user).run(signal, LIMITS).status is Status.NONZERO_EXIT
        bare = Layers(drop_root=False, landlock=False)
        assert Bubblewrap(layers=bare).run(signal, LIMITS).status is Status.OK

    def test_a_program_that_cannot_be_confined_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
        allowed = tuple(n for n in seccomp.ALLOWED_NEW if n != 446)
        monkeypatch.setattr(seccomp, "ALLOWED_NEW", allowed)
        outcome = Bubblewrap().run(shell("echo ran"), LIMITS)
        assert (outcome.stdout, outcome.exit_code) == (b"", landlock.REFUSED)


READ_ONLY = """
import json, os
def attempt(path, flags):
    try:
        os.close(os.open(path, flags, 0o644))
    except OSError as error:
        return error.errno
    return 0
print(json.dumps([attempt("/usr/bin/sh", os.O_RDONLY), attempt("/work/new", os.O_CREAT),
                  attempt("/tmp", os.O_RDONLY), attempt("/dev/null", os.O_WRONLY)]))
"""


if HERE:

    def test_the_file_rules_hold_without_any_help(monkeypatch: pytest.MonkeyPatch) -> None:
        """Mounts refuse writing elsewhere, too: so leave out the rules that allow it here."""
        allow = landlock.Ruleset._allow

        def only_reading(self: landlock.Ruleset, path: str, rights: int) -> None:
            if path.endswith("/root/"):
                allow(self, path, rights)

        command = python(READ_ONLY)
        assert json.loads(Bubblewrap().run(command, LIMITS).stdout) == [0, 0, 0, 0]
        monkeypatch.setattr(landlock.Ruleset, "_allow", only_reading)
        refused = errno.EACCES
        found = json.loads(Bubblewrap().run(command, LIMITS).stdout)
        assert found == [0, refused, 0, refused]

    def test_a_build_is_confined_like_any_other_program() -> None:
        """No Python is mounted for it, and what it makes runs in the same confinement."""
        source = b"""
            #include <cerrno>
            #include <cstdio>
            #include <sys/stat.h>
            int main() {
                int made = mknod("device", S_IFCHR | 0600, 0);
                std::printf("%d %d", made, made ? errno : 0);
            }
        """
        command = shell("g++ try.cpp -o try && ./try", files={"try.cpp": source})
        limits = replace(LIMITS, memory_bytes=1 << 30, file_bytes=64 << 20)
        confined = Bubblewrap().run(command, limits)
        assert confined.stdout.decode() == f"-1 {errno.EACCES}", confined
        assert Bubblewrap(layers=OFF).run(command, limits).stdout == b"0 0"

    def test_a_resident_is_signalled_from_outside_all_the_same(box: Bubblewrap) -> None:
        with box.start(shell("while :; do :; done"), LIMITS) as resident:
            resident.stop()
            assert stat_fields(resident.pid)[0] == "T"
            resident.resume()
            assert stat_fields(resident.pid)[0] != "T"
            assert resident.alive()


@pytest.mark.parametrize("how", ["rule set", "rules"])
def test_no_descriptor_leaks_when_it_fails(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not HERE:
        return
    Bubblewrap().run(shell("true"), LIMITS)
    before = sorted(os.listdir("/proc/self/fd"))
    call = landlock._call
    failing = {"rule set": 444, "rules": 445}[how]

    def fail(number: int, *arguments: int | bytes | None) -> int:
        if number == failing and arguments[0] is not None:
            raise OSError(errno.ENOMEM, "out of memory")
        return call(number, *arguments)

    monkeypatch.setattr(landlock, "_call", fail)
    with pytest.raises(SandboxError, match="out of memory"):
        Bubblewrap().run(shell("echo ran"), LIMITS)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_the_host_is_not_confined(tmp_path: Path, box: Bubblewrap) -> None:
    box.run(shell("true"), LIMITS)
    (tmp_path / "file").write_text("still writable")
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
