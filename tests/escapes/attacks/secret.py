"""Looking for what it must not know: the judge's files, memory, seeds, answers, other processes."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, WA = Verdict.AC, Verdict.WA
CPP = Language.CPP

ATTACKS = (
    Attack("secret: /etc/shadow", (AC,), """
def attack():
    open("/etc/shadow").close()
    escaped("shadow")
""", seen_on=("dummy",)),
    Attack("secret: a file anyone may read", (AC,), """
def attack():
    escaped(open(HOST["canary"]).read())
""", seen_on=("dummy",)),
    Attack("secret: reference and hidden workloads", (AC,), """
def attack():
    for name in ("reference.py", "problem.yaml", "baseline.py"):
        for root in (HOST["package"], HOST["repository"] + "/problems"):
            if os.path.exists(f"{root}/{name}"):
                escaped(f"{root}/{name}")
    for folder, _, names in os.walk(HOST["repository"] + "/problems"):
        escaped(folder)
        break
""", seen_on=("dummy",)),
    Attack("secret: the judge's own code", (AC,), """
import importlib.util
def attack():
    sys.path += [HOST["repository"], "/.opjudge", *sys.path]
    for name in ("judge", "leaderboard", "sandbox.base", "sandbox.bubblewrap"):
        try:
            found = importlib.util.find_spec(name)
        except ImportError:
            continue
        if found is not None and found.origin is not None:
            escaped(name)
""", seen_on=("dummy",)),
    Attack("secret: environment of other processes", (AC,), """
def attack():
    if any("OPJUDGE_ESCAPES_SECRET" in name for name in os.environ):
        escaped("own environment")
    for pid in ("1", str(os.getppid()), str(HOST["victim"]), "self"):
        try:
            text = open(f"/proc/{pid}/environ", "rb").read()
        except OSError:
            continue
        if b"OPJUDGE_ESCAPES_SECRET" in text:
            escaped(f"environment of {pid}")
""", seen_on=("dummy",)),
    Attack("secret: command lines of other processes", (AC,), """
import glob
def attack():
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        escaped(path)
        break
    if any(HOST["package"] in word for word in (*sys.argv, *sys.orig_argv)):
        escaped("own command line")
""", seen_on=("dummy",)),
    Attack("secret: memory of another process by /proc", (AC,), """
def attack():
    for pid in (HOST["victim"], HOST["judge"], 1, os.getppid()):
        try:
            os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))
        except OSError:
            continue
        escaped(f"memory of {pid}")
""", seen_on=("dummy",)),
    Attack("secret: process_vm_readv", (AC,), """
#include <sys/uio.h>
static void attack() {
    for (long pid : {(long)HOST_VICTIM, (long)HOST_JUDGE, 1l}) {
        char byte;
        iovec here = {&byte, 1}, there = {(void*)1, 1};
        // A process that may be read answers EFAULT for a bad address.
        long got = syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0);
        if (got >= 0 || errno == EFAULT) { escaped("process_vm_readv"); return; }
    }
}
""", CPP, seen_on=("dummy",)),
    Attack("secret: process_vm_writev to process 1", (AC,), """
#include <sys/uio.h>
static void attack() {
    char byte = 0;
    iovec here = {&byte, 1}, there = {(void*)1, 1};
    long got = syscall(SYS_process_vm_writev, HOST_VICTIM, &here, 1, &there, 1, 0);
    if (got >= 0 || errno == EFAULT) escaped("process_vm_writev");
    got = syscall(SYS_process_vm_writev, 1, &here, 1, &there, 1, 0);
    if (got >= 0 || errno == EFAULT) escaped("process_vm_writev to 1");
}
""", CPP, seen_on=("dummy",)),
    Attack("secret: ptrace", (AC,), """
#include <sys/ptrace.h>
static void attack() {
    for (long pid : {(long)HOST_VICTIM, 1l})
        if (pid != 1 || getppid() == 1)
            if (syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0) == 0) escaped("ptrace");
}
""", CPP, seen_on=("dummy",)),
    Attack("secret: take a descriptor from another process", (AC,), """
