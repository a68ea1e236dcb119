"""Judging at one's desk: `opjudge test` and `opjudge problem verify`, with a stand-in judge."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from judge.cli.output import needs
from judge.errors import InfrastructureError, UserError
from judge.package import Package, load_package, pack_public
from judge.source import Source
from judge.verdict import Mode, Status, Verdict
from judge.wire import JudgementResult, Progress
from sandbox.base import Sandbox, SandboxError
from tests.fixtures import write_package
from tests.judge.command_line import SOURCE, Shell, make_shell
from tests.judge.samples import PROBLEM, WRONG_RUN, make_result
from tests.judge.stub import Reply, refuse, say


class StandIn:
    """Takes the place of `judge.judging.judge`."""

    def __init__(self) -> None:
        self.outcome: JudgementResult | Exception = make_result()
        self.calls: list[tuple[Package, Source, Mode]] = []

    def __call__(
        self,
        package: Package,
        source: Source,
        mode: Mode,
        _sandbox: Sandbox,
        *,
        report: Callable[[Progress], None] = lambda _p: None,
        options: object = None,
    ) -> JudgementResult:
        self.calls.append((package, source, mode))
        report(Progress(status=Status.CHECKING, workload="tiny", done=1, total=2))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with make_shell(tmp_path, monkeypatch) as made:
        monkeypatch.delenv("OPJUDGE_URL")
        yield made


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr("judge.judging.judge", stand_in)
    monkeypatch.setattr("judge.verify.judge", stand_in)
    return stand_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_package(tmp_path / "mine" / "row_scale")


def test_a_file_is_judged_here_against_a_folder(shell: Shell, judge: StandIn, folder: Path) -> None:
    result = shell("test", shell.source(), "--problem", str(folder))
    assert result.exit_code == 0
    assert "checking tiny 1/2" in result.stdout
    assert "AC accepted  row_scale, test, judged here" in result.stdout
    ((package, source, mode),) = judge.calls
    assert (package.slug, source.entry, mode) == ("row_scale", "s.py", Mode.TEST)
    assert shell.api.seen == []


def test_the_mode_can_be_chosen(shell: Shell, judge: StandIn, folder: Path) -> None:
    shell("test", shell.source(), "-p", str(folder), "-m", "ranked")
    assert judge.calls[0][2] is Mode.RANKED


def test_with_json_there_is_the_result_alone(shell: Shell, judge: StandIn, folder: Path) -> None:
    judge.outcome = make_result(Verdict.WA, runs=(WRONG_RUN,))
    document = shell.json("test", shell.source(), "-p", str(folder), code=3)
    assert document == json.loads(judge.outcome.model_dump_json())


def test_the_error_picture_can_be_saved(
    shell: Shell, judge: StandIn, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.png"
    arguments = ("test", shell.source(), "-p", str(folder), "--picture", str(file))
    result = shell(*arguments)
    assert "no picture" in result.stderr
    assert not file.exists()
    assert WRONG_RUN.error is not None
    error = WRONG_RUN.error.model_copy(update={"picture": b"a png", "tile": (2, 3)})
    run = WRONG_RUN.model_copy(update={"error": error})
    judge.outcome = make_result(Verdict.WA, runs=(run,))
    result = shell(*arguments)
    assert result.exit_code == 3
    assert "a picture shows where: --picture" in result.stdout
    assert "a tile is 2 x 3 elements" in result.stderr
    assert file.read_bytes() == b"a png"
    lost = shell(*arguments[:-1], str(tmp_path / "no" / "where.png"))
    assert "cannot write" in lost.stderr


@pytest.mark.parametrize(
    "error", [InfrastructureError("the clock stood still"), SandboxError("no namespaces")]
)
def test_our_own_failure_is_not_the_contestants(
    shell: Shell, judge: StandIn, folder: Path, error: Exception
) -> None:
    judge.outcome = error
    result = shell("test", shell.source(), "-p", str(folder))
    assert result.exit_code == 4
    assert result.stderr == f"opjudge: {error}\n"


def test_without_a_server_the_bundled_problem_is_used(shell: Shell, judge: StandIn) -> None:
    assert shell("test", shell.source(), "-p", "row_softmax").exit_code == 0
    assert judge.calls[0][0].slug == "row_softmax"


@pytest.mark.usefixtures("judge")
def test_a_problem_nobody_has_is_named(shell: Shell) -> None:
    document = shell.json("test", shell.source(), code=1)
    assert document["code"] == "unknown-problem"
    assert "row_scale" in document["detail"]


def test_the_servers_problem_comes_first_and_is_kept(
    shell: Shell, judge: StandIn, folder: Path
) -> None:
    public = pack_public(load_package(folder))
    shell.api.on("GET /problems/row_scale", say(PROBLEM))
    shell.api.on("GET /problems/row_scale/package", Reply(200, public, "application/zip"))
    for _ in range(2):
        assert shell("test", shell.source(), "--url", shell.url).exit_code == 0
    assert len(shell.api.requests("GET /problems/row_scale/package")) == 1
    assert not any(w.hidden for w in judge.calls[1][0].problem.workloads)


def test_a_server_that_is_away_does_not_stop_it(shell: Shell, judge: StandIn) -> None:
    argv = ["test", shell.source(), "-p", "row_softmax", "--url", "http://127.0.0.1:9"]
    assert shell(*argv).exit_code == 0
    assert judge.calls[0][0].slug == "row_softmax"


@pytest.mark.usefixtures("judge")
def test_a_server_that_does_not_know_the_problem_decides(shell: Shell) -> None:
    shell.api.on("GET /problems/row_softmax", refuse(404, "unknown-problem", "no such problem"))
    argv = ["test", shell.source(), "-p", "row_softmax", "--url", shell.url]
    assert shell.json(*argv, code=1)["code"] == "unknown-problem"


def test_a_broken_package_is_explained(shell: Shell, folder: Path) -> None:
    (folder / "reference.py").unlink()
    document = shell.json("test", shell.source(), "-p", str(folder), code=1)
    assert document["code"] == "invalid-problem"


@pytest.mark.parametrize("module", ["torch", "numpy"])
def test_what_is_not_installed_is_named_with_the_remedy(module: str) -> None:
    with pytest.raises(UserError, match=rf"{module}.*opjudge\[worker\]"), needs("worker"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def test_a_module_of_our_own_that_is_missing_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError), needs("worker"):
        raise ModuleNotFoundError("No module named 'judge.nonsense'", name="judge.nonsense")


# --- verify -------------------------------------------------------------------------------


def test_a_package_whose_verdicts_are_right_is_verified(
    shell: Shell, judge: StandIn, folder: Path
) -> None:
    result = shell("problem", "verify", str(folder))
    assert result.exit_code == 0
    assert "accepted/torch_mul.py" in result.stdout
    assert judge.calls[0][2] is Mode.RANKED
    assert "y: one wrong element" in result.stdout
    assert "smallest gap between a mutant and what is honest" in result.stdout
    document = shell.json("problem", "verify", str(folder))
    assert document["ok"] is True
    assert document["certificate"]["gap"] >= 4
    assert document["certificate"]["package_hash"] == document["hash"]
    assert document["submissions"][0]["permitted"] == ["AC"]


def test_a_package_whose_verdicts_are_wrong_is_not(
    shell: Shell, judge: StandIn, folder: Path
) -> None:
    judge.outcome = make_result(Verdict.WA, runs=(WRONG_RUN,))
    result = shell("problem", "verify", str(folder))
    assert result.exit_code == 1
    assert "got WA, expected AC" in result.stdout
    document = shell.json("problem", "verify", str(folder), code=1)
    assert document["ok"] is False
    assert "element gate" in document["submissions"][0]["complaint"]


def test_a_package_whose_tolerance_stops_too_little_is_refused(
    shell: Shell, judge: StandIn, tmp_path: Path
) -> None:
    loose = "tolerance: {kind: allclose, rtol: 0.5}\ncost:"
    folder = write_package(tmp_path / "mine" / "row_scale", ("cost:", loose))
    result = shell("problem", "verify", str(folder))
    assert result.exit_code == 1
    assert "mutant 'scaled by a per cent' of 'y' on 'large' passes" in result.stdout
    assert "tighten the tolerance there" in result.stdout


def test_only_what_is_asked_for_is_verified(shell: Shell, judge: StandIn, folder: Path) -> None:
    (folder / "submissions/accepted/other.py").write_text(SOURCE)
    shell("problem", "verify", str(folder), "--only", "accepted/other.py")
    assert [source.entry for _, source, _ in judge.calls] == ["other.py"]
    document = shell.json("problem", "verify", str(folder), "--only", "accepted/other.py")
    assert document["certificate"] is None


def test_a_folder_that_is_no_package_is_explained(shell: Shell, tmp_path: Path) -> None:
    document = shell.json("problem", "verify", str(tmp_path / "mine"), code=1)
    assert document["code"] == "invalid-problem"
