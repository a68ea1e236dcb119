"""The command line against a stub service: output, JSON, exit codes, every error."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from judge.cli.config import config_path, load_config
from judge.verdict import Status, Verdict
from judge.wire import BoardChanged, ProblemDocument
from tests.judge.command_line import SOURCE, Shell, make_shell
from tests.judge.samples import (
    ADA,
    BOARD,
    JUDGED,
    PAGE,
    PROBLEM,
    SUBMISSION_ID,
    SUMMARY,
    TOKEN,
    WRONG_RUN,
    make_detail,
    make_result,
    make_timing,
)
from tests.judge.stub import Reply, StubApi, refuse, say, serving, stream

S = f"/submissions/{SUBMISSION_ID}"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with make_shell(tmp_path, monkeypatch) as made:
        yield made


def log_in(shell: Shell) -> None:
    shell.api.on("POST /tokens", say(TOKEN))
    shell.api.on("GET /me", say(ADA))
    assert shell("login", "ada", "--password", "longenough").exit_code == 0


# --- accounts -----------------------------------------------------------------------------


def test_register_makes_an_account_and_logs_in(shell: Shell) -> None:
    shell.api.on("POST /users", say(ADA, status=201))
    shell.api.on("POST /tokens", say(TOKEN))
    shell.api.on("GET /me", say(ADA))
    result = shell("register", "ada", input="longenough\nlongenough\n")
    assert result.exit_code == 0
    assert "logged in as ada" in result.stdout
    assert load_config().logins[shell.url].token == TOKEN.token
    assert shell.api.requests("GET /me")[0].headers["authorization"] == f"Bearer {TOKEN.token}"


def test_the_token_is_for_this_user_alone(shell: Shell) -> None:
    log_in(shell)
    assert stat.S_IMODE(config_path().stat().st_mode) == 0o600
    assert [p.name for p in config_path().parent.iterdir()] == ["config.json"]


def test_a_token_is_only_sent_to_the_server_that_gave_it(shell: Shell) -> None:
    log_in(shell)
    other = StubApi()
    other.on("GET /problems", say(SUMMARY, SUMMARY))
    with serving(other) as url:
        assert shell("problems", "--url", url).exit_code == 0
    assert "authorization" not in other.seen[0].headers


def test_the_server_logged_in_to_is_the_one_used(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(shell)
    monkeypatch.delenv("OPJUDGE_URL")
    assert shell.json("whoami") == json.loads(ADA.model_dump_json())


def test_a_token_in_the_environment_comes_first(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(shell)
    monkeypatch.setenv("OPJUDGE_TOKEN", "from-ci")
    shell("whoami")
    assert shell.api.seen[-1].headers["authorization"] == "Bearer from-ci"


def test_logout_revokes_and_forgets(shell: Shell) -> None:
    log_in(shell)
    shell.api.on("DELETE /tokens/current", Reply(204))
    assert shell.json("logout") == {"url": shell.url}
    assert load_config().logins == {}
    assert len(shell.api.requests("DELETE /tokens/current")) == 1


def test_logout_forgets_a_token_that_was_worthless_already(shell: Shell) -> None:
    log_in(shell)
    shell.api.on("DELETE /tokens/current", refuse(401, "expired-token"))
    assert shell("logout").exit_code == 0
    assert load_config().logins == {}


def test_logout_keeps_it_when_the_server_is_in_trouble(shell: Shell) -> None:
    log_in(shell)
    shell.api.on("DELETE /tokens/current", refuse(500, "server-error"))
    assert shell("logout").exit_code == 4
    assert shell.url in load_config().logins


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["logout"], "not-logged-in"),
        (["login", "ada"], "no-password"),
        (["register", "a", "--password", "longenough"], "bad-name"),
        (["register", "ada", "--password", "short"], "bad-password"),
    ],
)
def test_account_mistakes(shell: Shell, argv: list[str], code: str) -> None:
    assert shell.json(*argv, code=1)["code"] == code


def test_a_wrong_password_is_told_as_the_server_tells_it(shell: Shell) -> None:
    shell.api.on("POST /tokens", refuse(401, "wrong-credentials", "wrong name or password"))
    result = shell("login", "ada", "--password", "longenough")
    assert result.exit_code == 1
    assert "wrong name or password" in result.stderr


def test_a_damaged_configuration_is_explained(shell: Shell) -> None:
    config_path().parent.mkdir(parents=True)
    config_path().write_text("{")
    assert shell.json("problems", code=1)["code"] == "bad-config"


# --- looking ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "answer", "argv", "words"),
    [
        ("GET /problems", say(SUMMARY, SUMMARY), ["problems"], ["row_scale", "Row scale", "cpu"]),
        (
            "GET /problems/row_scale",
            say(PROBLEM),
            ["problem", "show", "row_scale"],
            ["Multiply.", "def solve(x, y, eps):", "tiny: rows=2  sample", "1 hidden"],
        ),
        (
            "GET /standings/row_scale/cpu",
            say(BOARD),
            ["leaderboard", "row_scale"],
            ["row_scale on cpu", "baseline", "ada", "1.250x [1.200, 1.300]", "1.50 ms", "cpp"],
        ),
        (
            "GET /submissions",
            say(PAGE),
            ["submissions", "--user", "ada"],
            [str(SUBMISSION_ID), "ada", "row_scale/cpu", "AC", "1.250x", "--before 7"],
        ),
        (f"GET {S}", say(make_timing(7)), ["status", str(SUBMISSION_ID)], ["timing large 7/30"]),
        (f"POST {S}/cancel", say(make_detail(Status.CANCELLED)), ["cancel", str(SUBMISSION_ID)],
         ["cancelled"]),
    ],
)  # fmt: skip
def test_what_people_and_programs_are_shown(
    shell: Shell, route: str, answer: Reply, argv: list[str], words: list[str]
) -> None:
    shell.api.on(route, answer)
    shown = shell(*argv)
    assert shown.exit_code == 0
    assert [w for w in words if w not in shown.stdout] == []
    assert shell.json(*argv) == json.loads(answer.body)


def test_a_board_can_be_watched_until_the_server_is_gone(shell: Shell) -> None:
    events = "GET /standings/row_scale/cpu/events"
    gone = refuse(404, "unknown-problem", "the problem is gone")
    shell.api.on(events, stream(BoardChanged(revision=1)), gone)
    shell.api.on("GET /standings/row_scale/cpu", say(BOARD))
    result = shell("leaderboard", "row_scale", "--watch")
    assert result.exit_code == 1
    assert result.stdout.count("ada") == 1
    assert "the problem is gone" in result.stderr


def test_the_chinese_statement_is_there_for_the_asking(shell: Shell) -> None:
    shell.api.on("GET /problems/row_scale", say(PROBLEM))
    assert "行缩放" in shell("problem", "show", "row_scale", "--language", "zh").stdout


@pytest.mark.parametrize(
    ("verdict", "code"), [(Verdict.AC, 0), (Verdict.WA, 3), (Verdict.CE, 3), (Verdict.JE, 4)]
)
def test_the_exit_code_of_status_is_the_verdicts(shell: Shell, verdict: Verdict, code: int) -> None:
    shell.api.on(f"GET {S}", say(make_detail(Status.JUDGED, verdict)))
    assert shell("status", str(SUBMISSION_ID)).exit_code == code
    assert shell.json("status", str(SUBMISSION_ID), code=code)["verdict"] == verdict


# --- init ---------------------------------------------------------------------------------


def test_init_writes_the_servers_starter(shell: Shell) -> None:
    shell.api.on("GET /problems/row_scale", say(PROBLEM))
    assert shell("init", "row_scale").exit_code == 0
    assert (shell.folder / "row_scale.py").read_text() == "# begin\n"


def test_init_does_not_overwrite_unless_told(shell: Shell) -> None:
    shell.api.on("GET /problems/row_scale", say(PROBLEM))
    path = Path(shell.source("mine", "mine.py"))
    assert shell.json("init", "row_scale", "-o", "mine.py", code=1)["code"] == "file-exists"
    assert path.read_text() == "mine"
    assert shell("init", "row_scale", "-o", "mine.py", "--force").exit_code == 0
    assert path.read_text() == "# begin\n"


def test_init_says_which_languages_there_are_not(shell: Shell) -> None:
    shell.api.on("GET /problems/row_scale", say(PROBLEM))
    assert shell.json("init", "row_scale", "--lang", "cpp", code=1)["code"] == "no-starter"


def test_init_works_without_a_server(shell: Shell) -> None:
    result = shell("init", "row_softmax", "--lang", "cpp", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 0
    assert "problem=row_softmax" in (shell.folder / "row_softmax.cpp").read_text()


def test_init_without_a_server_and_without_such_a_problem_is_unreachable(shell: Shell) -> None:
    assert shell("init", "nothing", "--url", "http://127.0.0.1:9").exit_code == 4


# --- submit -------------------------------------------------------------------------------


def form(shell: Shell) -> dict[str, str]:
    body = shell.api.requests("POST /submissions")[-1].body.decode()
    return dict(re.findall(r'name="(\w+)"\r\n\r\n([^\r]*)\r\n', body))


def test_submit_takes_what_the_file_says(shell: Shell) -> None:
    shell.api.on("POST /submissions", say(make_detail(), status=201))
    result = shell("submit", shell.source(), "--no-watch")
    assert result.exit_code == 0
    sent = form(shell)
    assert (sent["problem"], sent["device"], sent["mode"]) == ("row_scale", "cpu", "benchmark")


def test_options_come_before_what_the_file_says(shell: Shell) -> None:
    shell.api.on("POST /submissions", say(make_detail(), status=201))
    argv = ["-p", "other", "-d", "h100", "-m", "test", "--id", str(SUBMISSION_ID)]
    shell("submit", shell.source(), "--no-watch", *argv)
    sent = form(shell)
    assert (sent["problem"], sent["device"], sent["mode"]) == ("other", "h100", "test")
    assert sent["id"] == str(SUBMISSION_ID)


def test_a_folder_travels_as_a_zip(shell: Shell) -> None:
    shell.api.on("POST /submissions", say(make_detail(), status=201))
    (shell.folder / "mine").mkdir()
    shell.source(SOURCE, "mine/solution.py")
    shell.source("helper = 1", "mine/helper.py")
    assert shell("submit", "mine", "--no-watch").exit_code == 0
    body = shell.api.requests("POST /submissions")[0].body
    assert b'filename="mine.zip"' in body
    assert b"PK" in body


def test_a_submission_is_followed_to_its_verdict(shell: Shell) -> None:
    shell.api.on("POST /submissions", say(make_detail(), status=201))
    shell.api.on(f"GET {S}/events", stream(make_detail(), make_timing(3), JUDGED))
    result = shell("submit", shell.source())
    assert result.exit_code == 0
    for line in ("queued, 2 ahead", "timing large 3/30", "AC accepted", "1.250x [1.200, 1.300]"):
        assert line in result.stdout
    assert "1.50 ms" in result.stdout
    assert "1.500x [1.400, 1.600]" in result.stdout


def test_with_json_only_the_final_state_is_printed(shell: Shell) -> None:
    shell.api.on("POST /submissions", say(make_detail(), status=201))
    shell.api.on(f"GET {S}/events", stream(make_timing(3), JUDGED))
    assert shell.json("submit", shell.source()) == json.loads(JUDGED.model_dump_json())


def test_a_wrong_answer_says_where_and_how_wrong(shell: Shell) -> None:
    wrong = make_result(Verdict.WA, runs=(WRONG_RUN,), stdout="hello from solve")
    shell.api.on("POST /submissions", say(make_detail(), status=201))
    judged = make_detail(Status.JUDGED, Verdict.WA, result=wrong)
    shell.api.on(f"GET {S}/events", stream(judged))
    result = shell("submit", shell.source())
    assert result.exit_code == 3
    for words in (
        "WA wrong answer",
        "the element gate: 2 of 6 elements are wrong",
        "y[0, 2]: expected 0.5, got 0.25",
        "3.1 % of the elements",
        "812 times what is allowed",
        "hello from solve",
    ):
        assert words in result.stdout


def test_a_compile_error_shows_the_compilers_words(shell: Shell) -> None:
    log = "s.cpp:3: error: [expected ';'"
    shell.api.on(f"GET {S}", say(make_detail(Status.JUDGED, Verdict.CE,
                                             result=make_result(Verdict.CE, log=log))))  # fmt: skip
    result = shell("status", str(SUBMISSION_ID))
    assert result.exit_code == 3
    assert log in result.stdout


def test_a_cancelled_submission_is_no_error(shell: Shell) -> None:
    shell.api.on("POST /submissions", say(make_detail(), status=201))
    shell.api.on(f"GET {S}/events", stream(make_detail(Status.CANCELLED)))
    result = shell("submit", shell.source())
    assert result.exit_code == 0
    assert "cancelled" in result.stdout


def test_interrupted_watching_says_how_to_go_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    shell.api.on("POST /submissions", say(make_detail(), status=201))
    monkeypatch.setattr("judge.cli.contestant.follow", interrupt)
    result = shell("submit", shell.source())
    assert result.exit_code == 130
    assert f"opjudge status {SUBMISSION_ID}" in result.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def solve(x, y): ...\n", "no-problem"),
        ("#!OPJUDGE problm=x\n", "bad-directive"),
        ("", "empty-submission"),
    ],
)
def test_a_file_that_cannot_be_sent_is_not(shell: Shell, text: str, code: str) -> None:
    assert shell.json("submit", shell.source(text), code=1)["code"] == code
    assert shell.api.seen == []


def test_a_file_that_is_not_there(shell: Shell) -> None:
    result = shell("submit", "nowhere.py")
    assert result.exit_code == 1
    assert "nowhere.py" in result.stderr
    assert "Traceback" not in result.output


# --- errors -------------------------------------------------------------------------------

COMMANDS = [
    ["problems"],
    ["problem", "show", "row_scale"],
    ["status", str(SUBMISSION_ID)],
    ["cancel", str(SUBMISSION_ID)],
    ["submissions"],
    ["leaderboard", "row_scale"],
    ["whoami"],
]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_no_server_is_exit_code_four_with_the_remedy(shell: Shell, argv: list[str]) -> None:
    result = shell(*argv, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "opjudge up" in result.stderr
    document = shell.json(*argv, "--url", "http://127.0.0.1:9", code=4)
    assert ProblemDocument.model_validate(document).code == "unreachable"


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_refusal_is_one_line_and_exit_code_one(shell: Shell, argv: list[str]) -> None:
    for path in ("/problems", "/problems/row_scale", S, "/submissions", "/me",
                 "/standings/row_scale/cpu"):  # fmt: skip
        shell.api.on(f"GET {path}", refuse(404, "unknown", "there is no such thing"))
    shell.api.on(f"POST {S}/cancel", refuse(404, "unknown", "there is no such thing"))
    result = shell(*argv)
    assert (result.exit_code, result.stderr) == (1, "opjudge: there is no such thing\n")
    assert shell.json(*argv, code=1)["status"] == 404


def test_a_server_in_trouble_is_exit_code_four(shell: Shell) -> None:
    shell.api.on("GET /problems", refuse(500, "server-error", "something went wrong"))
    assert shell("problems").exit_code == 4


def test_who_is_not_logged_in_is_told_how_to(shell: Shell) -> None:
    shell.api.on("GET /me", refuse(401, "invalid-token", "who are you?"))
    assert "opjudge login" in shell("whoami").stderr


@pytest.mark.parametrize(
    "argv",
    [["nonsense"], ["status", "not-a-uuid"], ["submissions", "--limit", "0"], ["init"]],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_two(shell: Shell, argv: list[str]) -> None:
    assert shell(*argv).exit_code == 2


def test_a_worker_without_a_token_is_told_where_one_comes_from(shell: Shell) -> None:
    document = shell.json("worker", "--data-dir", str(shell.folder), code=1)
    assert document["code"] == "no-worker-token"


def test_a_bad_setting_is_named(shell: Shell) -> None:
    document = shell.json("worker", "--device", "NOT A DEVICE", code=1)
    assert "OPJUDGE_DEVICE" in document["detail"]


def test_demo_knows_its_problems(shell: Shell) -> None:
    assert shell.json("demo", "-p", "nothing", code=1)["code"] == "unknown-problem"


# --- a process of its own -----------------------------------------------------------------


def test_contestants_commands_import_nothing_heavy() -> None:
    code = (
        "import sys, judge.cli, judge.cli.packages\n"
        "heavy = {'torch', 'numpy', 'fastapi', 'uvicorn', 'rq', 'redis', 'sqlmodel', 'structlog',"
        " 'leaderboard'}\n"
        "print(sorted(heavy & {m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_can_be_run_as_a_module() -> None:
    argv = [sys.executable, "-m", "judge.cli", "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("opjudge ")
