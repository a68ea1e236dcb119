"""Handing in, looking at, listing and cancelling submissions."""

import base64
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlmodel import func, select

from judge import wire
from judge.findings import Findings
from judge.jury import illustrated
from judge.verdict import Language, Status, Verdict
from leaderboard.models import Judgement, Submission
from tests.fixtures import write_package
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import (
    API,
    PROBLEM,
    SOURCE,
    World,
    assert_problem,
    make_result,
    make_runs,
    zip_of,
)

CPP = b'extern "C" void solve(const float* x, float* y) {}\n'


# --- handing in ---------------------------------------------------------------------------


def test_a_submission_is_accepted_and_queued(world: World) -> None:
    alice = world.person("alice")

    response = world.post_submission(alice, mode="test")

    assert response.status_code == 201
    detail = wire.SubmissionDetail.model_validate_json(response.content)
    assert (detail.user, detail.problem, detail.device, detail.mode) == (
        "alice",
        PROBLEM,
        "cpu",
        "test",
    )
    assert detail.status is Status.QUEUED
    assert detail.language is Language.PYTHON
    assert detail.filename == "solution.py"
    assert detail.queue_position == 0
    assert detail.attempt == 1
    assert detail.verdict is None
    assert detail.submitted_at == detail.since == world.clock.now
    assert detail.url == f"http://127.0.0.1:8000/submissions/{detail.id}"


def test_values_are_stored_as_words_not_as_member_names(world: World) -> None:
    world.submit(world.person("alice"))

    with world.services.db.read() as session:
        raw = session.connection().exec_driver_sql(
            "SELECT mode, language, state FROM submission, judgement"
        )
        assert raw.one() == ("ranked", "python", "queued")


@pytest.mark.parametrize(
    ("content", "filename", "language"),
    [
        (SOURCE, "anything.py", Language.PYTHON),
        (CPP, "kernel.cpp", Language.CPP),
        (zip_of({"solution.cpp": CPP, "util.h": b"\n"}), "all.zip", Language.CPP),
        (zip_of({"top/solution.py": SOURCE, "top/more.py": b"\n"}), "folder", Language.PYTHON),
    ],
)
def test_languages_and_archives(
    world: World, content: bytes, filename: str, language: Language
) -> None:
    response = world.post_submission(world.person("alice"), content, filename)

    assert response.status_code == 201, response.text
    assert response.json()["language"] == language


@pytest.mark.parametrize(
    ("content", "filename", "code"),
    [
        (b"", "solution.py", "empty-submission"),
        (b"\0", "solution.py", "not-utf8"),
        (b"\xff", "solution.py", "not-utf8"),
        (b"text", "notes.txt", "unknown-language"),
        (b"PK\x03\x04 broken", "solution.zip", "corrupt-archive"),
        (zip_of({"../evil.py": b"x"}), "a.zip", "unsafe-path"),
        (zip_of({"a.py": SOURCE, "b.cpp": CPP}), "a.zip", "mixed-languages"),
        (zip_of({f"f{i}.py": b"x" for i in range(65)}), "a.zip", "too-many-files"),
        (b"#!OPJUDGE speed=fast\n", "solution.py", "bad-directive"),
    ],
)
def test_what_is_not_a_submission_is_refused_with_its_reason(
    world: World, content: bytes, filename: str, code: str
) -> None:
    response = world.post_submission(world.person("alice"), content, filename)

    assert_problem(response, 422, code)
    with world.services.db.read() as session:
        assert session.exec(select(func.count()).select_from(Submission)).one() == 0


