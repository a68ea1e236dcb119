"""record, keys, verify-record; admin recompute: scores that anybody can check."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from judge.cli.config import connect
from judge.cli.contestant import SubmissionId
from judge.cli.options import DataDir, Url
from judge.cli.output import NOT_ACCEPTED, OK, Json, make_output, needs
from judge.defaults import DEFAULT_DATA_DIR
from judge.errors import UserError

OutputFile = Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")]
RecordFile = Annotated[Path, typer.Argument(metavar="FILE", help="As `record` wrote it.")]


def record(
    submission_id: SubmissionId,
    output_file: OutputFile,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Not the current judgement but this.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Download the signed record of a judgement: what its score was made from."""
    output = make_output(as_json)
    with connect(url) as client:
        output_file.write_bytes(client.record(submission_id, attempt))
    output.result(
        {"submission_id": str(submission_id), "path": str(output_file)},
        lambda: output.say(
            f"wrote {output_file}; check it with [bold]opjudge verify-record {output_file}[/]"
        ),
    )


def keys(output_file: OutputFile, url: Url = None, as_json: Json = False) -> None:
    """Download the keys a server signs with, for `verify-record --key`."""
    output = make_output(as_json)
    with connect(url) as client:
        output_file.write_bytes(client.keys())
    output.result({"path": str(output_file)}, lambda: output.say(f"wrote {output_file}"))


def verify_record(
    file: RecordFile,
    key: Annotated[
        Path | None, typer.Option("--key", help="The server's keys, as `opjudge keys` wrote them.")
    ] = None,
    board: Annotated[
        Path | None, typer.Option("--board", help="As `opjudge leaderboard --json` printed it.")
    ] = None,
    earlier: Annotated[
        Path | None,
        typer.Option("--earlier", help="The record from when its workloads were still hidden."),
    ] = None,
    pooled: Annotated[
        list[Path] | None,
        typer.Option("--pooled", help="A record of another judging of the same artifact."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute a record's score and rank again, without the server. Exit code 3 if it is wrong."""
    output = make_output(as_json)
    with needs("verify"):
        from judge.recheck import recheck, summary

    found = recheck(file, key, board, earlier, pooled or ())

    def show() -> None:
        for line in summary(found.checks):
            output.console.print(line, markup=False, highlight=False, soft_wrap=True)
        output.say("[bold green]nothing disagrees[/]" if found.ok else "[bold red]wrong[/]")

    output.result(found, show)
    raise typer.Exit(OK if found.ok else NOT_ACCEPTED)


def recompute(
    problem: Annotated[
        str | None, typer.Option("--problem", "-p", help="Only this problem's.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Compute every stored score again from its raw times. Exit code 3 if one is wrong."""
    make_output(as_json)
    if importlib.util.find_spec("sqlmodel") is None:
        raise UserError(
            "this command needs sqlmodel, which is not installed: pip install 'opjudge[server]'",
            code="missing-extra",
        )
    # The judge knows no database: the service's own program does the work.
    command = [sys.executable, "-m", "leaderboard.recompute"]
    command += ["--problem", problem] if problem else []
    command += ["--json"] if as_json else []
    environment = {**os.environ, "OPJUDGE_DATA_DIR": str(data_dir)}
    raise typer.Exit(subprocess.run(command, env=environment).returncode)
