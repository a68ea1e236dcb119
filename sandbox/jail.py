"""The inside of a bubblewrap sandbox: what is mounted, what the environment says."""

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sandbox.base import Command, SandboxError
from sandbox.limits import Limits

WORK = "/work"
PRIVATE = (WORK, "/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own
"""What leads into the work directory."""

HARNESS_ROOT = "/.opjudge"

_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")
_PASSWD = b"nobody:x:65534:65534:nobody:/work:/bin/false\n"
_GROUP = b"nogroup:x:65534:\n"

# torch picks its vector instructions through a library that reads this file, and falls back to
# plain SSE code without it. It is the one read-only file: there is no /proc with processes in it.
_CPU_FACTS = "/proc/cpuinfo"

# A fresh large temporary page-faults on every call and may triple an operator's time; keep the
# heap's pages. Candidate and baseline get the same.
_HEAP = {
    # mallopt(3) caps the threshold at 32 MiB, which this glibc ignores and others may not.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

_NAMESPACES = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)


def command_line(command: Command) -> list[str]:
    """What is executed inside."""
    if command.module is None:
        return [*command.argv]
    code = (
        f"import sys; sys.path.insert(0, {HARNESS_ROOT!r}); import runpy; "
        f"runpy.run_module({command.module!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-I", "-B", "-c", code, *command.argv]


def needs_python(command: Command) -> bool:
    """Whether this process's Python has to be there."""
    return command.interpreter or command.module is not None


def package_root() -> Path:
    """The host directory that holds the package ``sandbox``."""
    return Path(__file__).resolve().parent.parent


def environment(command: Command) -> dict[str, str]:
    """The whole environment inside."""
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": WORK,
        "USER": "nobody",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        **_HEAP,
    }
    if command.cores:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            variables[name] = str(len(command.cores))
    return variables | dict(command.environment)


def interpreter_paths() -> list[Path]:
    """Directories this Python needs outside /usr, outermost only. Raises SandboxError for ``/``."""
    executable = Path(sys.executable)
    wanted = {Path(sys.prefix), Path(sys.base_prefix), executable.resolve().parent.parent}
    wanted |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    if Path("/") in wanted:
        raise SandboxError(
            "this Python's prefix is /, so mounting it would show the whole machine: "
            "install the worker in a virtual environment"
        )
    return [
        path
        for path in sorted(wanted)
        if not path.is_relative_to("/usr") and not any(p in wanted for p in path.parents)
    ]


def namespaces(network: bool) -> list[str]:
    """Options for the namespaces; a network of the host's only in tests of the tests."""
    return [*_NAMESPACES, *([] if network else ["--unshare-net"])]


def _directories(path: Path) -> list[str]:
    """Options that make a path's parents: those bwrap makes itself may be private to root."""
    return [
        word
        for parent in reversed(path.parents[:-1])
        for word in ("--perms", "0755", "--dir", str(parent))
    ]


def _show(kind: str, path: Path, inside: Path | None = None) -> list[str]:
    inside = inside or path
    return [*_directories(inside), kind, str(path), str(inside)]


def system_mounts() -> list[str]:
    """Options for the read-only system: an allow-list, nothing else of the host is there."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _TOP:
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        options += _show("--ro-bind-try", Path("/etc", name))
    options += _show("--ro-bind-try", Path(_CPU_FACTS))
    for name in DEVICES:
        options += _show("--dev-bind", Path("/dev", name))
    return options


def interpreter_mounts(hide: Iterable[Path]) -> list[str]:
    """Options for Python, its packages and the harness, less what is to be hidden."""
    options: list[str] = []
    paths = interpreter_paths()
    for path in paths:
        if path.stat().st_mode & 0o005 != 0o005 and os.geteuid() == 0:
            raise SandboxError(
                f"{path} is not readable by everyone, and programs inside do not run as root: "
                f"chmod o+rx {path}, or install the worker elsewhere"
            )
        options += _show("--ro-bind", path)
    for path in hide:
        if path.is_dir() and any(path.is_relative_to(p) for p in (*paths, Path("/usr"))):
            options += ["--tmpfs", str(path), "--remount-ro", str(path)]
    source = Path(__file__).resolve().parent
    for name in ("__init__.py", "harness"):
        options += _show("--ro-bind", source / name, Path(HARNESS_ROOT, "sandbox", name))
    return options


def private_mounts(limits: Limits) -> list[str]:
    """Options for the one writable place.

    /tmp and /dev/shm are links into /work, so that a single quota covers everything written.
    """
    options = ["--perms", "0777", "--size", str(limits.file_bytes), "--tmpfs", WORK]
    # Relative, so that they lead into the new root while bwrap still builds it: this Python may
    # itself lie under /tmp.
    for link, up, name in (("/tmp", "", ".tmp"), ("/dev/shm", "../", ".shm")):  # noqa: S108
        options += ["--perms", "1777", "--dir", f"{WORK}/{name}"]
        options += ["--symlink", f"{up}{WORK[1:]}/{name}", link]
    return options


def program(fd: int, path: str) -> list[str]:
    """Options that put the program in descriptor `fd` at `path`, for everyone to run."""
    return [*_directories(Path(path)), "--perms", "0555", "--ro-bind-data", str(fd), path]


def account_files() -> dict[str, bytes]:
    """Read-only files that libraries look up the current user in."""
    return {"/etc/passwd": _PASSWD, "/etc/group": _GROUP}


def tail(variables: Mapping[str, str], argv: Sequence[str]) -> list[str]:
    """The last options: read-only root, environment, identity, the program."""
    options = ["--remount-ro", "/", "--chdir", WORK, "--clearenv"]
    for name, value in variables.items():
        options += ["--setenv", name, value]
    options += ["--hostname", "sandbox", "--new-session", "--die-with-parent"]
    return [*options, "--", *argv]