@pytest.mark.parametrize(
    ("field", "value", "status", "code"),
    [
        ("problem", "row_scal", 404, "unknown-problem"),
        ("problem", None, 422, "invalid-request"),
        ("device", "gpu\0", 422, "unknown-device"),
        ("device", None, 422, "invalid-request"),
        ("mode", "fast", 422, "invalid-request"),
        ("language", "rust", 422, "invalid-request"),
        ("language", "cpp", 422, "language-mismatch"),
        ("id", "not-a-uuid", 422, "invalid-request"),
    ],
)
def test_bad_fields(world: World, field: str, value: str | None, status: int, code: str) -> None:
    fields: dict[str, Any] = {field: value}

    response = world.post_submission(world.person("alice"), **fields)

    assert_problem(response, status, code)


def test_a_missing_file_is_a_422(world: World) -> None:
    alice = world.person("alice")
    data = {"problem": PROBLEM, "device": "cpu", "mode": "test"}

    response = world.client.post(f"{API}/submissions", headers=alice.headers, data=data)

    assert_problem(response, 422, "invalid-request")


@pytest.mark.parametrize(
    "filename", ["../../etc/solution.py", "C:\\temp\\solution.py", "solution.py\r\nX: y"]
)
def test_file_names_lose_their_folders_and_control_characters(world: World, filename: str) -> None:
    response = world.post_submission(world.person("alice"), filename=filename)

    if response.status_code == 201:
        assert response.json()["filename"].startswith("solution.py")
        assert response.json()["filename"].isprintable()
    else:
        assert_problem(response, 422, "unknown-language")


# --- size ---------------------------------------------------------------------------------


@pytest.fixture
def narrow(problems_dir: Path, make_world: MakeWorld) -> World:
    """A problem that takes 4 KiB of source, and a server that takes 128 KiB of anything."""
    write_package(problems_dir / PROBLEM, ("license:", "limits: {source_kib: 4}\nlicense:"))
    return make_world(max_upload_bytes=128 << 10)


def test_source_up_to_the_limit_is_taken(narrow: World) -> None:
    exact = SOURCE + b"#" * (4096 - len(SOURCE) - 1) + b"\n"

    assert len(exact) == 4096
    assert narrow.post_submission(narrow.person("alice"), exact).status_code == 201


@pytest.mark.parametrize("size", [4097, 70_000, 120_000])
def test_source_over_the_limit_is_a_413(narrow: World, size: int) -> None:
    response = narrow.post_submission(narrow.person("alice"), b"#" * size)

    assert_problem(response, 413, "too-large")


def test_a_zip_bomb_is_a_413(narrow: World) -> None:
    bomb = zip_of({"solution.py": b"#" * 10_000_000})
    assert len(bomb) < 20_000

    assert_problem(narrow.post_submission(narrow.person("alice"), bomb), 413, "too-large")


def test_a_body_over_the_cap_is_refused_by_its_declared_length(narrow: World) -> None:
    response = narrow.post_submission(narrow.person("alice"), b"#" * 200_000)

    document = assert_problem(response, 413, "too-large")
    assert "131072" in document.detail


def test_a_body_over_the_cap_is_refused_while_reading(narrow: World) -> None:
    alice = narrow.person("alice")
    sent = 0

    def chunks() -> object:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.py"\r\n\r\n'
        for _ in range(1000):
            sent += 1000
            yield b"#" * 1000

    response = narrow.client.post(
        f"{API}/submissions",
        headers={**alice.headers, "Content-Type": "multipart/form-data; boundary=x"},
        content=chunks(),  # type: ignore[arg-type]
    )

    assert_problem(response, 413, "too-large")


# --- once and only once -------------------------------------------------------------------


def test_the_same_id_with_the_same_content_is_one_submission(world: World) -> None:
    alice, chosen = world.person("alice"), str(uuid4())

    first = world.post_submission(alice, id=chosen)
    second = world.post_submission(alice, id=chosen)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"] == chosen
    with world.services.db.read() as session:
        assert session.exec(select(func.count()).select_from(Submission)).one() == 1
        assert session.exec(select(func.count()).select_from(Judgement)).one() == 1


