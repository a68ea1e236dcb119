"""Problems: what contestants see of them, what workers get, and versions."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlmodel import select

from judge import wire
from judge.certified import write_certificate
from judge.errors import ProblemError
from judge.package import load_package, unpack
from leaderboard.app import create_app
from leaderboard.models import Problem, ProblemVersion
from leaderboard.settings import Settings
from tests.fixtures import PROBLEM_YAML, REFERENCE, write_package
from tests.judge.test_certified import certificate
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import API, PROBLEM, World, assert_problem

OTHER_UUID = ("0c6dc0b5-6b4f-4f39-9a4b-6f2d3b1a7e01", "0c6dc0b5-6b4f-4f39-9a4b-6f2d3b1a7e02")


def test_the_list_of_problems(problems_dir: Path, make_world: MakeWorld) -> None:
    write_package(problems_dir / "another", OTHER_UUID)
    world = make_world()

    summaries = [wire.ProblemSummary(**entry) for entry in world.get("/problems").json()]

    assert [s.slug for s in summaries] == ["another", PROBLEM]
    assert summaries[1].name == {"en": "Row scale", "zh": "行缩放"}
    assert summaries[1].package_hash == world.package.hash
    assert summaries[1].devices == ("cpu",)


def test_the_problem_page_has_all_a_contestant_needs(world: World) -> None:
    response = world.get(f"/problems/{PROBLEM}")

    detail = wire.ProblemDetail.model_validate_json(response.content)
    assert detail.signature["python"] == "def solve(x, y, eps):"
    assert detail.signature["cpp"].startswith('extern "C" void solve(const float* x')
    assert [s.filename for s in detail.starters] == ["solution.py", "solution.cpp"]
    assert detail.statement["zh"].startswith("# 行缩放")
    assert detail.reference == REFERENCE
    assert "torch.mul" in detail.baseline
    assert detail.limits["source_kib"] == 256
    assert detail.tolerance["kind"] == "oracle"
    assert detail.compile_command.startswith("g++ ")
    assert "-O3" in detail.compile_command


def test_hidden_workloads_are_counted_and_not_shown(world: World) -> None:
    response = world.get(f"/problems/{PROBLEM}")

    detail = wire.ProblemDetail.model_validate_json(response.content)
    assert [w.name for w in detail.workloads] == ["tiny", "large"]
    assert detail.workloads[0].attributes == {"eps": 1e-5}
    assert detail.hidden_workloads == 1
    for secret in ("secret", "509", "1021"):
        assert secret not in response.text


def test_the_public_package_is_one_and_keeps_the_secret(world: World, tmp_path: Path) -> None:
    response = world.get(f"/problems/{PROBLEM}/package")

    assert response.headers["content-type"] == "application/zip"
    package = unpack(response.content, tmp_path / "unpacked", PROBLEM)
    assert [w.name for w in package.problem.workloads] == ["tiny", "large"]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        contents = b"".join(archive.read(name) for name in archive.namelist())
    assert b"509" not in contents


def test_workers_get_the_whole_package_by_its_hash(world: World, tmp_path: Path) -> None:
    path = f"{API}/worker/packages/{world.package.hash}"

    response = world.client.get(path, headers=world.worker_headers)

    assert response.status_code == 200
    assert unpack(response.content, tmp_path / "unpacked", PROBLEM).hash == world.package.hash


@pytest.mark.parametrize(
    "name", ["0" * 64, "short", "..%2f..%2fworker.token", "%00", "0" * 63 + "G", ".public"]
)
def test_no_other_file_can_be_fetched_as_a_package(world: World, name: str) -> None:
    response = world.client.get(f"{API}/worker/packages/{name}", headers=world.worker_headers)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["", "/package"])
def test_an_unknown_problem_gets_a_suggestion(world: World, path: str) -> None:
    document = assert_problem(world.get(f"/problems/row_scalé{path}"), 404, "unknown-problem")

    assert f"did you mean `{PROBLEM}`" in document.detail


def test_a_restart_without_changes_adds_no_version(make_world: MakeWorld) -> None:
    make_world()
    world = make_world()

    with world.services.db.read() as session:
        assert len(session.exec(select(ProblemVersion)).all()) == 1


def test_an_edit_makes_a_version_and_keeps_the_old_package(
    problems_dir: Path, make_world: MakeWorld
) -> None:
    before = make_world().package.hash
    write_package(problems_dir / PROBLEM, ("1.0.0", "1.1.0"))
    world = make_world()

    old = world.client.get(f"{API}/worker/packages/{before}", headers=world.worker_headers)

    assert world.package.hash != before
    assert old.status_code == 200
    with world.services.db.read() as session:
        versions = session.exec(select(ProblemVersion).order_by("version")).all()
        assert [v.version for v in versions] == ["1.0.0", "1.1.0"]
        current = session.exec(select(Problem)).one()
        assert current.package_hash == world.package.hash


def test_a_problem_taken_away_is_unlisted_and_its_submissions_stay(
    problems_dir: Path, make_world: MakeWorld
) -> None:
    world = make_world()
    alice = world.person("alice")
    submission = world.judge(alice, 2.0)
    (problems_dir / PROBLEM).rename(problems_dir.parent / "gone")

    emptied = make_world()

    assert emptied.get("/problems").json() == []
    assert_problem(emptied.get(f"/standings/{PROBLEM}/cpu"), 404, "unknown-problem")
    assert emptied.detail(submission).user == "alice"
    with emptied.services.db.read() as session:
        assert session.exec(select(Problem.listed)).one() is False


def test_a_broken_package_stops_the_start_and_says_why(
    problems_dir: Path, make_settings: Callable[..., Settings]
) -> None:
    (problems_dir / PROBLEM / "problem.yaml").write_text(
        PROBLEM_YAML.replace("license:", "licence:")
    )

    with pytest.raises(ProblemError, match="licence"):
        create_app(make_settings())


def test_a_problem_without_a_certificate_is_not_offered(
    make_settings: Callable[..., Settings],
) -> None:
    with pytest.raises(ProblemError, match="opjudge problem verify"):
        create_app(make_settings(require_certificate=True))


def test_the_certificate_is_stored_with_the_version_and_shown(
    problems_dir: Path, make_world: MakeWorld
) -> None:
    assert make_world().get(f"/problems/{PROBLEM}").json()["certificate"] is None
    package = load_package(problems_dir / PROBLEM)
    made = certificate(package)
    write_certificate(made, problems_dir / PROBLEM)

    world = make_world(require_certificate=True)

    shown = world.get(f"/problems/{PROBLEM}")
    assert shown.json()["certificate"]["gap"] == 10.0
    assert "secret" not in shown.text
    assert "Checked against" in world.client.get(f"/problems/{PROBLEM}").text
    with world.services.db.read() as session:
        (version,) = session.exec(select(ProblemVersion)).all()
        assert wire.Certificate.model_validate_json(version.certificate or "") == made


def test_a_worker_gets_the_floors_of_the_version_it_judges(
    problems_dir: Path, make_world: MakeWorld
) -> None:
    floors = {"large": {"y": wire.Floor(condition=1e-8, scale=1e-7)}}
    package = load_package(problems_dir / PROBLEM)
    write_certificate(certificate(package, floors=floors), problems_dir / PROBLEM)
    world = make_world()
    world.submit(world.person("alice"))
    assert world.claim().floors == floors
    assert world.services.catalog.floors(PROBLEM, package.hash) == floors
    assert world.services.catalog.floors(PROBLEM, "ab" * 32) == {}
    assert world.services.catalog.floors("unknown", package.hash) == {}


def test_a_certificate_that_tells_of_a_small_gap_is_refused_in_any_case(
    problems_dir: Path, make_settings: Callable[..., Settings]
) -> None:
    package = load_package(problems_dir / PROBLEM)
    write_certificate(certificate(package, gap=3.9), problems_dir / PROBLEM)
    with pytest.raises(ProblemError, match=r"'zeros' of 'y' on 'large' has a gap of 3.9"):
        create_app(make_settings())
