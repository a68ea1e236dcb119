"""What contestants do: problems, init, test, submit, status, submissions, leaderboard."""

from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer

from judge.cli.config import connect
from judge.cli.options import Device, File, LanguageOption, ModeOption, Sandbox, Url
from judge.cli.output import INTERRUPTED, OK, Json, Output, exit_code, make_output
from judge.cli.render import board, problems_table, show_detail, show_result, submissions_table
from judge.cli.watch import follow, following, watch_board
from judge.client import Client
from judge.errors import UserError
from judge.verdict import Language, Mode, Status
from judge.wire import JudgementResult, ProblemDetail, SubmissionDetail

_SOURCE_LIMIT_BYTES = 16 << 20  # the largest any problem can allow; the server knows its own

Slug = Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem, as `problems` lists it.")]
SubmissionId = Annotated[UUID, typer.Argument(metavar="ID", help="As `submit` printed it.")]
ProblemOption = Annotated[
    str | None,
    typer.Option("--problem", "-p", help="The problem, if the file does not say."),
]
Picture = Annotated[
    Path | None,
    typer.Option("--picture", metavar="FILE", help="Save the error picture, a PNG."),
]
Watch = Annotated[bool, typer.Option("--watch/--no-watch", help="Follow it to its verdict.")]


def problems(url: Url = None, as_json: Json = False) -> None:
    """List the problems of a server."""
    output = make_output(as_json)
    with connect(url) as client:
        found = client.problems()
    output.result(found, lambda: output.console.print(problems_table(found)))


