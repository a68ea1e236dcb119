"""What a worker does about its sandbox before it takes jobs."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from judge import serve as serving
from judge.cli import app
from judge.errors import UserError
from judge.hygiene import Hygiene
from judge.selfcheck import allowed_names, self_check
from judge.settings import WorkerSettings
from sandbox import landlock
from sandbox.base import Sandbox, SandboxError
from sandbox.bubblewrap import Bubblewrap, Layers
from sandbox.dummy import Dummy
from sandbox.probes import Checked

KERNEL = [] if landlock.abi() else ["device_file"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in WorkerSettings.model_fields:
        monkeypatch.delenv(f"OPJUDGE_{field.upper()}", raising=False)


@pytest.mark.parametrize(
    ("text", "names"),
    [("", set()), (" seccomp ,ptrace,", {"seccomp", "ptrace"}), ("limits", {"limits"})],
)
def test_the_setting_is_a_list_of_names(text: str, names: set[str]) -> None:
    assert allowed_names(text) == names


def test_a_name_that_nobody_knows_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"called everything, secomp; layers: .*landlock") as caught:
        allowed_names("secomp,everything,user")
    assert caught.value.code == "bad-setting"


def test_a_sandbox_that_holds_says_so_on_its_record() -> None:
    with closing(self_check(Bubblewrap(), "")) as checked:
        facts = checked.describe()
    assert facts["backend"] == "bubblewrap"
    assert facts["level"].startswith("namespaces, seccomp, ")
    if facts["cgroup"] in ("v1", "v2") and not KERNEL:
        assert facts["lowered"] == "nothing"


def test_one_that_leaks_is_not_used() -> None:
    with pytest.raises(SandboxError, match=r"ptrace \(be traced .*--allow seccomp"):
        self_check(Bubblewrap(layers=Layers(seccomp=False)), "")


def test_unless_that_is_allowed_and_then_it_is_written_down() -> None:
    with closing(self_check(Bubblewrap(layers=Layers(seccomp=False)), "seccomp")) as checked:
        facts = checked.describe()
    assert {"ptrace", "unshare"} <= set(facts["lowered"].split())
    assert "no seccomp" in facts["level"]


def test_polled_limits_hold_and_are_written_down() -> None:
    with closing(self_check(Bubblewrap(layers=Layers(cgroup=False)), "")) as checked:
        pass
    assert checked.level.limits == "polled"
    assert list(checked.lowered) == KERNEL


class Taken:
    """Stands for the dispatcher: what would the worker have judged in?"""

    sandboxes: list[Sandbox]

    def __init__(self) -> None:
        self.sandboxes = []

    def make_evaluate(self, _settings: WorkerSettings, sandbox: Sandbox) -> None:
        self.sandboxes.append(sandbox)

    def __call__(self, *_arguments: Any) -> "Taken":
        return self

    def run(self) -> None:
        """Takes its jobs, and closes up."""
        for sandbox in self.sandboxes:
            sandbox.close()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    stub = Taken()
    monkeypatch.setattr(serving, "make_evaluate", stub.make_evaluate)
    monkeypatch.setattr(serving, "Dispatcher", stub)
    return stub


def worker(tmp_path: Path, *more: str, **environment: str) -> Result:
    argv = ["worker", "--token", "t", "--data-dir", str(tmp_path), *more]
    return CliRunner().invoke(app, argv, env=environment)


def test_the_worker_logs_the_level_in_one_line(taken: Taken, tmp_path: Path) -> None:
    result = worker(tmp_path)
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stderr.splitlines() if "sandbox checked" in line)
    assert "namespaces, seccomp, " in line
    assert isinstance(taken.sandboxes[0], Checked)


def leaky(*_arguments: object) -> Sandbox:
    return Bubblewrap(layers=Layers(seccomp=False))


def test_a_worker_whose_sandbox_leaks_takes_no_jobs(
    taken: Taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "make_sandbox", leaky)
    result = worker(tmp_path)
    assert result.exit_code == 4
    assert "ptrace (be traced by its parent: traced)" in result.stderr
    assert "CONFIG_SECCOMP_FILTER" in result.stderr
    assert "Traceback" not in result.output
    assert taken.sandboxes == []


@pytest.mark.parametrize("how", ["option", "environment"])
def test_it_takes_them_if_told_to(
    how: str, taken: Taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "make_sandbox", leaky)
    names = "seccomp"
    if how == "option":
        result = worker(tmp_path, "--allow", names)
    else:
        result = worker(tmp_path, OPJUDGE_ALLOW=names)
    assert result.exit_code == 0, result.output
    assert "ptrace" in taken.sandboxes[0].describe()["lowered"]
    assert "warning" in next(li for li in result.stderr.splitlines() if "sandbox checked" in li)


def test_a_worker_in_quarantine_ends_and_says_what_to_do(tmp_path: Path) -> None:
    Hygiene(tmp_path / "worker").quarantine(["process 7 (sleep)"])
    result = worker(tmp_path, OPJUDGE_SANDBOX="dummy")
    assert result.exit_code == 4
    assert "in quarantine" in result.stderr
    assert "process 7 (sleep). End or remove it (or reboot)" in result.stderr
    assert f"delete {tmp_path / 'worker' / 'quarantine'}" in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_name_is_said_before_anything_else(taken: Taken, tmp_path: Path) -> None:
    result = worker(tmp_path, "--allow", "sandbox")
    assert result.exit_code == 1
    assert "no layer or probe is called sandbox" in result.stderr
    assert taken.sandboxes == []


def test_the_dummy_is_not_checked_and_that_is_logged(taken: Taken, tmp_path: Path) -> None:
    result = worker(tmp_path, OPJUDGE_SANDBOX="dummy")
    assert result.exit_code == 0, result.output
    assert "isolates nothing" in result.stderr
    assert isinstance(taken.sandboxes[0], Dummy)
