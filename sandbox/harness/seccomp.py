"""System-call filters, assembled here so that no library is needed inside the sandbox.

Two filters. `base_program` is loaded by the sandbox before anything inside runs.
`install_no_processes` is called by the harness on itself, before it loads contestant code; a filter
can only be tightened.

Rules test a call's number and single bits or exact values of its arguments. There are no range
rules on arguments: those are where filters have gone wrong (libseccomp GHSA-4q85-33p6-j5g6).
"""

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERRNO = 0x00050000

_LOAD_NUMBER = 0
_LOAD_ARCH = 4
_LOAD_ARGUMENTS = 16

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06

_CLONE_THREAD = 0x00010000
CLONE_NEW_ANY = 0x7E020000  # NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
AF_UNIX = 1
_X32_BIT = 0x40000000
_FIRST_SHARED_NUMBER = 424  # from here on every architecture has the same numbers


@dataclass(frozen=True, slots=True)
class Architecture:
    """What differs between processors: the audit word and the call numbers."""

    audit: int
    numbers: dict[str, int]


# name: (x86_64, aarch64); None where the call does not exist.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fanotify_init": (300, 262),
    "fcntl": (72, 25),
    "finit_module": (313, 273),
    "flock": (73, 32),
    "fork": (57, None),
    "init_module": (175, 105),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "io_setup": (206, 0),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_create": (319, 279),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "move_pages": (279, 239),
    "mq_notify": (244, 184),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "remap_file_pages": (216, 234),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "semget": (64, 190),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "timer_create": (222, 107),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vfork": (58, None),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
}

_SCHEDULING = ("sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")

_SPECIAL = frozenset(
    (
        *_SCHEDULING,
        *("clone", "clone3", "execve", "execveat", "fcntl", "flock", "fork", "ioctl"),
        *("seccomp", "socket", "socketpair", "vfork"),
    )
)

# Every other name in the table is refused with EPERM. Worth a reason:
# timer_create, mq_notify and fcntl(F_SETSIG) can make the kernel send SIGCONT to a process that is
# stopped, so a submission could wake itself outside its own timed call;
# memfd_create and the System V calls hold memory that no tmpfs quota and no resident set shows;
# locks on the system's files, which every sandbox sees, and inotify on them (who opens what, when)
# reach from one sandbox to another.
_DENIED = tuple(name for name in _CALLS if name not in _SPECIAL)

# Newer calls are refused unless listed, so that a newer kernel does not widen the sandbox.
ALLOWED_NEW = (
    424,  # pidfd_send_signal
    434,  # pidfd_open
    436,  # close_range
    437,  # openat2
    439,  # faccessat2
    441,  # epoll_pwait2
    446,  # landlock_restrict_self: how the sandbox is entered; rule sets cannot be made inside
    449,  # futex_waitv
    450,  # set_mempolicy_home_node
    454,  # futex_wake
    455,  # futex_wait
    456,  # futex_requeue
)

REFUSED_FCNTL = (
    *(5, 6, 7, 36, 37, 38),  # F_GETLK F_SETLK F_SETLKW F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW
    *(8, 10, 15, 1024, 1026),  # F_SETOWN F_SETSIG F_SETOWN_EX F_SETLEASE F_NOTIFY
)
REFUSED_IOCTL = (0x5412, 0x541C, 0x5423)  # TIOCSTI TIOCLINUX TIOCSETD

Program = list[tuple[int, int, int, int]]


def architecture(machine: str | None = None) -> Architecture:
    """Call numbers of a machine (``uname -m``), by default this one.

    Raises OSError for a machine whose numbers are not known here: no filter, no sandbox.
    """
    machine = machine or platform.machine()
    columns = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
    if machine not in columns:
        raise OSError(errno.ENOSYS, f"no system-call filter for {machine} (have x86_64, aarch64)")
    column, audit = columns[machine]
    numbers = {name: pair[column] for name, pair in _CALLS.items()}
    return Architecture(audit, {k: v for k, v in numbers.items() if v is not None})


def _return(action: int) -> tuple[int, int, int, int]:
    return (_RET, 0, 0, action)


def _refuse(code: int) -> tuple[int, int, int, int]:
    return _return(_ERRNO | code)


