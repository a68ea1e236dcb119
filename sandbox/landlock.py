"""Landlock: rules about files, network and signals that a program and its children cannot shed.

bwrap mounts, which Landlock forbids, so the rules must come after it and before the program; and
the paths they name exist only then. So the host makes the (empty) rule set, bwrap inherits its
descriptor, and the host fills it in while the sandbox waits, complete, for its go. What is left to
do inside is one system call, which no shell can make: `confiner` is a static program of some twenty
instructions that makes it and then becomes the next program. It needs no interpreter, no compiler
and no library inside, and the system-call filter lets nobody in there make rule sets.

Rules are written for the newest ABI known here and cut down to what the kernel has.
"""

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sandbox import jail
from sandbox.base import SandboxError

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE = 1 << 14
# All rights to files by the first ABI that has them: the first thirteen at once, then moving
# between directories, truncating, and ioctl on device nodes.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: 1 << 15}
_NETWORK_SINCE, _BIND_AND_CONNECT_TCP = 4, 0b11
_SCOPES_SINCE, _ABSTRACT_SOCKETS_AND_SIGNALS = 6, 0b11

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_NODE = _READ_FILE | _WRITE_FILE | _TRUNCATE

REFUSED = 126
"""Exit code of the confiner where the kernel would not confine: the program never ran."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What a rule set forbids except where a rule allows it; bits as the kernel counts them."""

    files: int
    network: int
    scopes: int

    @classmethod
    def by(cls, abi: int) -> "Handled":
        """Everything that this ABI of the kernel can forbid."""
        return cls(
            files=sum(bits for since, bits in _FILE_RIGHTS.items() if abi >= since),
            network=_BIND_AND_CONNECT_TCP if abi >= _NETWORK_SINCE else 0,
            scopes=_ABSTRACT_SOCKETS_AND_SIGNALS if abi >= _SCOPES_SINCE else 0,
        )

    def packed(self, abi: int) -> bytes:
        """``struct landlock_ruleset_attr``, no longer than this ABI knows it."""
        words = 1 + (abi >= _NETWORK_SINCE) + (abi >= _SCOPES_SINCE)
        return struct.pack("=3Q", self.files, self.network, self.scopes)[: 8 * words]


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def abi() -> int:
    """The kernel's Landlock ABI; 0 where it has none, has it switched off, or hides it."""
    try:
        return _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0


class Ruleset:
    """The rules of one sandbox. Made empty, filled once the sandbox is there.

    Args:
        version: the ABI to make it for, as `abi` told.

    Raises SandboxError if the kernel refuses.
    """

    def __init__(self, version: int) -> None:
        self._handled = Handled.by(version)
        attributes = self._handled.packed(version)
        try:
            self.fd = _call(_CREATE_RULESET, attributes, len(attributes), 0)
        except OSError as error:
            raise SandboxError(f"the kernel makes no Landlock rule set: {error}") from error

    def fill(self, pid: int, places: Iterable[str] = (jail.WORK,)) -> None:
        """Write the rules for the sandbox that the waiting process `pid` is in.

        Args:
            places: directories inside where anything but device nodes may be made.

        Reading and running are allowed everywhere, since all that is mounted is an allow-list; a
        Python installed under /work is kept from writers by its read-only mount.
        Raises SandboxError.
        """
        root = f"/proc/{pid}/root"
        try:
            self._allow(f"{root}/", _READ)
            for place in places:
                self._allow(root + place, self._handled.files & ~(_MAKE_CHAR | _MAKE_BLOCK))
            for name in jail.DEVICES:
                with contextlib.suppress(FileNotFoundError):
                    self._allow(f"{root}/dev/{name}", _NODE)
        except OSError as error:
            raise SandboxError(f"cannot write the Landlock rules: {error}") from error

    def close(self) -> None:
        """Close the descriptor; the rules stay with whom they confine."""
        os.close(self.fd)

    def _allow(self, path: str, rights: int) -> None:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights & self._handled.files, beneath)
            _call(_ADD_RULE, self.fd, _PATH_BENEATH, rule, 0)
        finally:
            os.close(beneath)


def confiner(fd: int, machine: str | None = None) -> bytes:
    """A static ELF program ``confine PROGRAM ARGUMENT...``.

    It takes on the rule set `fd`, closes it, and becomes PROGRAM, a path. Exits with `REFUSED` if
    it cannot. Raises SandboxError for a machine whose instructions are not known here.
    """
    machine = machine or platform.machine()
    if machine == "x86_64":
        return _elf(62, _code_x86_64(fd))
    if machine == "aarch64":
        return _elf(183, _code_aarch64(fd))
    raise SandboxError(f"no Landlock launcher for {machine} (have x86_64, aarch64)")


def _elf(machine: int, code: bytes) -> bytes:
    """Headers for one readable and executable segment, and for a stack that is not executable."""
    at, size = 0x400000, 64 + 2 * 56
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = struct.pack(
        "=16sHHIQQQIHHHHHH", ident, 2, machine, 1, at + size, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    total = size + len(code)
    load = struct.pack("=IIQQQQQQ", 1, 5, 0, at, at, total, total, 0x10000)
    stack = struct.pack("=IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return head + load + stack + code


def _code_x86_64(fd: int) -> bytes:
    def call(number: int) -> bytes:
        return b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"  # mov eax, number; syscall

    first = b"\xbf" + struct.pack("<I", fd)  # mov edi, fd
    rest = [
        first + call(3),  # close
        bytes.fromhex("488b7c2410"),  # mov rdi, [rsp+16]: the first argument
        bytes.fromhex("488d742410"),  # lea rsi, [rsp+16]: all from there
        bytes.fromhex("488b0c24"),  # mov rcx, [rsp]: how many there are
        bytes.fromhex("488d54cc10"),  # lea rdx, [rsp+8*rcx+16]: the environment
        call(59),  # execve
    ]
    run = b"".join(rest)
    return b"".join(
        [
            first,
            b"\x31\xf6",  # xor esi, esi
            call(_RESTRICT_SELF),
            b"\x85\xc0\x75" + bytes([len(run)]),  # test eax, eax; jnz past `run`
            run,
            b"\xbf" + struct.pack("<I", REFUSED) + call(60),  # exit
        ]
    )


def _code_aarch64(fd: int) -> bytes:
    def load(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register  # mov x<register>, #value

    def call(number: int) -> Iterator[int]:
        yield load(8, number)
        yield 0xD4000001  # svc #0

    run = [
        *(load(0, fd), *call(57)),  # close
        0xF9400BE0,  # ldr x0, [sp, #16]: the first argument
        0x910043E1,  # add x1, sp, #16: all from there
        0xF94003E2,  # ldr x2, [sp]: how many there are
        0x8B226FE2,  # add x2, sp, x2, lsl #3
        0x91004042,  # add x2, x2, #16: the environment
        *call(221),  # execve
    ]
    refused = 0xB5000000 | (len(run) + 1) << 5  # cbnz x0, past `run`
    words = [load(0, fd), load(1, 0), *call(_RESTRICT_SELF), refused, *run]
    words += [load(0, REFUSED), *call(93)]  # exit
    return struct.pack(f"<{len(words)}I", *words)
