"""Building submissions: what is accepted, what its author is told, what a hostile one can do."""

import ctypes
import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from judge import building
from judge.building import BUILD_LIMITS, Built, build, canonical_zip, tidy
from judge.errors import InfrastructureError
from judge.verdict import Language
from sandbox.base import Command, Resident, Sandbox
from sandbox.bubblewrap import Bubblewrap
from sandbox.dummy import Dummy
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status

CPP, PYTHON = Language.CPP, Language.PYTHON
GOOD = b'extern "C" void solve(const int *x, int *y) { *y = 2 * *x; }\n'


@pytest.fixture(scope="module", params=[Bubblewrap, Dummy])
def box(request: pytest.FixtureRequest) -> Sandbox:
    made: Sandbox = request.param()
    return made


@pytest.fixture(scope="module")
def real() -> Sandbox:
    return Bubblewrap()


class Scripted(Sandbox):
    """Answers every run with the same outcome."""

    name = "scripted"

    def __init__(self, status: Status = Status.OK, **fields: object) -> None:
        plain: dict[str, object] = {
            "exit_code": 0, "signal": None, "stdout": b"", "stderr": b"", "wall_s": 1.0,
            "cpu_s": 1.0, "peak_bytes": 1, "files": {},
        }  # fmt: skip
        self.outcome = Outcome(status=status, **(plain | fields))  # type: ignore[arg-type]
        self.commands: list[Command] = []

    def run(self, command: Command, limits: Limits) -> Outcome:
        self.commands.append(command)
        return self.outcome

    def start(self, command: Command, limits: Limits) -> Resident:
        raise NotImplementedError

    def describe(self) -> dict[str, str]:
        return {}


def check_works(artifact: bytes, tmp_path: Path) -> None:
    path = tmp_path / "solution.so"
    path.write_bytes(artifact)
    x, y = ctypes.c_int(21), ctypes.c_int(0)
    ctypes.CDLL(str(path)).solve(ctypes.byref(x), ctypes.byref(y))
    assert y.value == 42


def test_cpp_builds_and_works(box: Sandbox, tmp_path: Path) -> None:
    built = build(box, CPP, {"a.cpp": GOOD}, 2)
    assert (built.ok, built.log) == (True, "")
    assert built.wall_s > 0
    check_works(built.artifact, tmp_path)


def test_several_sources_with_headers_in_folders(real: Sandbox, tmp_path: Path) -> None:
    files = {
        "src/main.cc": b'#include "../inc/f.h"\nextern "C" void solve(int*x, int*y) { *y=f(*x); }',
        "-o evil.cpp": b'#include "inc/f.h"\nint f(int x) { return 2 * x; }',
        "inc/f.h": b"int f(int);",
        "notes.txt": b"ignored",
    }
    built = build(real, CPP, files, 2)
    assert built.ok, built.log
    check_works(built.artifact, tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"void solve(const int*, int*) {}", 'extern "C" void solve'),
        (b'extern "C" void other() {}', 'extern "C" void solve'),
        (b'extern "C" { int solve; }', 'extern "C" void solve'),
        (b'extern "C" void solve() { oops }', "a.cpp:1:"),
        (b'void f(); extern "C" void solve() { f(); }', "undefined reference"),
        (b'#include "nope.h"', "nope.h: No such file"),
        (b'#include "/etc/shadow"', "/etc/shadow"),
    ],
)
def test_cpp_that_does_not_build_says_why(real: Sandbox, source: bytes, words: str) -> None:
    built = build(real, CPP, {"a.cpp": source}, 2)
    assert (built.ok, built.artifact) == (False, b"")
    assert words in built.log
    assert "/work" not in built.log


def test_a_warning_is_shown_and_builds(real: Sandbox) -> None:
    built = build(real, CPP, {"a.cpp": b'extern "C" void solve() { int unused; }'}, 0)
    assert built.ok
    assert "unused" in built.log


def test_no_source_at_all(real: Sandbox) -> None:
    assert "no C++ source" in build(real, CPP, {"a.py": b""}, 1).log
    assert "no Python file" in build(real, PYTHON, {"a.cpp": b""}, 1).log
    assert "solution.py" in build(real, PYTHON, {"a.py": b"", "b.py": b""}, 1).log


