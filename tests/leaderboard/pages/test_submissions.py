"""The list of submissions, and the page of one."""

import pytest

from judge import wire
from judge.verdict import Status, Verdict
from tests.leaderboard.pages.browser import Browser, Document, assert_harmless, read
from tests.leaderboard.pages.conftest import LogIn
from tests.leaderboard.world import PROBLEM, SOURCE, Person, World, without_hashes

HOSTILE = "</pre></code><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"


def refreshes(document: Document) -> bool:
    return bool(document.all("meta", **{"http-equiv": "refresh"}))


def live(document: Document) -> list[str]:
    return [found["data-live"] for found in document.all("div", id="live") if "data-live" in found]


# --- on its way ---------------------------------------------------------------------------


def test_a_waiting_submission_says_how_many_are_ahead(
    world: World, visitor: Browser, alice: Person
) -> None:
    first, second = world.submit(alice), world.submit(alice)

    assert "queued next in the queue" in visitor.page(f"/submissions/{first}").text
    assert "queued 1 ahead in the queue" in visitor.page(f"/submissions/{second}").text


def test_one_that_is_not_final_follows_live_or_by_refresh(
    world: World, visitor: Browser, alice: Person
) -> None:
    submission = world.submit(alice)

    document = visitor.page(f"/submissions/{submission}")

    assert live(document) == [f"/submissions/{submission}/live"]
    assert refreshes(document)


def test_one_that_is_final_stays_as_it_is(world: World, visitor: Browser, alice: Person) -> None:
    document = visitor.page(f"/submissions/{world.judge(alice, 2.0)}")

    assert live(document) == []
    assert not refreshes(document)


def test_progress_is_shown(world: World, visitor: Browser, alice: Person) -> None:
    submission = world.submit(alice)
    world.report(
        world.claim(),
        "progress",
        wire.Progress(status=Status.TIMING, workload="large", done=7, total=12, message="tuning"),
    )

    document = visitor.page(f"/submissions/{submission}")

    assert "timing large 7/12" in document.text
    assert document.all("progress") == [{"value": "7", "max": "12"}]
    assert "tuning" not in document.text


def test_progress_of_a_hidden_workload_gives_nothing_away(
    world: World, alice: Person, logged_in: LogIn
) -> None:
    submission = world.submit(alice)
    world.report(
        world.claim(),
        "progress",
        wire.Progress(status=Status.TIMING, workload="secret", message="509 rows"),
    )

    text = without_hashes(logged_in(alice).page(f"/submissions/{submission}").text)

    assert "timing hidden" in text
    assert "secret" not in text
    assert "509" not in text


# --- judged -------------------------------------------------------------------------------


def test_a_result_is_a_table(world: World, visitor: Browser, alice: Person) -> None:
    submission = world.judge(alice, 2.0, spread=0.1)

    document = visitor.page(f"/submissions/{submission}")

    assert "AC accepted 2.000× [1.900, 2.100]" in document.text
    assert "large AC rows=512, cols=1024 1.00 ms 2.00 ms 2.000× [1.900, 2.100] 1.50 –" in (
        document.text.replace("\xa0", " ")
    )
    assert len(document.all("svg")) == 2
    assert "a cpu" in document.text


def test_environment_and_hashes_are_for_everybody(
    world: World, visitor: Browser, alice: Person
) -> None:
    environment = wire.Environment(
        device="cpu",
        device_name="EPYC",
        worker="w7",
        sandbox={"kind": "bubblewrap"},
        versions={"torch": "2.13"},
    )
    submission = world.judge(
        alice,
        2.0,
        environment=environment,
        overhead=wire.Overhead(low_ns=9000, median_ns=9800, std_ns=1400, calls=9),
        prepare_s=0.25,
    )

    text = visitor.page(f"/submissions/{submission}").text.replace("\xa0", " ")

    for part in (
        "cpu · EPYC",
        "w7",
        "Sandbox: kind bubblewrap",
        "torch 2.13",
        submission.hex,
        world.package.hash,
        "9.00 µs subtracted; median 9.80 µs ± 1.40 µs",
        "prepare 0.25",
    ):
        assert part in text


def test_whose_fault_it_was_is_said(world: World, visitor: Browser, alice: Person) -> None:
    submission = world.submit(alice)
    texts: list[str] = []
    while not texts or "our fault" not in texts[-1]:
        world.finish(world.claim(), verdict=Verdict.JE, score=None, runs=())
        texts.append(visitor.page(f"/submissions/{submission}").text)

    # It was tried again first, and said so.
    assert "attempt 2" in texts[0]
    assert "JE judging error" in texts[-1]


