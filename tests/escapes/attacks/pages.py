"""The control page and the arena: lies told to the judge, and pages taken away from under it."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, MLE, RTE, TLE, WA = Verdict.AC, Verdict.MLE, Verdict.RTE, Verdict.TLE, Verdict.WA
CPP = Language.CPP
UNSHOWN = "it only breaks its own program; there is no layer to lift"
# GO, OP, SIZE, SLOT = 0, 1, 2, 3; DONE, REPLY, TEXT_SIZE = 16, 17, 18.

ATTACKS = (
    Attack("pages: done for ever after", (WA,), """
def solve(x, y, eps):
    w = words()
    honest(x, y, eps)
    while True:
        w[17] = 0
        w[16] = w[0]
""", seen_on=("unchecked",)),
    Attack("pages: done without work", (WA,), """
def solve(x, y, eps):
    w = words()
    w[17] = 0
    w[16] = w[0]
    while True:
        w[16] = w[0]
""", seen_on=("unchecked",)),
    Attack("pages: a sequence number from the future", (TLE,), """
def solve(x, y, eps):
    w = words()
    honest(x, y, eps)
    w[16] = w[0] + 5
    while True:
        pass
""", why_unseen="a judge that took any number would also be answered by any number"),
    Attack("pages: done before go", (WA, TLE), """
def solve(x, y, eps):
    w = words()
    w[17] = 0
    w[16] = w[0]
    while True:
        w[16] = w[0] + 1
""", why_unseen="a race with the judge: what it gains is told by done without work"),
    Attack("pages: a reply that does not exist", (RTE,), """
def solve(x, y, eps):
    w = words()
    w[17] = 2 ** 64 - 1
    w[16] = w[0]
    while True:
        pass
""", why_unseen=UNSHOWN),
    Attack("pages: a text without an end", (RTE,), """
def solve(x, y, eps):
    w = words()
    w[17], w[18] = 1, 2 ** 64 - 1
    w[16] = w[0]
    while True:
        pass
""", why_unseen=UNSHOWN),
    Attack("pages: inputs made writable", (AC,), """
def solve(x, y, eps):
    page = x.ctypes.data & ~4095
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(4096), 3) == 0:
        escaped("mprotect")
    honest(x, y, eps)
""", seen_on=("dummy",)),
    Attack("pages: inputs written through their descriptor", (AC,), """
def solve(x, y, eps):
    honest(x, y, eps)
    for fd in range(3, 1024):
        try:
            if "memfd:given" in os.readlink(f"/proc/self/fd/{fd}"):
                os.pwrite(fd, bytes(64), 0)
                escaped(fd)
        except OSError:
            continue
""", why_unseen="unsealed, they are the judge's own: see tests/judge/test_arena.py"),
    Attack("pages: a hole punched into the inputs", (AC,), """
def solve(x, y, eps):
    honest(x, y, eps)
    for fd in range(3, 1024):
        try:
            given = "memfd:given" in os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if given and libc.fallocate(fd, 3, ctypes.c_int64(0), ctypes.c_int64(1 << 20)) == 0:
            escaped(fd)
""", why_unseen="unsealed, they are the judge's own: see tests/judge/test_arena.py"),
    Attack("pages: overwrite the descriptor", (AC,), """
def attack():
    page = sys._getframe(2).f_locals["self"]._page
    page[4096:32768] = bytes([255]) * (32768 - 4096)
""", why_unseen="the judge keeps its own record and never reads it back"),
    Attack("pages: overwrite the whole control page", (WA,), """
def solve(x, y, eps):
    page = sys._getframe(1).f_locals["self"]._page
    page[:] = bytes([255]) * len(page)
""", why_unseen=UNSHOWN),
    Attack("pages: replace the harness's own code", (WA,), """
def attack():
    harness = sys.modules["__main__"].Harness
    harness._answer = lambda self: 0
def solve(x, y, eps):
    attack()
""", seen_on=("unchecked",)),
    Attack("pages: unmap the control page", (RTE,), """
def solve(x, y, eps):
    page = sys._getframe(1).f_locals["self"]._page
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    honest(x, y, eps)
    libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(len(page)))
""", why_unseen=UNSHOWN),
    Attack("pages: unmap the arena", (RTE,), """
SOLVE(
    honest(x, y, rows * cols, eps);
    munmap((void*)((uintptr_t)y & -4096), 4096);
    honest(x, y, rows * cols, eps);
)
""", CPP, why_unseen=UNSHOWN),
    Attack("pages: shrink the shared memory", (AC,), """
def attack():
    for fd in range(3, 512):
        for size in (0, 1 << 33):
            try:
                os.ftruncate(fd, size)
            except OSError:
                continue
            escaped(f"descriptor {fd} is {size} bytes long")
""", seen_on=("leak",)),
    Attack("pages: grow the mapping beyond its end", (RTE,), """
def solve(x, y, eps):
    page = sys._getframe(1).f_locals["self"]._page
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    libc.mremap.restype = ctypes.c_void_p
    more = libc.mremap(ctypes.c_void_p(at), ctypes.c_size_t(65536), ctypes.c_size_t(1 << 20), 1)
    ctypes.memset(more + 65536, 1, 1)
    escaped("the page has grown")
""", why_unseen=UNSHOWN),
    Attack("pages: fill the arena", (MLE,), """
SOLVE(
    honest(x, y, rows * cols, eps);
    char* at = (char*)((uintptr_t)y & -4096) + (1 << 20);
    for (size_t i = 0; i < (1280ul << 20); i += 4096) at[i] = 1;
    escaped("1.25 GiB of the judge's pages");
)
""", CPP, why_unseen="an arena is there only under the harness",
    patient=True),
    Attack("pages: make the judge's pages unreadable", (RTE, AC), """
SOLVE(
    honest(x, y, rows * cols, eps);
    mprotect((void*)((uintptr_t)y & -4096), 4096, PROT_NONE);
)
""", CPP, why_unseen=UNSHOWN),
)  # fmt: skip
