"""Signals and ends: to others, to the harness itself, and ends that look like success."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, RTE, TLE = Verdict.AC, Verdict.RTE, Verdict.TLE
CPP = Language.CPP
OWN = "it only ends its own program: the attack is on the verdict, and there is no layer to lift"
ENDLESS = "success would never end"

ATTACKS = (
    Attack("signals: kill the parent", (AC,), """
def attack():
    for number in (9, 15, 11, 1):
        os.kill(os.getppid(), number)
""", why_unseen="without a sandbox it would kill the judge"),
    Attack("signals: stop the parent", (AC,), """
def attack():
    for number in (signal.SIGSTOP, signal.SIGTSTP):
        os.kill(os.getppid(), number)
""", why_unseen="without a sandbox it would stop the judge"),
    Attack("signals: kill process 1", (AC,), """
def attack():
    for number in range(1, 65):
        try:
            os.kill(1, number)
        except OSError:
            pass
""", why_unseen="without a sandbox it could end this machine"),
    Attack("signals: kill everybody", (AC,), """
def attack():
    os.kill(-1, 9)
""", why_unseen="without a sandbox it would end this machine"),
    Attack("signals: kill the own group", (RTE,), """
def attack():
    os.killpg(0, 9)
""", why_unseen=OWN),
    Attack("signals: stop a process of the same user", (AC,), """
def attack():
    os.kill(HOST["victim"], signal.SIGSTOP)
    escaped("stopped the victim")
    os.kill(HOST["victim"], signal.SIGCONT)
""", seen_on=("dummy",)),
    Attack("signals: guess process ids", (AC,), """
def attack():
    for pid in range(1, 100000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        except PermissionError:
            pass
        if pid not in (1, os.getpid()):
            escaped(f"process {pid} is there")
            break
""", seen_on=("dummy",)),
    Attack("signals: by pidfd", (AC,), """
def attack():
    fd = os.pidfd_open(HOST["victim"])
    signal.pidfd_send_signal(fd, 0)
    escaped("pidfd")
""", seen_on=("dummy",)),
    Attack("signals: SIGKILL to itself", (RTE,), """
def attack():
    os.kill(os.getpid(), 9)
""", why_unseen=OWN),
    Attack("signals: SIGSTOP to itself", (TLE,), """
def attack():
    os.kill(os.getpid(), signal.SIGSTOP)
""", why_unseen=OWN),
    Attack("signals: a timer that continues the stopped program", (AC,), """
def attack():
    event = (ctypes.c_int * 16)(0, 0, int(signal.SIGCONT), 0)
    timer = ctypes.c_void_p()
    if libc.timer_create(1, event, ctypes.byref(timer)) == 0:
        escaped("timer")
""", seen_on=("no-seccomp",)),
    Attack("signals: a descriptor that continues the stopped program", (AC,), """
import fcntl
def attack():
    r, w = os.pipe()
    fcntl.fcntl(r, 10, int(signal.SIGCONT))
    escaped("F_SETSIG")
""", seen_on=("no-seccomp",)),
    Attack("signals: abort", (RTE,), "static void attack() { abort(); }\n", CPP, why_unseen=OWN),
    Attack("signals: _exit(0) in the call", (RTE,), """
static void attack() { _exit(0); }
""", CPP, why_unseen=OWN),
    Attack("signals: sys.exit(0) in the call", (RTE,), """
def attack():
    sys.exit(0)
""", why_unseen=OWN),
    Attack("signals: _exit(0) while loading", (RTE,), """
__attribute__((constructor)) static void early() { _exit(0); }
static void attack() {}
""", CPP, why_unseen=OWN),
    Attack("signals: time hidden in an exit handler", (TLE,), """
static void spin() { for (;;) asm volatile(""); }
static void attack() { atexit(spin); exit(0); }
""", CPP, why_unseen=ENDLESS),
    Attack("signals: sleep for ever", (TLE,), """
def attack():
    signal.pause()
""", why_unseen=ENDLESS),
    Attack("signals: a long call that cannot be interrupted", (TLE,), """
def attack():
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    return 3 ** (10 ** 8)
""", why_unseen=ENDLESS),
    Attack("signals: the main thread ends, another works on", (TLE,), """
static void* spin(void*) { for (;;) asm volatile(""); }
static void attack() {
    pthread_t thread;
    pthread_create(&thread, nullptr, spin, nullptr);
    syscall(SYS_exit, 0);
}
""", CPP, why_unseen=ENDLESS),
)  # fmt: skip
