"""From uploaded files to one artifact, in a sandbox that has no network, no device and no tests."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

from judge.cores import environment
from judge.errors import InfrastructureError
from judge.text import plain
from judge.verdict import Language
from sandbox.base import Command, Sandbox
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status

CPP_FLAGS = (
    *("-std=c++20", "-O3", "-march=native", "-shared", "-fPIC", "-fopenmp", "-pthread", "-Wall"),
    "-Wl,--no-undefined",
)
"""How every C++ submission is compiled. The problem page shows these."""

BUILD_LIMITS = Limits(
    wall_s=30.0,
    cpu_s=60.0,
    memory_bytes=2 << 30,
    processes=64,
    file_bytes=256 << 20,
    output_bytes=256 << 10,
)
ARTIFACT_LIMIT_BYTES = 32 << 20
LOG_LIMIT = 64 << 10
FILES_LIMIT = 200

PYTHON_ENTRY = "solution.py"
"""The file in a Python artifact that defines ``solve``."""

_CPP_SUFFIXES = (".cpp", ".cc", ".cxx")
_LIBRARY = ".solution.so"
_SYMBOLS = ".solution.symbols"
_COMPILE = f"""
command -v g++ >/dev/null && command -v nm >/dev/null || exit 127
rm -f {_LIBRARY} {_SYMBOLS}
g++ "$@" -fdiagnostics-color=never -o {_LIBRARY} &&
nm -D --defined-only -f posix {_LIBRARY} >{_SYMBOLS}
"""
_NO_SOLVE = 'no function `solve` with C linkage; write extern "C" void solve(...)'


@dataclass(frozen=True, slots=True)
class Built:
    """What became of a build.

    Attributes:
        ok: whether there is an artifact.
        artifact: a shared library (C++), or a zip of the sources with `PYTHON_ENTRY` (Python).
        log: what the author is shown; clean text, cut at `LOG_LIMIT` characters.
        wall_s: seconds it took inside.
    """

    ok: bool
    artifact: bytes
    log: str
    wall_s: float


def build(
    sandbox: Sandbox,
    language: Language,
    files: Mapping[str, bytes],
    arity: int,
    limits: Limits = BUILD_LIMITS,
) -> Built:
    """Compile (C++) or inspect (Python) a submission.

    Args:
        sandbox: where to do it.
        files: relative file name -> content.
        arity: how many arguments ``solve`` is called with.

    A submission that does not build gives ``ok=False`` and a log for its author. Raises
    InfrastructureError if the worker has no compiler, SandboxError if the sandbox cannot run.
    """
    message = _file_problem(files, limits)
    if message:
        return _failed(message)
    if language is Language.CPP:
        return _build_cpp(sandbox, files, limits)
    return _build_python(sandbox, files, arity, limits)


def _build_cpp(sandbox: Sandbox, files: Mapping[str, bytes], limits: Limits) -> Built:
    sources = sorted(name for name in files if name.endswith(_CPP_SUFFIXES))
    if not sources:
        return _failed(f"no C++ source file ({', '.join(_CPP_SUFFIXES)}) in the submission")
    # The ./ keeps a file name that starts with a dash from being taken for an option.
    argv = ["/bin/sh", "-c", _COMPILE, "sh", *CPP_FLAGS, *(f"./{name}" for name in sources)]
    command = Command(argv=argv, files=files, collect=(_LIBRARY, _SYMBOLS))
    outcome = sandbox.run(command, limits)
    if outcome.exit_code == 127:
        raise InfrastructureError("the worker has no g++ and nm: install the package g++")
    log = tidy(outcome)
    if outcome.status is not Status.OK:
        return _failed(_explain(outcome, limits, "compilation", log), outcome.wall_s)
    library = outcome.files.get(_LIBRARY, b"")
    message = _library_problem(library, outcome.files.get(_SYMBOLS, b""))
    if message:
        return _failed(f"{log}\n{message}".strip(), outcome.wall_s)
    return Built(True, library, log, outcome.wall_s)


def _library_problem(library: bytes, symbols: bytes) -> str | None:
    if len(library) > ARTIFACT_LIMIT_BYTES:
        return f"the compiled library is larger than {ARTIFACT_LIMIT_BYTES >> 20} MiB"
    if not library.startswith(b"\x7fELF"):
        return "the compiler did not produce a shared library"
    functions = (line.split()[:2] for line in symbols.splitlines())
    if any(words in ([b"solve", b"T"], [b"solve", b"W"], [b"solve", b"i"]) for words in functions):
        return None
    return _NO_SOLVE


def _build_python(
    sandbox: Sandbox, files: Mapping[str, bytes], arity: int, limits: Limits
) -> Built:
    sources = sorted(name for name in files if name.endswith(".py"))
    entry = sources[0] if len(sources) == 1 else PYTHON_ENTRY
    if entry not in sources:
        what = "no Python file in the submission" if not sources else "several Python files"
        return _failed(f"{what}: put `solve` in {PYTHON_ENTRY}")
    command = Command(
        argv=(entry, str(arity), *sources),
        files={name: files[name] for name in sources},
        environment=environment(),
        module="sandbox.harness.source",
    )
    outcome = sandbox.run(command, limits)
    log = tidy(outcome)
    if outcome.status is Status.SIGNALLED:
        return _failed(f"Python's parser crashed on this source\n{log}".strip(), outcome.wall_s)
    if outcome.status is not Status.OK:
        return _failed(_explain(outcome, limits, "the syntax check", log), outcome.wall_s)
    renamed = {PYTHON_ENTRY if name == entry else name: data for name, data in files.items()}
    return Built(True, canonical_zip(renamed), log, outcome.wall_s)


def canonical_zip(files: Mapping[str, bytes]) -> bytes:
    """The same files give the same bytes, whatever their order, dates and owner were."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def tidy(outcome: Outcome) -> str:
    """What a build printed, as text that is safe and short enough to show."""
    text = plain(outcome.stdout + outcome.stderr)
    text = text.replace("/work/", "").replace("./", "").strip()
    if len(text) > LOG_LIMIT:
        half = LOG_LIMIT // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return text


