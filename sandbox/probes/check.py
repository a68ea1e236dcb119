"""Runs the probes: most of them together in one sandbox, those that are to be killed alone."""

import json
from collections.abc import Mapping
from pathlib import Path

from sandbox import jail, landlock
from sandbox.base import Command, Sandbox
from sandbox.harness import seccomp
from sandbox.limits import Limits
from sandbox.outcome import Outcome
from sandbox.probes.bait import SIGNAL, Bait
from sandbox.probes.catalog import PROBES, Probe
from sandbox.probes.report import Finding, Report

_SCRIPT = "attacks.py"
_MIB = 1 << 20
_TOGETHER = Limits(
    wall_s=20.0, cpu_s=20.0, memory_bytes=256 * _MIB, processes=32, file_bytes=8 * _MIB,
    output_bytes=64 << 10,
)  # fmt: skip
_ALONE = Limits(
    wall_s=20.0, cpu_s=20.0, memory_bytes=64 * _MIB, processes=16, file_bytes=8 * _MIB,
    output_bytes=64 << 10,
)  # fmt: skip
_TIMES_OVER = 4
_CALLS = ("bpf", "keyctl", "mount", "ptrace", "umount2", "unshare")


def check(sandbox: Sandbox, environment: Mapping[str, str] | None = None) -> Report:
    """Attack a sandbox and see what happens. Takes about a second.

    Args:
        environment: of the attacking programs; the one it has warm starts for tells on those.

    Raises SandboxError if it cannot start a program at all.
    """
    environment = environment or {}
    with Bait() as bait:
        together = _together(sandbox, environment, bait)
    findings = [
        _alone(sandbox, environment, probe) if probe.alone else _finding(probe, together)
        for probe in PROBES
    ]
    polled = "polled" in sandbox.describe().get("cgroup", "")
    return Report(tuple(findings), polled, landlocked=landlock.abi() > 0)


def _command(which: str, environment: Mapping[str, str], facts: dict[str, object]) -> Command:
    return Command(
        argv=(_SCRIPT, which, json.dumps(facts)),
        files={_SCRIPT: Path(__file__).with_name(_SCRIPT).read_bytes()},
        environment=environment,
        module="sandbox.harness.script",
    )


def _together(
    sandbox: Sandbox, environment: Mapping[str, str], bait: Bait
) -> dict[str, tuple[bool, str]]:
    """Whether each attack got what it was after, and what it saw."""
    numbers = seccomp.architecture().numbers
    facts = {
        "token": bait.token,
        "folder": str(bait.folder),
        "port": bait.port,
        "abstract": bait.abstract,
        "pid": bait.pid,
        "signal": int(SIGNAL),
        "harness": jail.HARNESS_ROOT,
        "quota": _TOGETHER.file_bytes,
        "calls": {name: numbers[name] for name in _CALLS} | {"io_uring_setup": 425},
    }
    outcome = sandbox.run(_command("together", environment, facts), _TOGETHER)
    answers = {name: (got, seen) for name, got, seen in _lines(outcome)}
    if bait.was_signalled():
        answers["host_signal"] = (True, f"process {bait.pid} got it")
    ended = (True, f"no answer; the attacks ended with {outcome.status}: {_last_words(outcome)}")
    return {probe.name: answers.get(probe.name, ended) for probe in PROBES}


def _lines(outcome: Outcome) -> list[tuple[str, bool, str]]:
    found = []
    for line in outcome.stdout.decode(errors="replace").splitlines():
        try:
            name, got, seen = json.loads(line)
        except (ValueError, TypeError):
            continue
        found.append((str(name), bool(got), str(seen)))
    return found


def _last_words(outcome: Outcome) -> str:
    lines = outcome.stderr.decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line), "no message")


def _finding(probe: Probe, answers: dict[str, tuple[bool, str]]) -> Finding:
    got, seen = answers[probe.name]
    return Finding(probe, not got, seen)


def _alone(sandbox: Sandbox, environment: Mapping[str, str], probe: Probe) -> Finding:
    """Contained if it was stopped on the way: killed, or refused what it asked for."""
    facts: dict[str, object] = {
        "bytes": _TIMES_OVER * _ALONE.memory_bytes,
        "count": _TIMES_OVER * _ALONE.processes,
    }
    outcome = sandbox.run(_command(probe.name, environment, facts), _ALONE)
    got = outcome.stdout.startswith(b"got")
    seen = outcome.stdout.decode(errors="replace").strip() if got else str(outcome.status)
    return Finding(probe, not got, seen)