def test_repeating_after_it_was_judged_shows_the_result(world: World) -> None:
    alice, chosen = world.person("alice"), str(uuid4())
    world.post_submission(alice, id=chosen)
    world.finish(world.claim())

    again = world.post_submission(alice, id=chosen)

    assert again.status_code == 200
    assert again.json()["verdict"] == "AC"


@pytest.mark.parametrize(
    "change",
    [{"mode": "test"}, {"content": SOURCE + b"#"}],
    ids=["mode", "content"],
)
def test_the_same_id_for_something_else_is_a_conflict(world: World, change: dict[str, Any]) -> None:
    alice, chosen = world.person("alice"), str(uuid4())
    world.post_submission(alice, id=chosen)

    response = world.post_submission(alice, id=chosen, **change)

    assert_problem(response, 409, "id-conflict")


def test_the_same_id_from_somebody_else_is_a_conflict(world: World) -> None:
    chosen = str(uuid4())
    world.post_submission(world.person("alice"), id=chosen)

    assert_problem(world.post_submission(world.person("bob"), id=chosen), 409, "id-conflict")


def test_the_quota_counts_what_waits_and_frees_as_it_goes(make_world: MakeWorld) -> None:
    world = make_world(max_pending=2)
    alice, bob = world.person("alice"), world.person("bob")
    chosen = str(uuid4())
    world.post_submission(alice, id=chosen)
    second = world.submit(alice)

    assert_problem(world.post_submission(alice), 429, "too-many-pending")
    assert world.post_submission(alice, id=chosen).status_code == 200, "no new submission"
    assert world.post_submission(bob).status_code == 201
    world.cancel(second, alice)
    assert world.post_submission(alice).status_code == 201


# --- looking ------------------------------------------------------------------------------


def test_the_author_sees_everything_but_the_hidden_workload(world: World) -> None:
    alice = world.person("alice")
    submission = world.judge(alice, 2.0)

    detail = world.detail(submission, alice)

    assert detail.status is Status.JUDGED
    assert detail.verdict is Verdict.AC
    assert detail.queue_position is None
    assert detail.progress is None
    assert detail.result is not None
    assert detail.score == detail.result.score == wire.Interval(value=2.0, low=1.999, high=2.001)
    assert (detail.result.log, detail.result.stdout) == ("the log", "printed")
    tiny, large, secret = detail.result.runs
    assert large.candidate_samples_ns == (10, 11)
    assert large.baseline_samples_ns == (20, 21)
    assert large.error is not None
    assert large.error.index == (1, 2)
    assert large.message == "fast"
    assert large.margins == {"y:element": 0.4}
    assert secret.margins == {}
    assert tiny.dims == {"rows": 2, "cols": 3}
    assert secret.workload == "hidden-3"
    assert secret.speedup is not None
    assert secret.error == wire.ErrorReport(gate="element", max_error=0.5)


def test_nobody_learns_the_hidden_shape(world: World) -> None:
    alice = world.person("alice")
    submission = world.judge(alice, 2.0)

    for viewer in (alice, world.person("bob"), None):
        result = world.get(f"/submissions/{submission}", viewer).json()["result"]
        text = str(result["runs"][2])
        for secret in ("509", "1021", "secret", "0.125", "2.5", "3.5", "508", "0.375"):
            assert secret not in text


@pytest.mark.parametrize("viewer", ["bob", None])
def test_others_see_verdict_and_speedups_and_no_more(world: World, viewer: str | None) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    world.finish(world.claim(), message="argument leaked")

    person = world.person(viewer) if viewer else None
    response = world.get(f"/submissions/{submission}", person)

    detail = wire.SubmissionDetail.model_validate_json(response.content)
    assert detail.verdict is Verdict.AC
    assert detail.score is not None
    assert detail.result is not None
    assert [r.speedup is not None for r in detail.result.runs] == [False, True, True]
    assert all(r.error is None and r.message == "" for r in detail.result.runs)
    assert all(r.candidate_samples_ns == () for r in detail.result.runs)
    for secret in ("the log", "printed", "leaked", "fast", "0.375"):
        assert secret not in response.text