@pytest.fixture
def wrong(world: World, alice: Person) -> str:
    """The page of a submission of alice's that failed, and that wrote all it could."""
    submission = world.submit(alice, SOURCE + HOSTILE.encode())
    place = wire.ErrorReport(
        gate="element", output="y", index=(3, 57), expected=0.125, max_error=1834.2,
        share_wrong=0.031, picture=b"\x89PNG\r\n\x1a\n", tile=(2, 4),
    )  # fmt: skip
    runs = (
        wire.Run(workload="tiny", dims={"rows": 2, "cols": 3}, sample=True, verdict=Verdict.WA,
                 message=f"run says {HOSTILE}", error=place),
        wire.Run(workload="secret", dims={"rows": 509, "cols": 1021}, hidden=True,
                 verdict=Verdict.WA, message="509 rows", error=place),
    )  # fmt: skip
    answer = world.finish(
        world.claim(),
        verdict=Verdict.WA,
        score=None,
        runs=runs,
        message=f"judge says {HOSTILE}",
        log=f"log says {HOSTILE}",
        stdout=f"program says {HOSTILE}",
    )
    assert answer.is_success, answer.text
    return f"/submissions/{submission}"


def test_the_author_sees_what_went_wrong_and_where(
    alice: Person, logged_in: LogIn, wrong: str
) -> None:
    text = logged_in(alice).page(wrong).text.replace("\xa0", " ")

    for said in ("judge says", "run says", "log says", "program says"):
        assert f"{said} {HOSTILE}" in text
    assert (
        "Failed at single elements Where y[3, 57] Expected 0.125 Got NaN or infinite "
        "Elements beyond tolerance 3.1 % Worst error / allowed 1,834×" in text
    )
    assert "a tile is 2 × 4 elements" in text
    picture = logged_in(alice).client.get(f"{wrong}/picture")
    assert picture.headers["content-type"] == "image/png"
    assert "def solve(x, y, eps):" in text


def test_others_see_neither_source_nor_logs(
    world: World, visitor: Browser, logged_in: LogIn, wrong: str
) -> None:
    for browser in (visitor, logged_in(world.person("mallory"))):
        text = browser.page(wrong).text

        assert "WA wrong answer" in text
        assert "shown to the author only" in text
        for secret in ("says", "def solve", "y[3, 57]", "0.125", "Cancel", "a tile is"):
            assert secret not in text
        assert browser.client.get(f"{wrong}/picture").status_code == 404


def test_of_hidden_workloads_nobody_learns_the_shape(
    visitor: Browser, alice: Person, logged_in: LogIn, wrong: str
) -> None:
    for browser in (visitor, logged_in(alice)):
        text = without_hashes(browser.page(wrong).text)

        assert "hidden-2" in text
        for secret in ("secret", "509", "1021"):
            assert secret not in text


def test_nothing_a_contestant_writes_can_run(alice: Person, logged_in: LogIn, wrong: str) -> None:
    document = logged_in(alice).page(wrong)

    assert_harmless(document)
    assert len(document.all("script")) == 1
    assert {image["src"] for image in document.all("img")} == {f"{wrong}/picture"}


