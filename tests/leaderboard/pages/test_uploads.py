"""The form to hand a submission in."""

import pytest

from judge.verdict import Language, Mode
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.pages.browser import Browser, Document, assert_harmless, read
from tests.leaderboard.pages.conftest import LogIn
from tests.leaderboard.world import PASSWORD, PROBLEM, SOURCE, Person, World, zip_of

FORM = f"/problems/{PROBLEM}/submit"
CPP = b'extern "C" void solve(const float* x, float* y, int64_t r, int64_t c, double e) {}\n'


@pytest.fixture
def browser(alice: Person, logged_in: LogIn) -> Browser:
    """Alice, logged in."""
    return logged_in(alice)


def submissions(world: World) -> list[dict[str, str]]:
    items: list[dict[str, str]] = world.get("/submissions").json()["items"]
    return items


def complaint(document: Document) -> str:
    [alert] = document.text_in("div", role="alert")
    return alert


def test_the_form_asks_for_a_login_first(visitor: Browser) -> None:
    response = visitor.get(FORM)

    assert response.status_code == 303
    assert response.headers["location"] == "/login?next=%2Fproblems%2Frow_scale%2Fsubmit"


def test_the_form_offers_what_there_is(browser: Browser) -> None:
    document = browser.page(FORM)

    assert [r["value"] for r in document.all("input", name="mode")] == [m.value for m in Mode]
    assert document.all("input", name="mode", checked="")[0]["value"] == "ranked"
    values = [option["value"] for option in document.all("option") if "value" in option]
    assert values == ["", *(language.value for language in Language)]
    [form] = document.all("form", action=FORM)
    assert (form["method"], form["enctype"]) == ("post", "multipart/form-data")


def test_a_submission_leads_to_its_page(world: World, browser: Browser) -> None:
    response = browser.upload(mode="test")

    [item] = submissions(world)
    assert response.status_code == 303
    assert response.headers["location"] == f"/submissions/{item['id']}"
    assert (item["user"], item["mode"], item["language"], item["filename"]) == (
        "alice",
        "test",
        "python",
        "solution.py",
    )
    assert "next in the queue" in browser.page(response.headers["location"]).text


def test_the_language_follows_from_the_file_or_is_given(world: World, browser: Browser) -> None:
    assert browser.upload(CPP, "kernel.cc").status_code == 303
    assert browser.upload(SOURCE, "solution.py", language="python").status_code == 303

    assert [item["language"] for item in submissions(world)] == ["python", "cpp"]


def test_a_zip_is_a_submission_too(world: World, browser: Browser) -> None:
    content = zip_of({"solution.py": SOURCE, "helper.py": b"X = 1\n"})

    assert browser.upload(content, "all.zip").status_code == 303
    assert submissions(world)[0]["filename"] == "all.zip"


def test_what_is_wrong_is_said_on_the_form(world: World, browser: Browser) -> None:
    for fields, filename, content, status, said in (
        ({}, "", b"", 422, "no file was chosen"),
        ({}, "solution.py", b"", 422, "is empty"),
        ({"mode": "rankd"}, "solution.py", SOURCE, 422, "did you mean `ranked`"),
        ({"mode": ""}, "solution.py", SOURCE, 422, "there is no mode"),
        ({"language": "cobol"}, "solution.py", SOURCE, 422, "there is no language 'cobol'"),
        ({"device": "gpu"}, "solution.py", SOURCE, 422, "not judged on the device 'gpu'"),
        ({}, "notes.txt", b"hello", 422, "notes.txt"),
        ({}, "all.zip", b"PK\x03\x04 broken", 422, "zip"),
    ):
        document = read(browser.upload(content, filename, **fields), status)

        assert said in complaint(document)
        assert_harmless(document)
    assert submissions(world) == []


def test_a_form_without_any_field_is_answered_with_the_form(browser: Browser) -> None:
    assert "no file was chosen" in complaint(read(browser.post(FORM), 422))