QUICK = replace(BUILD_LIMITS, wall_s=5.0, memory_bytes=512 << 20)
TEMPLATE_BOMB = b"""
template <int A, int B> struct F { static const long v = F<A-1,B+1>::v + F<A-1,B-1>::v; };
template <int B> struct F<0,B> { static const long v = B; };
extern "C" long solve() { return F<800,0>::v; }
"""
MACRO_BOMB = b"#define A x x x x x x x x\n" + b"".join(
    b"#define %c %c %c %c %c %c %c %c %c\n" % ((c + 1, *(c,) * 8)) for c in range(65, 80)
)
ATTACKS = {
    "device": b'#include "/dev/zero"\n',
    "random": b'#include "/dev/urandom"\n',
    "templates": TEMPLATE_BOMB,
    "macros": MACRO_BOMB + b"int x = P;",
    "array": b"char big[1L << 40] = {1};",
    "incbin": b'asm(".incbin \\"/dev/zero\\"");',
    "constexpr": b"constexpr long f(long n){long s=0;for(long i=0;i<n;i++)s+=i;return s;}"
    b'constexpr long v=f(1L<<60); extern "C" long solve(){return v;}',
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_the_compiler_end_as_compile_errors(real: Sandbox, attack: str) -> None:
    built = build(real, CPP, {"a.cpp": ATTACKS[attack]}, 0, QUICK)
    assert not built.ok
    assert built.log
    assert len(built.log) <= building.LOG_LIMIT + 200
    assert built.wall_s < 20


def test_a_source_includes_itself(real: Sandbox) -> None:
    built = build(real, CPP, {"a.cpp": b'#include "a.cpp"\n'}, 0)
    assert not built.ok
    assert "#include nested depth" in built.log


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.WALL_LIMIT, "compilation exceeded 30 s"),
        (Status.CPU_LIMIT, "60 s of CPU"),
        (Status.MEMORY_LIMIT, "2048 MiB of memory"),
        (Status.OUTPUT_LIMIT, "printed more than 256 KiB"),
        (Status.FILE_LIMIT, "256 MiB of files"),
        (Status.VIOLATION, "64 processes"),
        (Status.SIGNALLED, "ended by signal 11"),
        (Status.NONZERO_EXIT, "compilation failed"),
    ],
)
def test_every_limit_is_named(status: Status, words: str) -> None:
    built = build(Scripted(status, exit_code=None, signal=11), CPP, {"a.cpp": b""}, 1)
    assert not built.ok
    assert words in built.log


def test_a_worker_without_a_compiler_is_our_fault() -> None:
    with pytest.raises(InfrastructureError, match=r"g\+\+"):
        build(Scripted(Status.NONZERO_EXIT, exit_code=127), CPP, {"a.cpp": b""}, 1)


@pytest.mark.parametrize(
    ("library", "words"),
    [(b"", "did not produce"), (b"#!/bin/sh", "did not produce"), (b"\x7fELF", "C linkage")],
)
def test_what_comes_out_is_looked_at(library: bytes, words: str) -> None:
    box = Scripted(files={".solution.so": library, ".solution.symbols": b"xsolve T 0\n"})
    assert words in build(box, CPP, {"a.cpp": b""}, 1).log


def test_a_huge_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "ARTIFACT_LIMIT_BYTES", 1 << 20)
    box = Scripted(
        files={".solution.so": b"\x7fELF" * (1 << 20), ".solution.symbols": b"solve T 0"}
    )
    assert "larger than 1 MiB" in build(box, CPP, {"a.cpp": b""}, 1).log


def test_planted_output_files_do_not_count(real: Sandbox) -> None:
    planted = {"a.cpp": b"int x;", ".solution.so": b"\x7fELF", ".solution.symbols": b"solve T 0 0"}
    built = build(real, CPP, planted, 1)
    assert not built.ok
    assert "C linkage" in built.log


def python(source: bytes, arity: int = 2, box: Sandbox | None = None) -> Built:
    return build(box or Dummy(), PYTHON, {"mine.py": source}, arity)


def test_python_is_packed_with_a_known_entry(box: Sandbox) -> None:
    built = build(box, PYTHON, {"mine.py": b"def solve(x, y): pass\n", "data.txt": b"1"}, 2)
    assert (built.ok, built.log) == (True, "")
    with zipfile.ZipFile(io.BytesIO(built.artifact)) as archive:
        assert archive.namelist() == ["data.txt", "solution.py"]
        assert archive.read("solution.py") == b"def solve(x, y): pass\n"


def test_of_several_files_solution_is_the_entry(real: Sandbox) -> None:
    files = {"solution.py": b"from helper import solve", "helper.py": b"def solve(x): ..."}
    assert build(real, PYTHON, files, 1).ok
    broken = files | {"helper.py": b"def solve(x:"}
    assert build(real, PYTHON, broken, 1).log.startswith("helper.py:1: syntax error")


