"""Taking memory, and taking it where nobody counts."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, MLE, RTE, WA = Verdict.AC, Verdict.MLE, Verdict.RTE, Verdict.WA
CPP = Language.CPP

# The limit is 832 MiB, the goal half as much again.
_EAT = """
static void attack() {
    const size_t step = 64 << 20;
    for (size_t had = 0; had < (1280u << 20); had += step) {
        void* block = mmap(nullptr, step, PROT_READ | PROT_WRITE, %s | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) return;
        for (size_t i = 0; i < step; i += 4096) ((volatile char*)block)[i] = 1;
    }
    escaped("1.25 GiB");
}
"""

ATTACKS = (
    Attack("memory: private pages", (MLE,), _EAT % "MAP_PRIVATE", CPP,
           seen_on=("generous", "unwatched"), patient=True),
    Attack("memory: shared pages of its own", (MLE,), _EAT % "MAP_SHARED", CPP,
           seen_on=("generous", "unwatched"), patient=True),
    Attack("memory: page tables", (MLE,), """
static void attack() {
    // Zeros that are only read take no memory; the table of each 2 MiB takes a page.
    const size_t tables = 1280u << 8, step = 2u << 20;
    char* block = (char*)mmap(nullptr, tables * step, PROT_READ,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) return;
    for (size_t i = 0; i < tables; ++i) (void)((volatile char*)block)[i * step];
    escaped("1.25 GiB of page tables");
}
""", CPP, seen_on=("generous", "unwatched"), patient=True),
    Attack("memory: a Python list that grows", (MLE,), """
def attack():
    kept = [bytes([i]) * (64 << 20) for i in range(1, 21)]
    escaped("1.25 GiB")
""", seen_on=("generous",), patient=True),
    Attack("memory: in threads", (MLE,), """
static void* eat(void*) {
    for (int i = 0; i < 5; ++i) {
        volatile char* block = (char*)malloc(64 << 20);
        if (!block) return nullptr;
        for (size_t at = 0; at < (64 << 20); at += 4096) block[at] = 1;
    }
    return nullptr;
}
static void attack() {
    pthread_t threads[4];
    for (auto& t : threads) pthread_create(&t, nullptr, eat, nullptr);
    for (auto& t : threads) pthread_join(t, nullptr);
    escaped("1.25 GiB");
}
""", CPP, seen_on=("generous",), patient=True),
    Attack("memory: endless recursion in C++", (RTE,), """
static int deeper(volatile int* at) { volatile int here = *at + 1; return deeper(&here) + here; }
static void attack() { volatile int zero = 0; deeper(&zero); escaped("bottomless"); }
""", CPP, why_unseen="no stack is without an end"),
    Attack("memory: endless recursion in Python", (RTE,), """
def attack():
    attack()
""", why_unseen="no stack is without an end"),
    Attack("memory: memfd_create", (AC,), """
def attack():
    if call(319, b"hidden", 0) >= 0:
        escaped("memory without a file")
""", seen_on=("no-seccomp",)),
    Attack("memory: System V shared memory", (AC,), """
def attack():
    if call(29, 0, 4096, 0o1600) >= 0:
        escaped("shmget")
""", seen_on=("no-seccomp",)),
    Attack("memory: a POSIX message queue", (AC,), """
def attack():
    if call(240, b"queue", os.O_CREAT | os.O_RDWR, 0o600, 0) != -errno.EPERM:
        escaped("mq_open")
""", seen_on=("no-seccomp",)),
    Attack("memory: lock pages", (AC,), """
def attack():
    block = ctypes.create_string_buffer(1 << 20)
    if libc.mlock(block, 1 << 20) == 0:
        escaped("mlock")
""", seen_on=("dummy", "no-rlimits")),
    Attack("memory: punch holes into the shared pages", (WA,), """
def solve(x, y, eps):
    honest(x, y, eps)
    start = y.ctypes.data & -4096
    assert libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(4096), 9) == 0
""", seen_on=("unchecked",)),
    Attack("memory: take a physical page offline", (AC,), """
def attack():
    page = ctypes.create_string_buffer(8192)
    start = (ctypes.addressof(page) + 4095) & -4096
    if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(4096), 101) == 0:
        escaped("MADV_SOFT_OFFLINE")
""", why_unseen="it would take pages away from this machine"),
    Attack("memory: touch a reserved terabyte", (RTE,), """
static void attack() {
    char* block = (char*)mmap(nullptr, 1ul << 40, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) abort();
    for (size_t i = 0; i < (1280ul << 20); i += 4096) block[i] = 1;
    escaped("1.25 GiB");
}
""", CPP, why_unseen="the limit on data is lifted nowhere; see private pages", patient=True),
    Attack("memory: pipe buffers", (AC,), """
import fcntl
def attack():
    kept, filled = [], 0
    try:
        while filled < (1 << 30):
            r, w = os.pipe()
            kept.append((r, w))
            os.set_blocking(w, False)
            try:
                fcntl.fcntl(w, 1031, 1 << 20)  # F_SETPIPE_SZ
            except PermissionError:
                pass  # over what one user may have
            try:
                while True:
                    filled += os.write(w, b"x" * 65536)
            except BlockingIOError:
                pass
        escaped("1 GiB in pipes")
    finally:
        for pair in kept:
            os.close(pair[0]); os.close(pair[1])
""", why_unseen="the number of descriptors ends it first everywhere"),
)  # fmt: skip