def show(
    problem: Slug,
    language: Annotated[str, typer.Option("--language", help="Of the statement.")] = "en",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show a problem's statement, signatures and workloads."""
    output = make_output(as_json)
    with connect(url) as client:
        detail = client.problem(problem)
    output.result(detail, lambda: _show_problem(output, detail, language))


def _show_problem(output: Output, detail: ProblemDetail, language: str) -> None:
    from rich.markdown import Markdown

    statement = detail.statement.get(language) or detail.statement["en"]
    output.console.print(Markdown(statement))
    for signature in detail.signature.values():
        output.console.print(signature, markup=False)
    for workload in detail.workloads:
        dims = ", ".join(f"{k}={v}" for k, v in {**workload.dims, **workload.attributes}.items())
        marks = " ".join(
            m
            for m, on in (
                ("sample", workload.sample),
                ("timed", workload.timed),
                ("cold cache", workload.cache == "cold"),
            )
            if on
        )
        output.console.print(f"  {workload.name}: {dims}  {marks}", markup=False, highlight=False)
    if detail.hidden_workloads:
        output.console.print(f"  and {detail.hidden_workloads} hidden", highlight=False)
    if (certificate := detail.certificate) is not None:
        near = "" if certificate.gap is None else f", the nearest by {certificate.gap:.3g} times"
        output.console.print(
            f"  {certificate.tried} wrong outputs made on purpose are all refused{near}",
            highlight=False,
        )


def init(
    problem: Slug,
    language: LanguageOption = Language.PYTHON,
    path: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; named after the problem.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Write a first file to begin from."""
    from judge.cli.packages import find_starter

    output = make_output(as_json)
    starter = find_starter(problem, language or Language.PYTHON, url)
    target = path or Path(problem + Path(starter.filename).suffix)
    if target.exists() and not force:
        raise UserError(f"{target} exists; use --force to overwrite it", code="file-exists")
    target.write_text(starter.content, encoding="utf-8")
    document = {"problem": problem, "language": starter.language, "path": str(target)}
    output.result(
        document,
        lambda: output.say(
            f"wrote {target}; try it with [bold]opjudge test {target}[/], "
            f"send it in with [bold]opjudge submit {target}[/]"
        ),
    )


def judge_here(
    file: File,
    problem: ProblemOption = None,
    language: LanguageOption = None,
    mode: ModeOption = Mode.TEST,
    url: Url = None,
    sandbox: Sandbox = "bubblewrap",
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Judge a file here, by the very code the server uses. --problem may name a folder, too."""
    from judge.cli import packages
    from judge.source import read_source

    output = make_output(as_json)
    source = read_source(file, limit_bytes=_SOURCE_LIMIT_BYTES, language=language)
    package = packages.find_package(
        _problem_of(problem, source.directives.get("problem"), file), url
    )
    with following(output) as report:
        result = packages.judge_here(package, source, mode or Mode.TEST, sandbox, report)
    title = f"{package.slug}, {mode or Mode.TEST}, judged here"
    output.result(result, lambda: show_result(output.console, result, title))
    if picture is not None:
        _save_picture(output, result, picture)
    raise typer.Exit(exit_code(result.verdict))


def submit(
    file: File,
    problem: ProblemOption = None,
    device: Device = None,
    mode: ModeOption = None,
    language: LanguageOption = None,
    watch: Watch = True,
    submission_id: Annotated[
        UUID | None,
        typer.Option("--id", help="Repeat a submit under the same id and it counts once."),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send a file in and follow it to its verdict. Directives in it stand in for options."""
    from judge.cli.packages import read_upload
    from judge.source import read_source

    output = make_output(as_json)
    source = read_source(file, limit_bytes=_SOURCE_LIMIT_BYTES, language=language)
    said = source.directives
    with connect(url) as client:
        detail = client.submit(
            submission_id or uuid4(),
            read_upload(file, source),
            problem=_problem_of(problem, said.get("problem"), file),
            device=device or said.get("device") or "cpu",
            mode=mode or Mode(said.get("mode", Mode.RANKED)),
            language=language,
        )
        _finish(client, detail, output, watch=watch)


def _problem_of(option: str | None, directive: str | None, file: Path) -> str:
    problem = option or directive
    if problem is None:
        raise UserError(
            f"{file} does not say which problem it solves: give --problem, or begin the file with "
            "`#!OPJUDGE problem=NAME` (`//!OPJUDGE` in C++)",
            code="no-problem",
        )
    return problem


def _finish(client: Client, detail: SubmissionDetail, output: Output, *, watch: bool) -> None:
    """Follow a submission if asked to, show it, and end with the code its verdict stands for."""
    if watch:
        output.say(f"[dim]{detail.id}  {detail.url}[/]")
        try:
            detail = follow(client, detail, output)
        except KeyboardInterrupt:
            output.warn(f"judging goes on: opjudge status {detail.id}")
            raise typer.Exit(INTERRUPTED) from None
        if detail.status is Status.JUDGED and detail.result is None:
            detail = client.submission(detail.id)
    output.result(detail, lambda: show_detail(output.console, detail))
    raise typer.Exit(exit_code(detail.verdict) if detail.status is Status.JUDGED else OK)


def status(
    submission_id: SubmissionId,
    watch: Watch = False,
    picture: Picture = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show a submission: where it is, or what it got."""
    output = make_output(as_json)
    with connect(url) as client:
        detail = client.submission(submission_id)
        if picture is not None:
            _save_picture(output, detail.result, picture)
        _finish(client, detail, output, watch=watch)


def _save_picture(output: Output, result: JudgementResult | None, file: Path) -> None:
    """Write the error picture, or say why there is none."""
    drawn = [run for run in (result.runs if result else ()) if run.error and run.error.picture]
    if not drawn or drawn[0].error is None or drawn[0].error.picture is None:
        output.warn(
            "no picture: one is drawn where an output of a sample workload is wrong, "
            "for the submission's author"
        )
        return
    try:
        file.write_bytes(drawn[0].error.picture)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}", code="cannot-write") from error
    rows, columns = drawn[0].error.tile or (1, 1)
    output.warn(f"{drawn[0].workload}: {file}, a tile is {rows} x {columns} elements")


def cancel(submission_id: SubmissionId, url: Url = None, as_json: Json = False) -> None:
    """Withdraw a submission that is not judged yet."""
    output = make_output(as_json)
    with connect(url) as client:
        detail = client.cancel(submission_id)
    output.result(detail, lambda: show_detail(output.console, detail))


def submissions(
    user: Annotated[str | None, typer.Option("--user", "-u", help="Only this person's.")] = None,
    problem: ProblemOption = None,
    before: Annotated[
        str | None, typer.Option("--before", help="Go on where the list ended.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100)] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List submissions, newest first."""
    output = make_output(as_json)
    with connect(url) as client:
        page = client.submissions(user=user, problem=problem, before=before, limit=limit)

    def show() -> None:
        output.console.print(submissions_table(page.items))
        if page.next is not None:
            output.say(f"[dim]more: --before {page.next}[/]")

    output.result(page, show)


def leaderboard(
    problem: Slug,
    device: Device = "cpu",
    watch: Annotated[bool, typer.Option("--watch", help="Keep it up to date.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show a problem's board."""
    output = make_output(as_json)
    with connect(url) as client:
        if watch and not as_json:
            watch_board(client.watch_standings(problem, device or "cpu"), output)
            return
        standings = client.standings(problem, device or "cpu")
    output.result(standings, lambda: output.console.print(board(standings)))
