"""Docker's form of our system-call filter: the same rules as `sandbox.harness.seccomp`, as JSON.

Docker hands the profile to libseccomp, which knows calls by name. It is an allow-list, so that a
call nobody here has heard of is refused whatever the age of the engine.
"""

import errno
import json
import platform
import stat
from collections.abc import Iterable

from sandbox.harness import seccomp

_ALLOW, _REFUSE = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_WORD = 0xFFFF_FFFF
_ORDINARY_FILES = (0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK)

# Calls below 424 that the other filter has no rule for, and so allows.
_ORDINARY = """
accept accept4 access alarm arch_prctl bind brk capget capset chdir chmod chown clock_getres
clock_gettime clock_nanosleep close connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd eventfd2 exit exit_group faccessat
fadvise64 fallocate fchdir fchmod fchmodat fchown fchownat fdatasync fgetxattr flistxattr
fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futimesat get_mempolicy get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer
getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_submit ioprio_get ioprio_set kill lchown lgetxattr link linkat listen listxattr llistxattr
lremovexattr lseek lsetxattr lstat madvise mbind membarrier mincore mkdir mkdirat
mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap nanosleep newfstatat
open openat pause pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv
preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
recvfrom recvmmsg recvmsg removexattr rename renameat renameat2 restart_syscall rmdir rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setattr sched_setparam
sched_setscheduler sched_yield select sendfile sendmmsg sendmsg sendto set_mempolicy
set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer
setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid
setxattr shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timerfd_create timerfd_gettime timerfd_settime
times tkill truncate umask uname unlink unlinkat utime utimensat utimes wait4 waitid write writev
"""

_UNCONDITIONAL = ("execve", "execveat", "fork", "sched_setaffinity", "seccomp", "vfork")

_NEW_NAMES = {
    424: "pidfd_send_signal",
    434: "pidfd_open",
    436: "close_range",
    437: "openat2",
    439: "faccessat2",
    441: "epoll_pwait2",
    446: "landlock_restrict_self",
    449: "futex_waitv",
    450: "set_mempolicy_home_node",
    454: "futex_wake",
    455: "futex_wait",
    456: "futex_requeue",
}

# Newer calls that are refused as if the kernel had none; for those that are newer still, the
# engine's runtime does the same of itself.
_MISSING = (
    *("io_uring_enter", "io_uring_register", "io_uring_setup", "open_tree", "move_mount", "fsopen"),
    *("fsconfig", "fsmount", "fspick", "pidfd_getfd", "process_madvise", "mount_setattr"),
    *("quotactl_fd", "landlock_add_rule", "landlock_create_ruleset", "memfd_secret"),
    "process_mrelease",
)

_Rule = dict[str, object]


def profile(machine: str | None = None) -> str:
    """The profile for ``--security-opt seccomp=``, for a machine (``uname -m``; by default this).

    Raises OSError for a machine without a filter: no filter, no sandbox.
    """
    machine = machine or platform.machine()
    seccomp.architecture(machine)
    rules: list[_Rule] = [
        _rule(
            [
                *_ORDINARY.split(),
                *_UNCONDITIONAL,
                *map(_NEW_NAMES.__getitem__, seccomp.ALLOWED_NEW),
            ]
        ),
        # The C library falls back to clone, whose flags can be seen.
        {"names": ["clone3", "flock", *_MISSING], "action": _REFUSE, "errnoRet": errno.ENOSYS},
        _rule(["clone"], (0, seccomp.CLONE_NEW_ANY, 0)),
        _rule(["socket", "socketpair"], (0, _WORD, seccomp.AF_UNIX)),
    ]
    # There is a device node that anybody may make.
    for name, mode_at in (("mknod", 1), ("mknodat", 2)):
        rules += [_rule([name], (mode_at, stat.S_IFMT(_WORD), kind)) for kind in _ORDINARY_FILES]
    for name, refused in (("ioctl", seccomp.REFUSED_IOCTL), ("fcntl", seccomp.REFUSED_FCNTL)):
        rules += [_rule([name], (1, mask, value)) for mask, value in other_than(refused)]
    return json.dumps(
        {
            "defaultAction": _REFUSE,
            # Only the native one: with another, or with x32 numbers, libseccomp kills.
            "architectures": [_ARCHITECTURES[machine]],
            "syscalls": rules,
        }
    )


def _rule(names: list[str], argument: tuple[int, int, int] | None = None) -> _Rule:
    """Allow calls, if the argument (index, mask, value) masked is the value."""
    rule: _Rule = {"names": names, "action": _ALLOW}
    if argument is not None:
        index, mask, value = argument
        test = {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
        rule["args"] = [test]
    return rule


def other_than(refused: Iterable[int]) -> list[tuple[int, int]]:
    """Pairs (mask, value) that match every 32-bit word but the refused ones, each only once.

    libseccomp allows one test of an argument in a rule and lets a rule without tests win over one
    with, so "all but these" has to be said as a list of what is allowed.
    """
    pairs: list[tuple[int, int]] = []
    pending = [(0, 32, list(refused))]
    while pending:
        prefix, left, inside = pending.pop()
        if not inside:
            pairs.append(((_WORD << left) & _WORD, prefix))
        elif left:
            bit = 1 << (left - 1)
            pending.append((prefix, left - 1, [v for v in inside if not v & bit]))
            pending.append((prefix | bit, left - 1, [v for v in inside if v & bit]))
    return pairs