@pytest.mark.parametrize(
    "source",
    [
        b"def solve(*args): ...",
        b"def solve(x, *rest): ...",
        b"def solve(x, y, z=None): ...",
        b"def solve(x, /, y, *, fast=True): ...",
        b"solve = lambda x, y: None",
        b"a, (b, solve) = 1, (2, print)",
        b"solve: object = print",
        b"from m import f as solve",
        b"from m import *",
        b"try:\n    from m import solve\nexcept ImportError:\n    def solve(x, y): ...",
        b"if True:\n    def solve(x, y): ...",
        b"@jit\ndef solve(one): ...",
        b"def solve(x): ...\ndef solve(x, y): ...",
        "# -*- coding: latin-1 -*-\n# \u00e9\ndef solve(x, y): ...".encode("latin-1"),
        b"\xef\xbb\xbfdef solve(x, y): ...",
    ],
)
def test_python_that_is_accepted(source: bytes) -> None:
    built = python(source)
    assert built.ok, built.log


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"x = 1", "mine.py:1: no function `solve`"),
        (b"", "no function `solve`"),
        (b"def f():\n    def solve(x, y): ...", "no function `solve`"),
        (b"class C:\n    def solve(x, y): ...", "no function `solve`"),
        (b"\ndef solve(x): ...", "mine.py:2: `solve` takes 1 arguments, this problem passes 2"),
        (b"def solve(x, y, z): ...", "takes 3 arguments"),
        (b"def solve(x, y, z, w=1): ...", "takes 3 to 4 arguments"),
        (b"def solve(x, y, *, mode): ...", "requires mode="),
        (b"async def solve(x, y): ...", "not async"),
        (b"class solve: ...", "not a class"),
        (b"def solve(x, y): ...\nx = (\n", "mine.py:2: syntax error"),
        (b"def solve(x, y):\nreturn", "mine.py:2: indentation error"),
        (b"def solve(x, y): ...\nx = 'a\0b'", "mine.py:2: the file contains a NUL byte"),
        (b"\xff\xfe", "mine.py:1:"),
        (b"# -*- coding: nonsense -*-", "nonsense"),
        (b"x = " + b"-" * 500_000 + b"1", "nested too deeply"),
        (b"x = " + b"(" * 500 + b")" * 500, "mine.py:1:"),
        (b"x" + b".a" * 200_000, "mine.py:1:"),
    ],
)
def test_python_that_is_refused(source: bytes, words: str) -> None:
    built = python(source)
    assert (built.ok, built.artifact) == (False, b"")
    assert words in built.log


def test_the_parser_is_never_run_in_this_process() -> None:
    """A crash of it is a message, because it happened elsewhere."""
    box = Scripted(Status.SIGNALLED, exit_code=139, signal=11)
    assert "parser crashed" in python(b"x", box=box).log
    (command,) = box.commands
    assert command.module == "sandbox.harness.source"
    assert list(command.files) == ["mine.py"]


def test_zips_are_canonical(monkeypatch: pytest.MonkeyPatch) -> None:
    first = canonical_zip({"b": b"2", "a": b"1"})
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    os.umask(os.umask(0o077))
    assert canonical_zip({"a": b"1", "b": b"2"}) == first
    assert canonical_zip({"a": b"1", "b": b"3"}) != first


@pytest.mark.parametrize(
    "name", ["../x.py", "/x.py", "a//x.py", "./x.py", "", "x\n.py", "x\0.py", "x\x1b.py",
             "y" * 250 + ".py", "d/" * 20 + "x.py", "\udcff.py"]
)  # fmt: skip
@pytest.mark.parametrize("language", [CPP, PYTHON])
def test_bad_file_names_are_the_authors_to_mend(language: Language, name: str) -> None:
    box = Scripted()
    built = build(box, language, {name: b"", "ok.py": b"", "ok.cpp": b""}, 1)
    assert not built.ok
    assert "file name" in built.log
    assert box.commands == []


def test_a_file_under_a_file_and_too_much_of_anything() -> None:
    box = Scripted()
    assert "also a file" in build(box, CPP, {"a": b"", "a/b.cpp": b""}, 1).log
    assert "more than" in build(box, CPP, {f"{n}.cpp": b"" for n in range(300)}, 1).log
    big = {"a.cpp": b"x" * (BUILD_LIMITS.file_bytes // 4 + 1)}
    assert "larger than 64 MiB" in build(box, CPP, big, 1).log
    assert box.commands == []


def test_the_log_is_safe_and_short() -> None:
    noisy = Scripted(
        stdout=b"\x1b[31mred\x1b[0m \x07bell \r\n\xff", stderr=b"\xe2\x80\xaeevil"
    ).outcome
    assert tidy(noisy) == "red bell \n\ufffdevil"
    long = tidy(Scripted(stdout=b"a" * 100_000 + b"z" * 100_000).outcome)
    assert len(long) < building.LOG_LIMIT + 100
    assert long.startswith("aaa")
    assert long.endswith("zzz")
    assert "134464 characters left out" in long