def _explain(outcome: Outcome, limits: Limits, what: str, log: str) -> str:
    reasons = {
        Status.WALL_LIMIT: f"{what} exceeded {limits.wall_s:g} s",
        Status.CPU_LIMIT: f"{what} exceeded {limits.cpu_s:g} s of CPU time",
        Status.MEMORY_LIMIT: f"{what} exceeded {limits.memory_bytes >> 20} MiB of memory",
        Status.OUTPUT_LIMIT: f"{what} printed more than {limits.output_bytes >> 10} KiB",
        Status.FILE_LIMIT: f"{what} wrote more than {limits.file_bytes >> 20} MiB of files, "
        f"or more than {limits.files} files",
        Status.VIOLATION: f"{what} started more than {limits.processes} processes",
        Status.SIGNALLED: f"{what} was ended by signal {outcome.signal}",
    }
    reason = reasons.get(outcome.status, "")
    return f"{reason}\n{log}".strip() or f"{what} failed"


def _file_problem(files: Mapping[str, bytes], limits: Limits) -> str | None:
    """What keeps these files from being laid out in a directory, if anything."""
    if len(files) > FILES_LIMIT:
        return f"more than {FILES_LIMIT} files"
    if sum(map(len, files.values())) > limits.file_bytes // 4:
        return f"the files are larger than {limits.file_bytes >> 22} MiB together"
    for name in files:
        parts = name.split("/")
        if any(p in ("", ".", "..") or len(p.encode("utf-8", "replace")) > 200 for p in parts):
            return f"{name!r:.100} is not a relative file name"
        if len(parts) > 16 or not name.isprintable():
            return f"{name!r:.100} is not a usable file name"
        if any("/".join(parts[:i]) in files for i in range(1, len(parts))):
            return f"{name!r:.100} lies in a folder that is also a file"
    return None


def _failed(log: str, wall_s: float = 0.0) -> Built:
    return Built(False, b"", log, wall_s)