def _on(number: int, body: Program) -> Program:
    """``if call == number: body``; the body must end in a return."""
    return [(_JEQ, 0, len(body), number), *body]


def _argument(index: int) -> tuple[int, int, int, int]:
    """Load the low word: every argument tested here is 32 bits wide to the kernel."""
    return (_LD, 0, 0, _LOAD_ARGUMENTS + 8 * index)


def _if_equal(values: tuple[int, ...], action: Program) -> Program:
    return [line for v in values for line in [(_JEQ, 0, len(action), v), *action]]


def _head(arch: Architecture) -> Program:
    """Kill a foreign ABI: its numbers mean other calls (i386 by arch, x32 by the number's bit)."""
    program: Program = [
        (_LD, 0, 0, _LOAD_ARCH),
        (_JEQ, 1, 0, arch.audit),
        _return(_KILL),
        (_LD, 0, 0, _LOAD_NUMBER),
    ]
    if arch.audit == 0xC000003E:
        program += [(_JSET, 0, 1, _X32_BIT), _return(_KILL)]
    return program


def base_program(arch: Architecture | None = None) -> bytes:
    """The filter for everything that runs inside, as an array of ``struct sock_filter``."""
    arch = arch or architecture()
    call = arch.numbers
    eperm = _refuse(errno.EPERM)
    allow = _return(_ALLOW)
    program = _head(arch)
    # clone3 hides its flags behind a pointer; ENOSYS makes the C library fall back to clone.
    program += _on(call["clone3"], [_refuse(errno.ENOSYS)])
    # Libraries wait for ever for a lock that is refused, and do without where there are none.
    program += _on(call["flock"], [_refuse(errno.ENOSYS)])
    for number in ALLOWED_NEW:
        program += _on(number, [allow])
    program += [(_JGE, 0, 1, _FIRST_SHARED_NUMBER), _refuse(errno.ENOSYS)]
    for name in _DENIED:
        if name in call:
            program += _on(call[name], [eperm])
    program += _on(call["clone"], [_argument(0), (_JSET, 0, 1, CLONE_NEW_ANY), eperm, allow])
    for name in ("socket", "socketpair"):
        program += _on(call[name], [_argument(0), *_if_equal((AF_UNIX,), [allow]), eperm])
    program += _on(call["ioctl"], [_argument(1), *_if_equal(REFUSED_IOCTL, [eperm]), allow])
    program += _on(call["fcntl"], [_argument(1), *_if_equal(REFUSED_FCNTL, [eperm]), allow])
    return _assemble([*program, allow])


def no_processes_program(arch: Architecture | None = None) -> bytes:
    """The filter for a process that runs contestant code: threads yes, processes no."""
    arch = arch or architecture()
    call = arch.numbers
    eperm = _refuse(errno.EPERM)
    allow = _return(_ALLOW)
    program = _head(arch)
    for name in ("fork", "vfork", "execve", "execveat", "socket"):
        if name in call:
            program += _on(call[name], [eperm])
    program += _on(call["clone3"], [_refuse(errno.ENOSYS)])
    program += _on(call["clone"], [_argument(0), (_JSET, 0, 1, _CLONE_THREAD), allow, eperm])
    # Which core it has and when it runs is for the judge to say; but libraries pin their threads
    # and treat a refusal as fatal: pretend that it worked.
    for name in _SCHEDULING:
        program += _on(call[name], [_refuse(0)])
    return _assemble([*program, allow])


def _assemble(program: Program) -> bytes:
    return b"".join(struct.pack("=HBBI", *line) for line in program)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(program: bytes) -> None:
    """Load a filter on every thread of this process, for good. Raises OSError if refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0:  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    header = _SockFprog(len(program) // 8, program)
    number = architecture().numbers["seccomp"]
    # SET_MODE_FILTER with FILTER_FLAG_TSYNC: threads that libraries started on import count too.
    result = libc.syscall(number, 1, 1, ctypes.byref(header))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
    if result > 0:
        raise OSError(errno.EBUSY, f"seccomp: thread {result} has a filter of its own")


def install_no_processes() -> None:
    """Give up processes, programs, sockets and CPU placement, for good. Raises OSError."""
    install(no_processes_program())