def test_what_was_chosen_stays_chosen(browser: Browser) -> None:
    document = read(browser.upload(b"", mode="benchmark", language="cpp"), 422)

    assert document.all("input", name="mode", checked="")[0]["value"] == "benchmark"
    assert document.all("option", selected="", value="cpp")


def test_a_file_over_the_limit_is_said_on_the_form(world: World, browser: Browser) -> None:
    limit = world.package.problem.limits.source_kib * 1024

    response = browser.upload(b"#" * (limit + (64 << 10) + 1))

    assert "the limit of row_scale is" in complaint(read(response, 413))
    assert submissions(world) == []


def test_a_request_over_the_servers_limit_gets_a_page(make_world: MakeWorld) -> None:
    world = make_world(max_upload_bytes=4096)
    world.person("alice")
    browser = Browser(world)
    browser.log_in("alice")

    document = read(browser.upload(b"#" * 5000), 413)

    assert "Too large" in document.text
    assert "at most 4096 bytes" in document.text


def test_forms_may_carry_more_than_other_requests(browser: Browser) -> None:
    # 1 MiB is the limit elsewhere; this is refused by the problem, not by the server.
    assert "the limit of row_scale" in complaint(read(browser.upload(b"#" * (3 << 20)), 413))


def test_a_hostile_file_name_can_do_nothing(world: World, browser: Browser) -> None:
    name = '"><script>alert(1)<script>.txt'

    document = read(browser.upload(b"x", name), 422)

    assert_harmless(document)
    assert len(document.all("script")) == 1


def test_too_many_waiting_is_said_on_the_form(make_world: MakeWorld) -> None:
    world = make_world(max_pending=1)
    world.person("alice")
    browser = Browser(world)
    browser.log_in("alice")
    assert browser.upload().status_code == 303

    assert "waiting already" in complaint(read(browser.upload(b"# 2\n" + SOURCE), 429))


def test_sending_one_form_twice_makes_one_submission(world: World, browser: Browser) -> None:
    once = browser.page(FORM).all("input", name="once")[0]["value"]

    first = browser.upload(once=once)
    second = browser.upload(once=once)

    assert first.headers["location"] == second.headers["location"]
    assert len(submissions(world)) == 1


def test_another_file_in_the_same_form_is_another_submission(
    world: World, browser: Browser
) -> None:
    # The browser's way back shows the old form again.
    once = browser.page(FORM).all("input", name="once")[0]["value"]

    browser.upload(once=once)
    browser.upload(b"# better\n" + SOURCE, once=once)
    browser.upload(once=once, mode="test")

    assert len(submissions(world)) == 3


def test_nobody_can_take_another_ones_submission_away(world: World, browser: Browser) -> None:
    world.person("mallory")
    mallory = Browser(world)
    mallory.log_in("mallory")

    assert mallory.upload(once="x").status_code == 303
    assert browser.upload(once="x").status_code == 303

    assert {item["user"] for item in submissions(world)} == {"alice", "mallory"}


def test_every_form_is_a_new_one(browser: Browser) -> None:
    drawn = [browser.page(FORM).all("input", name="once")[0]["value"] for _ in range(2)]

    assert drawn[0] != drawn[1]


def test_a_form_for_no_problem_is_not_found(browser: Browser) -> None:
    browser.page("/problems/nothing/submit", 404)
    read(browser.post("/problems/nothing/submit", files={"file": ("a.py", SOURCE)}), 404)


def test_the_use_case_is_the_same_as_the_apis(world: World, alice: Person) -> None:
    browser = Browser(world)
    browser.log_in("alice")
    by_api = world.post_submission(alice)

    by_form = browser.upload()

    assert by_api.status_code == 201
    # A second submission by another door, with the same content.
    assert by_form.status_code == 303
    first, second = submissions(world)
    differing = {key for key in first if first[key] != second[key]}
    assert differing == {"id"}
    assert PASSWORD not in str(first)
