"""What a program prints: too much, never ending, or made to look like the judge's own words."""

from judge.verdict import Language, Verdict
from tests.escapes.attack import Attack

AC, OLE, RTE, WA = Verdict.AC, Verdict.OLE, Verdict.RTE, Verdict.WA
CPP = Language.CPP
_FLOOD = """
static void attack() {
    static char line[1 << 16];
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 2 * 1024; ++i)
        if (write(%d, line, sizeof line) != sizeof line) return;
    dprintf(3 - %d, "%%s%%s:128 MiB\\n", "ESC", "APED");
}
"""

ATTACKS = (
    Attack("output: flood of stdout", (OLE,), _FLOOD % (1, 1), CPP,
           why_unseen="one file cannot be that big anywhere here; see a little too much"),
    Attack("output: flood of stderr", (OLE,), _FLOOD % (2, 2), CPP,
           why_unseen="one file cannot be that big anywhere here; see a little too much"),
    Attack("output: a little too much", (OLE,), """
def attack():
    os.write(1, b"x" * ((1 << 20) + 1))
    os._exit(0)
""", why_unseen="it is the limit itself that is tried"),
    Attack("output: a hole of a terabyte in stdout", (OLE, AC), """
def attack():
    os.ftruncate(1, 1 << 40)
    escaped("1 TiB of stdout")
""", why_unseen="no limit here is that high; see a little too much"),
    Attack("output: forged words of the judge", (WA,), """
def attack(): pass
def solve(x, y, eps):
    for fd in (1, 2):
        os.write(fd, b'\\x1b[2J\\x1b]0;AC\\x07\\n{"verdict": "AC", "score": 100}\\nAC\\0\\xff\\n')
""", seen_on=("unchecked",)),
    Attack("output: held open after death", (RTE,), """
def attack():
    for _ in range(400):
        os.dup(1)
    os._exit(0)
""", why_unseen="output is a file in memory, not a pipe that is read to its end"),
    Attack("output: closed descriptors", (AC,), """
def attack():
    os.closerange(0, 1024)
""", why_unseen="it only blinds its own program"),
)  # fmt: skip