def test_an_unknown_submission_is_a_404_and_a_bad_id_a_422(world: World) -> None:
    alice = world.person("alice")
    for path in ("", "/source", "/events"):
        response = world.get(f"/submissions/{uuid4()}{path}", alice)
        assert_problem(response, 404, "unknown-submission")
        assert_problem(world.get(f"/submissions/nonsense{path}", alice), 422, "invalid-request")
    assert_problem(world.cancel(uuid4(), alice), 404, "unknown-submission")


def test_progress_shows_where_it_is_and_no_hidden_name(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    claim = world.claim()

    for workload, shown in (("large", "large"), ("secret", "hidden")):
        progress = wire.Progress(
            status=Status.TIMING, workload=workload, done=1, total=3, message="round 5"
        )
        assert world.report(claim, "progress", progress).status_code == 200
        detail = world.detail(submission, alice)
        assert detail.status is Status.TIMING
        assert detail.progress is not None
        assert detail.progress.workload == shown
        assert detail.progress.done == 1
    assert world.detail(submission).progress == wire.Progress(
        status=Status.TIMING, workload="hidden", done=1, total=3
    )


def test_since_is_when_the_status_began(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    claimed_at = world.clock.advance(5)
    claim = world.claim()
    assert world.detail(submission).since == claimed_at

    world.clock.advance(5)
    world.report(claim, "progress", wire.Progress(status=Status.BUILDING))
    assert world.detail(submission).since == claimed_at, "building since it was claimed"
    timing_at = world.clock.advance(5)
    world.report(claim, "progress", wire.Progress(status=Status.TIMING))
    world.clock.advance(5)
    world.report(claim, "progress", wire.Progress(status=Status.TIMING, done=1))
    assert world.detail(submission).since == timing_at


def test_the_source_is_its_authors_alone(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    files = {"lib/util.py": b"# \xc3\xa9\n", "solution.py": SOURCE}
    submission = world.submit(alice, zip_of(files))

    response = world.get(f"/submissions/{submission}/source", alice)

    assert {f["path"]: base64.b64decode(f["content"]) for f in response.json()} == files
    assert_problem(world.get(f"/submissions/{submission}/source", bob), 403, "not-yours")


# --- lists --------------------------------------------------------------------------------


def test_pages_are_newest_first_and_join_without_a_gap(world: World) -> None:
    alice = world.person("alice")
    made = [world.submit(alice) for _ in range(5)]

    seen: list[str] = []
    before: str | None = None
    for _ in range(10):
        query: dict[str, Any] = {"limit": 2} | ({"before": before} if before else {})
        page = wire.Page.model_validate_json(world.get("/submissions", **query).content)
        seen += [str(item.id) for item in page.items]
        world.submit(alice)  # what arrives meanwhile moves nothing
        before = page.next
        if before is None:
            break

    assert seen == [str(s) for s in reversed(made)]


def test_a_list_can_be_narrowed_to_a_user_and_a_problem(
    problems_dir: Path, make_world: MakeWorld
) -> None:
    write_package(problems_dir / "another", ("7e01", "7e02"))
    world = make_world()
    alice, bob = world.person("Alice"), world.person("bob")
    mine = world.submit(alice)
    other = world.submit(alice, problem="another")
    world.submit(bob)

    def ids(**query: Any) -> list[str]:
        return [item["id"] for item in world.get("/submissions", **query).json()["items"]]

    assert ids(user="alice") == [str(other), str(mine)]
    assert ids(user="alice", problem=PROBLEM) == [str(mine)]
    assert ids(user="nobody") == []
    assert ids(problem="unheard_of") == []


def test_a_list_shows_what_was_judged(world: World) -> None:
    alice = world.person("alice")
    world.judge(alice, 2.0)
    world.submit(alice)

    items = world.get("/submissions").json()["items"]

    assert [(i["status"], i["verdict"]) for i in items] == [("queued", None), ("judged", "AC")]
    assert items[1]["score"]["value"] == 2.0
    assert items[1]["judged_at"] is not None


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"before": 0},
        {"before": 1 << 63},
        {"before": "x"},
        {"user": "\0"},
        {"problem": "a b"},
    ],
)
def test_bad_queries(world: World, query: dict[str, Any]) -> None:
    assert_problem(world.get("/submissions", **query), 422, "invalid-request")