def test_a_hostile_worker_can_do_nothing_either(
    world: World, visitor: Browser, alice: Person
) -> None:
    environment = wire.Environment(
        device="cpu", device_name=HOSTILE, worker="w", sandbox={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
    )  # fmt: skip
    runs = (wire.Run(workload=HOSTILE, dims={HOSTILE: 3}, verdict=Verdict.AC),)
    submission = world.judge(alice, 2.0, environment=environment, runs=runs)

    document = visitor.page(f"/submissions/{submission}")

    assert_harmless(document)
    assert len(document.all("script")) == 1


def test_a_problem_taken_off_the_list_leaves_its_submissions_readable(
    world: World, visitor: Browser, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = world.judge(alice, 2.0)
    monkeypatch.setattr("leaderboard.catalog.Catalog.summaries", lambda _: ())

    document = visitor.page(f"/submissions/{submission}")

    assert f"/problems/{PROBLEM}" not in document.links()
    assert PROBLEM in document.text


# --- following ----------------------------------------------------------------------------


def events(body: str) -> list[tuple[str, str]]:
    """Names and data of the events of a stream that has ended."""
    found = []
    for block in body.strip().split("\n\n"):
        if block.startswith(":"):
            continue  # a comment
        lines = [line.partition(": ") for line in block.split("\n")]
        data = "\n".join(value for name, _, value in lines if name.rstrip(":") == "data")
        found.append((next(v for n, _, v in lines if n == "event"), data))
    return found


def test_the_stream_brings_the_middle_of_the_page_and_says_goodbye(
    world: World, visitor: Browser, alice: Person
) -> None:
    submission = world.judge(alice, 2.0)

    response = visitor.get(f"/submissions/{submission}/live")

    assert response.headers["content-type"].startswith("text/event-stream")
    (kind, html), (last, _) = events(response.text)
    assert (kind, last) == ("fragment", "end")
    assert "AC accepted 2.000×" in Document(html).text
    assert "<html" not in html


def test_the_stream_shows_everybody_what_is_theirs_to_see(
    visitor: Browser, alice: Person, logged_in: LogIn, wrong: str
) -> None:
    theirs = events(visitor.get(f"{wrong}/live").text)[0][1]
    own = Document(events(logged_in(alice).get(f"{wrong}/live").text)[0][1])

    assert "says" not in theirs
    assert f"log says {HOSTILE}" in own.text
    assert_harmless(own)
    assert not own.all("script")


def test_the_stream_speaks_the_readers_language(
    world: World, visitor: Browser, alice: Person
) -> None:
    submission = world.judge(alice, 2.0)
    visitor.get("/?lang=zh")

    assert "通过" in visitor.get(f"/submissions/{submission}/live").text


def test_there_is_no_stream_of_nothing(visitor: Browser) -> None:
    visitor.page("/submissions/00000000-0000-4000-8000-000000000000/live", 404)


# --- taking back --------------------------------------------------------------------------


def test_the_author_can_cancel(world: World, alice: Person, logged_in: LogIn) -> None:
    path = f"/submissions/{world.submit(alice)}"
    browser = logged_in(alice)
    assert browser.page(path).all("form", action=f"{path}/cancel")

    response = browser.post(f"{path}/cancel")

    assert (response.status_code, response.headers["location"]) == (303, path)
    document = browser.page(path)
    assert "cancelled" in document.text
    assert not document.all("form", action=f"{path}/cancel")


def test_nobody_else_can(world: World, visitor: Browser, alice: Person, logged_in: LogIn) -> None:
    path = f"/submissions/{world.submit(alice)}"
    mallory = logged_in(world.person("mallory"))

    assert not mallory.page(path).all("form", action=f"{path}/cancel")
    assert "somebody else's" in read(mallory.post(f"{path}/cancel"), 403).text
    nobody = visitor.post(f"{path}/cancel")
    assert nobody.headers["location"] == f"/login?next={path.replace('/', '%2F')}"


def test_what_is_final_cannot_be_taken_back(world: World, alice: Person, logged_in: LogIn) -> None:
    path = f"/submissions/{world.judge(alice, 2.0)}"

    read(logged_in(alice).post(f"{path}/cancel"), 409)


# --- the list -----------------------------------------------------------------------------


def test_the_list_is_newest_first(world: World, visitor: Browser, alice: Person) -> None:
    first, second = world.judge(alice, 2.0, spread=0.1), world.submit(world.person("bob"))

    document = visitor.page("/submissions")

    shown = [link for link in document.links() if link.startswith("/submissions/")]
    assert shown == [f"/submissions/{second}", f"/submissions/{first}"]
    assert "2026-11-22 12:00:00 alice row_scale cpu ranked Python AC 2.000× [1.900, 2.100]" in (
        document.text
    )
    assert "bob row_scale cpu ranked Python queued –" in document.text


def test_the_list_can_be_filtered(world: World, visitor: Browser, alice: Person) -> None:
    world.submit(alice)
    theirs = world.submit(world.person("bob"))

    for query in ("user=bob", "user=BOB&problem=", f"user=bob&problem={PROBLEM}"):
        links = visitor.page(f"/submissions?{query}").links()
        assert [x for x in links if x.startswith("/submissions/")] == [f"/submissions/{theirs}"]
    assert "No submissions here." in visitor.page("/submissions?problem=other").text
    assert "No submissions here." in visitor.page("/submissions?user=nobody").text


def test_the_filter_stays_filled_in(visitor: Browser) -> None:
    document = visitor.page(f"/submissions?user=ada&problem={PROBLEM}")

    assert document.all("input", name="user")[0]["value"] == "ada"
    assert document.all("option", selected="")[0]["value"] == PROBLEM


@pytest.mark.parametrize("query", ["user=<script>", "problem=a-b", "before=0", "before=x"])
def test_a_senseless_filter_is_refused_politely(visitor: Browser, query: str) -> None:
    assert_harmless(visitor.page(f"/submissions?{query}", 422))


def test_pages_follow_one_another(
    world: World, visitor: Browser, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard.pages.submissions._PAGE", 2)
    ids = [world.submit(alice) for _ in range(5)]
    seen: list[str] = []
    path = "/submissions?user=alice"

    while path:
        document = visitor.page(path)
        seen += [x for x in document.links() if x.startswith("/submissions/")]
        older = document.all("a", rel="next")
        path = older[0]["href"] if older else ""
        assert not path or "user=alice" in path

    assert seen == [f"/submissions/{i}" for i in reversed(ids)]
    assert "Newest" in document.text


def test_ones_own_are_marked(world: World, alice: Person, logged_in: LogIn) -> None:
    world.submit(alice)
    world.submit(world.person("bob"))

    document = logged_in(alice).page("/submissions")

    [mine] = document.text_in("tr", **{"class": "mine"})
    assert "alice" in mine