def attack():
    for pid in (HOST["victim"], 1):
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        for number in range(8):
            if call(438, fd, number, 0) >= 0:
                escaped(f"descriptor {number} of {pid}")
""", seen_on=("dummy",)),
    Attack("secret: inherited descriptors", (AC,), """
def attack():
    for fd in range(3, 1024):
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        # Python's maps of the two shared memories keep a descriptor each.
        if status.st_nlink != 0 or status.st_size not in (64 << 10, 2 << 30):
            escaped(f"descriptor {fd}: {status}")
""", seen_on=("leak",)),
    Attack("secret: write to every descriptor", (AC, WA), """
def attack():
    for fd in range(1024):
        try:
            if os.fstat(fd).st_nlink != 0 and fd > 2:
                escaped(f"descriptor {fd}")
            os.lseek(fd, 8 << 10, 0)  # in the control page, some way from its words
            os.write(fd, b'{"verdict": "AC"}')
        except OSError:
            continue
""", seen_on=("leak",)),
    Attack("secret: seeds and answers in the interpreter", (AC,), """
import gc
def attack():
    for name in list(sys.modules):
        if name.split(".")[0] in ("judge", "leaderboard", "reference", "oracle_program"):
            escaped(f"module {name}")
    for found in gc.get_objects():
        if isinstance(found, dict):
            for name in ("seed", "expected", "reference", "oracle", "truth"):
                if isinstance(found.get(name), (bytes, np.ndarray)):
                    escaped(f"{name} in a dictionary")
""", why_unseen="the judge never puts them there; it would have to be written to fail"),
    Attack("secret: answers in the shared pages", (AC,), """
SOLVE(
    const int64_t n = rows * cols;
    float* mine = (float*)malloc(n * 4);
    honest(x, mine, n, eps);
    // Everything the judge has laid out lies within a few hundred KiB around the buffers.
    const char* at = (const char*)((uintptr_t)y & -4096) - (64 << 10);
    for (int64_t i = 0; i < (256 << 10); i += 4096) {
        unsigned char resident;
        if (mincore((void*)(at + i), 4096, &resident) != 0) continue;
        for (int64_t j = 0; j + n * 4 <= 4096; j += 4)
            if (at + i + j != (const char*)y && memcmp(at + i + j, mine, n * 4) == 0)
                escaped("the answer lies in the pages");
    }
    free(mine);
    honest(x, y, n, eps);
)
""", CPP, why_unseen="the judge never puts them there; it would have to be written to fail"),
    Attack("secret: the whole of /proc and /sys", (AC,), """
def attack():
    for path in ("/proc/self/maps", "/proc/self/fd", "/proc/1", "/proc/mounts", "/sys/class",
                 "/sys/kernel", "/run", "/home", "/root", "/var", "/srv", "/boot"):
        # This Python itself may lie below one of them; then that is all there is.
        leads = [p for p in (sys.prefix, sys.base_prefix) if p.startswith(path + "/")]
        if os.path.isfile(path) or (os.path.isdir(path) and len(os.listdir(path)) > len(leads)):
            escaped(path)
""", seen_on=("dummy",)),
    Attack("secret: a file by its handle", (AC,), """
def attack():
    handle = (ctypes.c_uint32 * 40)(128)
    mount = ctypes.c_int()
    got = call(303, -100, HOST["canary"].encode(), handle, ctypes.byref(mount), 0)
    if got != -errno.EPERM:
        escaped(f"name_to_handle_at says {got}")
""", seen_on=("no-seccomp",)),
    Attack("secret: the kernel's log", (AC,), """
def attack():
    if call(103, 10, 0, 0) >= 0:
        escaped("syslog")
    os.close(os.open("/dev/kmsg", os.O_RDONLY))
    escaped("kmsg")
""", seen_on=("dummy",)),
)  # fmt: skip