# --- cancelling ---------------------------------------------------------------------------


def test_a_waiting_submission_is_cancelled_and_never_judged(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)

    response = world.cancel(submission, alice)

    assert response.status_code == 200
    assert response.json()["status"] == "cancelled"
    assert world.post_claim().status_code == 204


def test_a_running_submission_is_cancelled_and_the_worker_is_told(world: World) -> None:
    alice = world.person("alice")
    submission = world.submit(alice)
    claim = world.claim()

    assert world.cancel(submission, alice).status_code == 200

    result = make_result(claim.package_hash, seed=claim.seed)
    progress = wire.Progress(status=Status.TIMING)
    assert_problem(world.report(claim, "heartbeat"), 409, "cancelled")
    assert_problem(world.report(claim, "progress", progress), 409, "cancelled")
    assert_problem(world.report(claim, "result", result), 409, "cancelled")
    assert_problem(world.report(claim, "release", {"reason": "x"}), 409, "cancelled")
    detail = world.detail(submission, alice)
    assert detail.status is Status.CANCELLED
    assert detail.result is None
    assert detail.verdict is None


def test_what_is_final_cannot_be_cancelled(world: World) -> None:
    alice = world.person("alice")
    judged = world.judge(alice, 2.0)
    cancelled = world.submit(alice)
    world.cancel(cancelled, alice)

    for submission in (judged, cancelled):
        assert_problem(world.cancel(submission, alice), 409, "already-final")
    assert world.detail(judged).verdict is Verdict.AC


def test_nobody_cancels_for_others(world: World) -> None:
    submission = world.submit(world.person("alice"))

    assert_problem(world.cancel(submission, world.person("bob")), 403, "not-yours")
    assert world.detail(submission).status is Status.QUEUED


def test_queue_positions_count_who_came_before(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    first, second, third = world.submit(alice), world.submit(bob), world.submit(alice)

    def positions() -> list[int | None]:
        return [world.detail(s).queue_position for s in (first, second, third)]

    assert positions() == [0, 1, 2]
    world.cancel(second, bob)
    assert positions() == [0, None, 1]
    assert world.claim().submission_id == first
    assert positions() == [None, None, 0]


def test_the_error_picture_is_its_authors_alone(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    submission = world.submit(alice)
    drawn = Findings("y", {"element": 9.0}, np.array([[0.0, 9.0]]))
    report = wire.ErrorReport(gate="element", output="y")
    run = make_runs()[0].model_copy(
        update={"verdict": Verdict.WA, "error": illustrated(report, (drawn,)), "sample": True}
    )
    world.finish(world.claim(), verdict=Verdict.WA, runs=(run,))

    path = f"/submissions/{submission}/picture"
    shown = world.get(path, alice)
    assert shown.headers["content-type"] == "image/png"
    assert shown.content.startswith(b"\x89PNG")
    for person in (bob, None):
        assert_problem(world.get(path, person), 404, "no-picture")


def test_what_is_no_picture_is_refused(world: World) -> None:
    world.submit(world.person("alice"))
    report = wire.ErrorReport(gate="element", picture=b"<script>")
    run = make_runs()[0].model_copy(update={"verdict": Verdict.WA, "error": report})
    answer = world.finish(world.claim(), verdict=Verdict.WA, runs=(run,))
    assert_problem(answer, 422, "invalid-result")
