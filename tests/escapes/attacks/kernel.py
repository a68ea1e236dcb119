"""The kernel's surface: namespaces, mounts, privileges, rarely used and foreign calls.

Calls that could hurt a machine are made with arguments that are wrong in a way the kernel looks at
only after it has asked for the right to make them: EPERM is a refusal, any other error is not.
"""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, RTE = Verdict.AC, Verdict.RTE
CPP = Language.CPP
ABSENT = "not every kernel has it, and root in a container may not either"


def _refused(
    name: str, *calls: str, seen_on: tuple[str, ...] = ("dummy",), why: str = ""
) -> Attack:
    """Each call must be refused with EPERM (or not exist)."""
    lines = "".join(
        f"    got = call({c})\n"
        "    if got not in (-errno.EPERM, -errno.ENOSYS):\n"
        f"        escaped({name!r} + f': {{got}}')\n"
        for c in calls
    )
    return Attack(f"kernel: {name}", (AC,), f"\ndef attack():\n{lines}", seen_on=seen_on,
                  why_unseen=why)  # fmt: skip


_OPEN = """
def attack():
    for path in %r:
        try:
            os.close(os.open(path, os.O_WRONLY))
        except OSError:
            continue
        escaped(f"{path} can be written")
"""

ATTACKS = (
    _refused("a user namespace", "272, 0x10000000", seen_on=("no-seccomp",)),
    _refused("every other namespace", *(f"272, {flag}" for flag in (
        0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000)),
        seen_on=(), why="each needs rights nobody has there; a user namespace gives them"),
    Attack("kernel: clone into namespaces", (AC,), """
static void attack() {
    long pid = syscall(SYS_clone, 0x10000000 | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) { waitpid(pid, nullptr, 0); escaped("CLONE_NEWUSER"); }
}
""", CPP, seen_on=("no-seccomp",)),
    Attack("kernel: a namespace of its own, and mounts in it", (AC,), """
def attack():
    if call(272, 0x10000000 | 0x20000) == 0:
        os.mkdir("m")
        if call(165, b"none", os.getcwd().encode() + b"/m", b"tmpfs", 0, 0) == 0:
            escaped("mounted")
""", seen_on=("no-seccomp-no-landlock",)),
    Attack("kernel: setns into another process", (AC,), """
def attack():
    for pid in (HOST["victim"], 1):
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        if call(308, fd, 0x4000000) == 0:
            escaped(f"in the namespace of {pid}")
""", seen_on=("dummy",)),
    _refused("mount", "165, -1, -1, -1, 0, 0", "166, -1, 0x8000", "155, -1, -1",
             seen_on=("no-seccomp",)),
    _refused("newer ways to mount", "428, -100, -1, 1", "430, -1, 0", "442, -1, -1, 0, -1, 0",
             seen_on=("no-seccomp",)),
    Attack("kernel: chroot", (AC,), """
def attack():
    os.chroot("/usr")
    escaped("chroot")
""", seen_on=("dummy",)),
    Attack("kernel: core_pattern and other settings", (AC,), _OPEN % ((
        "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/overcommit_memory", "/proc/self/oom_score_adj", "/proc/self/uid_map"),),
        seen_on=("dummy",)),
    Attack("kernel: the control groups", (AC,), """
import glob
def attack():
    for path in ("/sys/fs/cgroup", *glob.glob("/sys/fs/cgroup/*/cgroup.procs")):
        if os.path.exists(path):
            escaped(path)
""", seen_on=("dummy",)),
    Attack("kernel: devices of the host", (AC,), _OPEN % ((
        "/dev/mem", "/dev/kmem", "/dev/port", "/dev/sda", "/dev/vda", "/dev/loop-control",
        "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/tty", "/dev/ptmx", "/dev/pts/0"),),
        seen_on=("dummy",)),
    _refused("keyrings", "248, b'user', b'opjudge', b'x', 1, -4", "250, 0, -4, 1",
             "249, -1, -1, 0, 0",
             seen_on=("no-seccomp",)),
    _refused("io_uring", "425, 1, (ctypes.c_uint32 * 40)()", "426, -1, 0, 0, 0, 0, 0",
             "427, -1, 0, 0, 0", seen_on=("no-seccomp",)),
    _refused("asynchronous I/O", "206, 0, -1", seen_on=("no-seccomp",)),
    _refused("bpf", "321, 999, -1, 1 << 30", seen_on=("no-seccomp",)),
    _refused("perf_event_open", "298, -1, 0, -1, -1, 0", seen_on=("no-seccomp",)),
    _refused("userfaultfd", "323, 1", seen_on=("no-seccomp",)),
    _refused("kexec", "246, 0, 99, 0, -1", "320, -1, -1, 0, 0, -1", seen_on=(), why=ABSENT),
    _refused("kernel modules", "313, -1, -1, 0", "175, -1, 1, -1", seen_on=(), why=ABSENT),
    _refused("reboot", "169, 0, 0, 0, 0"),
    _refused("swap and accounting", "167, -1, 0", "168, -1", "163, -1"),
    _refused("the clock", "164, -1, 0", "227, 0, -1", "159, -1"),
    _refused("the host's name", "170, -1, 5", "171, -1, 5"),
    _refused("the file system's quota", "179, 0, -1, 0, -1", seen_on=("no-seccomp",)),
    _refused("ports of the processor", "173, 0x80, 1, 1", "172, 3", seen_on=(), why=ABSENT),
    _refused("personality", "135, 0x0040000", seen_on=("no-seccomp",)),
    _refused("pushing back terminal input", *(f"16, {fd}, 0x5412, -1" for fd in range(3)),
             seen_on=("no-seccomp",)),
    _refused("the local descriptor table", "154, 0, 0, 0", seen_on=("no-seccomp",)),
    _refused("watching files", "300, 0x200, 0", seen_on=("no-seccomp",)),
    _refused("moving pages and comparing processes", "279, 0, 0, 0, 0, 0, 0", "312, 1, 1, 99, 0, 0",
             seen_on=("no-seccomp",)),
    Attack("kernel: a 32-bit call", (RTE,), """
static void attack() {
    long got = 20;  // getpid by its 32-bit number
    asm volatile("int $0x80" : "+a"(got) : : "memory", "r8", "r9", "r10", "r11");
    escaped("int 0x80");
}
""", CPP, seen_on=("no-seccomp",)),
    Attack("kernel: an x32 call", (RTE,), """
static void attack() { syscall(0x40000000 | SYS_getpid); escaped("not killed"); }
""", CPP, seen_on=("no-seccomp",)),
    Attack("kernel: become root", (AC,), """
def attack():
    for ask in (lambda: os.setresuid(0, 0, 0), lambda: os.setresgid(0, 0, 0),
                lambda: os.setgroups([0])):
        try:
            ask()
        except OSError:
            continue
        escaped("identity changed")
    if 0 in os.getresuid() + os.getresgid():
        escaped("root")
""", seen_on=("dummy",)),
    Attack("kernel: real-time priority", (AC,), """
def attack():
    # Asking is allowed and changes nothing.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    if os.sched_getscheduler(0) == os.SCHED_FIFO:
        escaped("SCHED_FIFO")
""", seen_on=("dummy",)),
    Attack("kernel: lock a file that all sandboxes see", (AC,), """
import fcntl
def attack():
    with open("/usr/bin/env", "rb") as file:
        for lock in (fcntl.flock, fcntl.lockf):
            try:
                lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                continue
            escaped(lock.__name__)
""", seen_on=("no-seccomp",)),
    Attack("kernel: watch who opens a file that all sandboxes see", (AC,), """
def attack():
    watcher = libc.inotify_init1(os.O_NONBLOCK)
    if watcher >= 0 and libc.inotify_add_watch(watcher, b"/usr/bin/env", 0x20) >= 0:
        open("/usr/bin/env", "rb").close()
        escaped(f"{len(os.read(watcher, 4096))} bytes about it")
""", seen_on=("no-seccomp",)),
    Attack("kernel: a better priority", (AC,), """
def attack():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, before - 1)
    if os.getpriority(os.PRIO_PROCESS, 0) < before:
        escaped("priority raised")
""", seen_on=("dummy",)),
    Attack("kernel: a worse priority for others", (AC,), """
def attack():
    if os.geteuid() != 0:  # never for all of root's processes, where it would work
        os.setpriority(os.PRIO_USER, 0, 19)
    os.setpriority(os.PRIO_PROCESS, HOST["victim"], 5)
    escaped("the victim is slow now")
""", seen_on=("dummy",)),
    Attack("kernel: other processor cores", (AC,), """
def attack():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))
    if os.sched_getaffinity(0) != before:
        escaped("moved")
""", seen_on=("dummy",)),
    Attack("kernel: limits of others and of its own", (AC,), """
import resource
def attack():
    for pid in (HOST["victim"], HOST["judge"]):
        try:
            resource.prlimit(pid, resource.RLIMIT_CPU)
            escaped(f"the limits of {pid}")
        except OSError:
            pass
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        soft, hard = resource.getrlimit(kind)
        try:
            resource.setrlimit(kind, (hard, hard + 1))
        except (OSError, ValueError):
            continue
        escaped(f"limit {kind}")
""", seen_on=("dummy",)),
)  # fmt: skip
