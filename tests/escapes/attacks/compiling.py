"""Attacks by being built: on the compiler's time, memory and output, and on what it may read."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, CE, RTE, TLE = Verdict.AC, Verdict.CE, Verdict.RTE, Verdict.TLE
CPP = Language.CPP
BOMB = "success would use up this machine, or never end"


def _built(name: str, text: str, why: str = BOMB, *seen_on: str) -> Attack:
    return Attack(f"compiling: {name}", (CE,), f"{text}\nstatic void attack() {{}}\n", CPP,
                  seen_on=seen_on, why_unseen="" if seen_on else why)  # fmt: skip


ATTACKS = (
    _built("template bomb", """
template<int D, int I> struct Tree { Tree<D - 1, 2 * I> a; Tree<D - 1, 2 * I + 1> b; };
template<int I> struct Tree<0, I> { int leaf; };
static Tree<28, 1> tree;
"""),
    _built("endless template recursion", """
template<int I> struct Endless : Endless<I + 1> {};
static Endless<0> endless;
"""),
    _built("endless constant", """
constexpr long spin(long n) { long s = 0; for (long i = 0; i < n; ++i) s += i; return s; }
static_assert(spin(1l << 60) != 0);
"""),
    _built("#include /dev/zero", '#include "/dev/zero"'),
    _built("a file that includes itself", '#include "solution.cpp"'),
    _built("macro bomb", "\n".join(
        ["#define M0 1 + 1", *(f"#define M{i} M{i - 1} + M{i - 1}" for i in range(1, 40)),
         "static long bomb = M39;"])),
    _built("#include a file of the host", "#include HOST_CANARY\nlong broken = ;",
           "", "dummy-build"),
    _built(".incbin a file of the host", """
asm(".section .rodata\\n.global loot\\nloot: .incbin \\"" HOST_CANARY "\\"\\n.text");
""", "", "dummy-build"),
    _built(".incbin /dev/zero", 'asm(".incbin \\"/dev/zero\\"");'),
    _built("assembler bomb", 'asm(".fill 2000000000, 8, 1");'),
    _built("an array of a terabyte", "char huge[1l << 40] = {1};"),
    _built("flood of errors", "\n".join(f"undefined_{i} x{i};" for i in range(1500)),
           why="a log is cut, not refused; how long it is, is looked at"),
    _built("flood by #warning and a broken end",
           '\n'.join(['#warning "' + "w" * 2000 + '"'] * 300) + "\nbroken;",
           why="a log is cut, not refused; how long it is, is looked at"),
    Attack("compiling: ask for files of the host", (AC,), """
#if __has_include(HOST_CANARY) || __has_include("/sys/kernel/notes")
static void attack() { escaped("seen by the compiler"); }
#else
static void attack() {}
#endif
""", CPP, why_unseen="a build that ran is judged in the sandbox; see #include a file of the host"),
    Attack("compiling: file names that look like options", (AC,), "static void attack() {}\n", CPP,
           files={"-o.cpp": "// -o /etc/passwd\n", "@args.cpp": "// @/etc/passwd\n",
                  "a b;touch x.cpp": "// words\n", "$(touch y).cpp": "// shell\n"},
           why_unseen="./ before each name is the judge's own; no layer to lift"),
    Attack("compiling: a constructor that never returns", (TLE,), """
__attribute__((constructor)) static void early() { for (;;) asm volatile(""); }
static void attack() {}
""", CPP, why_unseen=BOMB),
    Attack("compiling: a resolver that runs while linking", (RTE, AC), """
static void real(const float* x, float* y, int64_t rows, int64_t cols, double eps) {
    honest(x, y, rows * cols, eps);
}
extern "C" void* resolve_it() {
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) escaped("a process while linking");
    return (void*)real;
}
extern "C" void solve(const float*, float*, int64_t, int64_t, double)
    __attribute__((ifunc("resolve_it")));
""", CPP, seen_on=("dummy",)),
    Attack("compiling: Python nested too deep", (CE,), "x = " + "(" * 5000 + ")" * 5000 + "\n",
           why_unseen=BOMB),
    Attack("compiling: Python that runs while it is imported", (AC,), """
try:
    if os.fork() == 0:
        os._exit(0)
    escaped("forked while importing")
except OSError:
    pass
def attack(): pass
""", seen_on=("dummy",)),
)  # fmt: skip
