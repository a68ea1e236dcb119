"""The self-check: what holds is seen to hold, and what does not is seen to leak."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import cgroup, landlock
from sandbox.base import Command, Resident, Sandbox, SandboxError
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.dummy import Dummy
from sandbox.harness import seccomp
from sandbox.limits import Limits
from sandbox.outcome import Outcome, Status
from sandbox.probes import LAYERS, PROBES, Checked, Layer, Report, attacks, check, unknown_names
from sandbox.probes.bait import SIGNAL, Bait
from sandbox.probes.report import Finding
from tests.sandbox.conftest import LIMITS

HERE = cgroup.create(LIMITS)
if HERE is not None:
    HERE.close()


def escaped(sandbox: Sandbox) -> set[str]:
    return {finding.name for finding in check(sandbox).findings if not finding.contained}


@pytest.fixture(scope="module")
def whole() -> Report:
    return check(Bubblewrap())


def test_every_attack_is_a_probe_and_every_probe_an_attack() -> None:
    alone = {probe.name for probe in PROBES if probe.alone}
    assert {attack.__name__ for attack in attacks.ALONE} == alone
    together = {probe.name for probe in PROBES} - alone
    assert {attack.__name__ for attack in attacks.TOGETHER} == together
    assert {probe.layer for probe in PROBES} == set(LAYERS) == set(Layer)


def test_every_probe_is_contained(whole: Report) -> None:
    assert [f.name for f in whole.findings] == [probe.name for probe in PROBES]
    assert whole.breaches() == []


def test_the_level_is_what_was_seen(whole: Report) -> None:
    level = whole.level
    assert (level.namespaces, level.seccomp, level.user) == (True, True, True)
    assert level.landlock == (landlock.abi() > 0)
    assert level.limits == ("control group" if HERE is not None else "polled")
    assert str(level).startswith("namespaces, seccomp, ")


def test_without_namespaces_the_network_is_reached() -> None:
    open_net = Layers(network=True, seccomp=False, landlock=False)
    report = check(Bubblewrap(layers=open_net))
    through = {f.name for f in report.breaches()}
    assert {"connect", "abstract_socket"} <= through
    assert not report.level.namespaces


def test_without_the_filter_the_calls_get_through() -> None:
    report = check(Bubblewrap(layers=Layers(seccomp=False)))
    assert {"unshare", "ptrace"} <= {f.name for f in report.breaches()}
    assert {f.probe.layer for f in report.breaches()} == {Layer.SECCOMP}
    assert not report.level.seccomp


if landlock.abi():

    def test_without_landlock_device_files_can_be_made() -> None:
        report = check(Bubblewrap(layers=Layers(landlock=False)))
        assert [f.name for f in report.breaches()] == ["device_file"]
        assert "no landlock" in str(report.level)


if os.geteuid() == 0:

    def test_root_that_is_not_dropped_is_seen() -> None:
        report = check(Bubblewrap(layers=Layers(drop_root=False)))
        assert "chmod_device" in {f.name for f in report.breaches()}
        assert not report.level.user


def test_without_control_groups_the_limits_are_polled_and_that_is_said() -> None:
    report = check(Bubblewrap(layers=Layers(cgroup=False)))
    assert report.breaches() == []
    assert "shared_memory" not in report.lowered()
    assert report.level.limits == "polled"


@pytest.fixture(scope="module")
def bare() -> Report:
    return check(Dummy())


def test_without_any_isolation_the_attacks_work(bare: Report) -> None:
    through = {f.name for f in bare.findings if not f.contained}
    assert through >= {
        *("connect", "abstract_socket", "host_file", "write_outside", "host_process"),
        *("host_signal", "devices", "ptrace", "disk_quota", "memory", "shared_memory"),
        *("processes", "device_file"),
    }
    if os.geteuid() == 0:
        assert through >= {"chmod_device", "privileges", "mount", "unshare"}
    assert (bare.level.limits, bare.level.namespaces) == ("none", False)


def test_attacks_do_no_harm_where_they_succeed() -> None:
    """No mount of theirs is left, nothing in the top folders, and /dev/null has its mode."""

    def machine() -> tuple[str, ...]:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        folders = ("/", "/etc", "/usr", "/opt", "/dev", tempfile.gettempdir())
        left = [name for folder in folders for name in os.listdir(folder)] + mounts
        mode = oct(os.stat("/dev/null").st_mode)
        return (mode, *(name for name in left if "probe" in name or "opjudge-bait" in name))

    before = machine()
    check(Dummy())
    assert machine() == before


def test_forking_after_the_harness_gave_it_up_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = {"harness": "/nonexistent"}
    monkeypatch.setattr("sys.path", [])

    def refuse() -> None:
        raise OSError("no filters here")

    monkeypatch.setattr(seccomp, "install_no_processes", refuse)
    assert attacks.fork_later(facts) == "no filter: no filters here"
    monkeypatch.setattr(seccomp, "install_no_processes", lambda: None)
    assert attacks.fork_later(facts) == "forked"


def got(_facts: attacks.Facts) -> str:
    return "everything"


def refused(_facts: attacks.Facts) -> str:
    raise PermissionError(1, "not you")


def broken(_facts: attacks.Facts) -> str:
    os._exit(1)


def filtered(_facts: attacks.Facts) -> str:
    signal.raise_signal(signal.SIGSYS)
    return "unreachable"


def crashed(_facts: attacks.Facts) -> str:
    signal.raise_signal(signal.SIGKILL)
    return "unreachable"


@pytest.mark.parametrize(
    ("attack", "answer"),
    [
        (got, (True, "everything")),
        (refused, (False, "not you")),
        (broken, (True, "no answer")),
        (filtered, (False, "SIGSYS")),
        (crashed, (True, "SIGKILL")),
    ],
)
def test_only_a_refusal_counts_as_one(attack: object, answer: tuple[bool, str]) -> None:
    assert attacks.attempt(attack, {}) == answer  # type: ignore[arg-type]


class Silent(Sandbox):
    """Programs print nonsense, or nothing, and end well."""

    name = "silent"

    def __init__(self, stdout: bytes = b"") -> None:
        self.stdout = stdout

    def run(self, command: Command, limits: Limits) -> Outcome:
        return Outcome(Status.OK, 0, None, self.stdout, b"why\n", 0.0, 0.0, 0, {})

    def start(self, command: Command, limits: Limits) -> Resident:
        raise SandboxError("not here")

    def describe(self) -> dict[str, str]:
        return {"backend": self.name}


@pytest.mark.parametrize("stdout", [b"", b"\xff\n[1]\n{}\nnull\n", b'["connect"'])
def test_a_probe_without_an_answer_is_not_contained(stdout: bytes) -> None:
    report = check(Silent(stdout))
    findings = {f.name: f for f in report.findings}
    assert not findings["connect"].contained
    assert findings["connect"].seen == "no answer; the attacks ended with ok: why"
    assert report.polled is False


def test_a_sandbox_that_does_not_start_is_its_own_error() -> None:
    with pytest.raises(SandboxError, match="could not be built"):
        check(Bubblewrap(bwrap="/bin/false"))


def report_of(*names: str, polled: bool = False, landlocked: bool = True) -> Report:
    """A report in which exactly these probes got through."""
    findings = tuple(Finding(p, p.name not in names, "seen") for p in PROBES)
    return Report(findings, polled, landlocked)


def test_a_breach_is_explained_with_its_remedy() -> None:
    text = report_of("ptrace", "device_file").explain()
    assert f"2 of {len(PROBES)} probes got through: ptrace (be traced by its parent: seen)" in text
    assert LAYERS[Layer.SECCOMP] in text
    assert LAYERS[Layer.LANDLOCK] in text
    assert LAYERS[Layer.USER] not in text
    assert text.endswith("--allow seccomp,landlock or OPJUDGE_ALLOW=seccomp,landlock")
    assert report_of().explain() == ""


@pytest.mark.parametrize("allowed", [["seccomp"], ["ptrace"], ["ptrace", "connect"]])
def test_what_is_allowed_is_no_breach_but_is_recorded(allowed: list[str]) -> None:
    report = report_of("ptrace")
    assert (report.breaches(allowed), report.lowered(allowed)) == ([], ["ptrace"])
    assert [f.name for f in report.breaches(["landlock", "connect"])] == ["ptrace"]
    assert not report.level.seccomp


def test_a_kernel_without_landlock_is_put_up_with_and_recorded() -> None:
    report = report_of("device_file", landlocked=False)
    assert (report.breaches(), report.lowered()) == ([], ["device_file"])
    assert not report.level.landlock
    assert not report_of(landlocked=False).level.landlock
    assert [f.name for f in report_of("device_file").breaches()] == ["device_file"]
    assert [f.name for f in report_of("ptrace", landlocked=False).breaches()] == ["ptrace"]


@pytest.mark.parametrize("polled", [True, False])
def test_polling_excuses_nothing(polled: bool) -> None:
    for name in ("memory", "shared_memory"):
        assert [f.name for f in report_of(name, polled=polled).breaches()] == [name]
        assert report_of(name, polled=polled).level.limits == "none"


def test_names_that_nobody_knows() -> None:
    assert unknown_names(["seccomp", "ptrace", "polled", "Landlock"]) == ["Landlock", "polled"]


def test_what_was_found_is_in_the_record() -> None:
    checked = Checked(Silent(b"out"), report_of("ptrace").level, ["ptrace", "keyctl"])
    facts = checked.describe()
    assert (facts["backend"], facts["lowered"]) == ("silent", "ptrace keyctl")
    assert "no seccomp" in facts["level"]
    assert Checked(Silent(), report_of().level, []).describe()["lowered"] == "nothing"
    assert checked.name == "silent"
    assert checked.run(Command(["x"]), LIMITS).stdout == b"out"
    with pytest.raises(SandboxError, match="not here"):
        checked.start(Command(["x"]), LIMITS)


@pytest.fixture
def bait() -> Iterator[Bait]:
    with Bait() as laid_out:
        yield laid_out


def test_the_bait_can_be_taken(bait: Bait) -> None:
    assert (bait.folder / "secret").read_text() == bait.token
    assert bait.token in Path(f"/proc/{bait.pid}/cmdline").read_text()
    assert not bait.was_signalled()
    os.kill(bait.pid, SIGNAL)
    assert bait.was_signalled()


def test_this_process_does_not_block_the_signal(bait: Bait) -> None:
    assert SIGNAL not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_nothing_of_the_bait_is_left() -> None:
    before = os.listdir("/proc/self/fd")
    with Bait() as bait:
        folder, pid = bait.folder, bait.pid
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert os.listdir("/proc/self/fd") == before


def test_bait_that_cannot_be_laid_out_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(SandboxError, match="bait"), Bait():
        pass
    monkeypatch.undo()

    def fail(*_arguments: object, **_options: object) -> None:
        raise subprocess.SubprocessError("no child")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(SandboxError, match="no child"), Bait():
        pass
    assert os.listdir("/proc/self/fd") == before


def test_the_check_leaves_no_descriptor_and_no_process() -> None:
    def mine() -> tuple[list[str], set[str]]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return os.listdir("/proc/self/fd"), set(children)

    check(Bubblewrap())
    before = mine()
    check(Bubblewrap())
    assert mine() == before
