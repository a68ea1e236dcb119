"""What an attack is, and how its text becomes a submission.

An attack is written as a function `attack()`. What surrounds it tells the attack all that a
well-informed attacker could know of the host, and goes on to compute the operator: an attack that
is refused without a word ends in `AC`. A text with a `solve` of its own is left as it is.

An attack that gets through calls `escaped(what)`. The mark is put together at run time, so that a
compiler or a traceback that quotes the source cannot be taken for a success.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from judge.source import Source, parse_upload
from judge.verdict import Language, Verdict

MARK = "ESCAPED:"
_LIMIT_BYTES = 1 << 20

PY_HEAD = """\
#!OPJUDGE arrays=numpy
import ctypes, errno, os, signal, socket, sys, threading, time
import numpy as np
HOST = {host}
libc = ctypes.CDLL(None, use_errno=True)

def escaped(what):
    os.write(1, ("ESC" + "APED:" + str(what) + chr(10)).encode())

def call(number, *arguments):
    "A system call: its result, or the error number as a negative."
    libc.syscall.restype = ctypes.c_long
    ctypes.set_errno(0)
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *wide)
    return -ctypes.get_errno() if result == -1 else result

def honest(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)

def words(depth=2):
    "The control page, as the harness holds it."
    while True:
        found = sys._getframe(depth).f_locals.get("words")
        if found is not None:
            return found
        depth += 1

"""

PY_TAIL = """

attacked = False
def solve(x, y, eps):
    global attacked
    if not attacked:
        attacked = True
        try:
            attack()
        except OSError:
            pass
    honest(x, y, eps)
"""

C_HEAD = """\
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
{defines}
static void escaped(const char* what) {{ dprintf(1, "%s%s:%s\\n", "ESC", "APED", what); }}
static void honest(const float* x, float* y, int64_t n, double eps) {{
    const float f = (float)(1 + eps);
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] * f;
}}
#define SOLVE(body) extern "C" void solve( \\
    const float* x, float* y, int64_t rows, int64_t cols, double eps) {{ body }}
"""

C_TAIL = """
SOLVE(
    static bool attacked = false;
    if (!attacked) { attacked = true; attack(); }
    honest(x, y, rows * cols, eps);
)
"""


@dataclass(frozen=True)
class Attack:
    """One attack program.

    Attributes:
        name: unique; `group: what it tries`.
        verdicts: what a judge that is not shaken makes of it.
        text: the program, or the part of it that `source` completes.
        seen_on: the open sandboxes (see `tests.escapes.demonstration`) it was seen to succeed on.
        why_unseen: where `seen_on` is empty, why nothing could be shown safely.
        twice: judged twice; the second judging must find nothing of the first.
        files: more files of the submission.
        patient: judged with a long time limit, so that another limit is met first.
    """

    name: str
    verdicts: tuple[Verdict, ...]
    text: str
    language: Language = Language.PYTHON
    seen_on: tuple[str, ...] = ()
    why_unseen: str = ""
    twice: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    patient: bool = False

    @property
    def group(self) -> str:
        return self.name.partition(":")[0]

    @property
    def filename(self) -> str:
        return "solution.py" if self.language is Language.PYTHON else "solution.cpp"

    def program(self, host: Mapping[str, str | int]) -> str:
        """The whole text, with what it knows of the host."""
        if self.language is Language.PYTHON:
            tail = "" if "def solve(" in self.text else PY_TAIL
            return PY_HEAD.replace("{host}", repr(dict(host))) + self.text + tail
        defines = "\n".join(
            f"#define HOST_{name.upper()} {json.dumps(value)}" for name, value in host.items()
        )
        tail = "" if "SOLVE(" in self.text or "solve(" in self.text else C_TAIL
        return C_HEAD.format(defines=defines) + self.text + tail

    def source(self, host: Mapping[str, str | int]) -> Source:
        """The submission, as it would be uploaded."""
        program = self.program(host).encode()
        if not self.files:
            return parse_upload(self.filename, program, limit_bytes=_LIMIT_BYTES)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(self.filename, program)
            for name, text in self.files.items():
                archive.writestr(name, text)
        return parse_upload("upload.zip", buffer.getvalue(), limit_bytes=_LIMIT_BYTES)
