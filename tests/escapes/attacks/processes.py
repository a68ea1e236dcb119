"""Starting processes and threads, and leaving them behind."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, SV, WA = Verdict.AC, Verdict.SV, Verdict.WA
CPP = Language.CPP

ATTACKS = (
    Attack("processes: fork", (AC,), """
def attack():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    escaped("forked")
""", seen_on=("dummy",)),
    Attack("processes: fork bomb", (AC,), """
static void attack() {
    int made = 0;
    for (int i = 0; i < 300; ++i) {
        pid_t pid = fork();
        if (pid == 0) { pause(); _exit(0); }
        if (pid > 0) ++made;
    }
    if (made == 300) escaped("300 processes");
}
""", CPP, seen_on=("generous",)),
    Attack("processes: posix_spawn", (AC,), """
def attack():
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    escaped("spawned")
""", seen_on=("dummy",)),
    Attack("processes: become another program", (AC,), """
def attack():
    os.execv("/bin/sh", ["sh", "-c", "echo ESC''APED:exec"])
""", seen_on=("dummy",)),
    Attack("processes: double fork and setsid", (AC,), """
static void attack() {
    pid_t pid = fork();
    if (pid < 0) return;
    if (pid == 0) {
        setsid();
        if (fork() == 0) { setsid(); escaped("daemon"); _exit(0); }
        wait(nullptr);
        _exit(0);
    }
    waitpid(pid, nullptr, 0);
}
""", CPP, seen_on=("dummy",)),
    Attack("processes: an orphan that holds the output", (AC,), """
def attack():
    r, w = os.pipe()
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            os.setsid()
            escaped("orphan")
            os.write(w, b"x")
            signal.pause()
        os._exit(0)
    os.waitpid(middle, 0)
    os.read(r, 1)
""", seen_on=("no-harness",)),
    Attack("processes: clone by number", (AC,), """
static void attack() {
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) { waitpid(pid, nullptr, 0); escaped("clone"); }
}
""", CPP, seen_on=("dummy",)),
    Attack("processes: clone3 hides its flags", (AC,), """
static void attack() {
    uint64_t arguments[8] = {0, 0, 0, 0, SIGCHLD};
    long pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0) _exit(0);
    if (pid > 0) { waitpid(pid, nullptr, 0); escaped("clone3"); }
}
""", CPP, seen_on=("dummy",)),
    Attack("processes: vfork by clone", (AC,), """
static void attack() {
    long pid = syscall(SYS_clone, SIGCHLD | 0x4000, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) { waitpid(pid, nullptr, 0); escaped("vfork"); }
}
""", CPP, seen_on=("dummy",)),
    Attack("processes: thread bomb in C++", (SV,), """
static void* idle(void*) { pause(); return nullptr; }
static void attack() {
    int made = 0;
    for (int i = 0; i < 200; ++i) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 65536);
        if (pthread_create(&thread, &attributes, idle, nullptr) == 0) ++made;
    }
    if (made == 200) escaped("200 threads");
}
""", CPP, seen_on=("generous",)),
    Attack("processes: thread bomb in Python", (SV,), """
def attack():
    threading.stack_size(65536)
    for _ in range(200):
        threading.Thread(target=signal.pause, daemon=True).start()
    escaped("200 threads")
    os._exit(0)
""", seen_on=("generous",)),
    Attack("processes: threads that burn after done", (AC,), """
static void* burn(void*) { for (;;) asm volatile(""); }
static void attack() {
    for (int i = 0; i < 4; ++i) {
        pthread_t thread;
        pthread_create(&thread, nullptr, burn, nullptr);
    }
}
""", CPP, why_unseen="time stolen shows in no channel; see tests/judge/test_defences.py"),
    Attack("processes: a thread that writes after done", (WA,), """
#include <atomic>
static std::atomic<float*> old;
static std::atomic<int> written;
static void* late(void*) {
    for (;;) { float* y = old; if (y) { y[0] = 7; ++written; } }
}
SOLVE(
    static int calls = 0;
    if (calls++ == 0) {
        pthread_t thread;
        pthread_create(&thread, nullptr, late, nullptr);
        honest(x, y, rows * cols, eps);
        old = y;
    } else {
        honest(x, y, rows * cols, eps);
        for (int before = written; written == before;) sched_yield();
    }
)
""", CPP, seen_on=("unchecked",)),
)  # fmt: skip
