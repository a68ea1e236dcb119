"""backup, restore, admin: what whoever looks after a server's data does.

The judge knows no database: the work is done by the service's own command line, in another process.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from judge.cli.options import DataDir
from judge.cli.output import Json, make_output
from judge.defaults import DEFAULT_DATA_DIR
from judge.errors import UserError

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="One file, for everything.")]


def backup(file: BackupFile, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Write everything a server knows into one file, while it runs."""
    _hand_over(["backup", str(file)], data_dir, as_json)


def restore(file: BackupFile, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Fill the empty database of a server that was never started from a backup."""
    _hand_over(["restore", str(file)], data_dir, as_json)


def rebuild(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Make every board anew from the judgements, and say which were different."""
    _hand_over(["rebuild"], data_dir, as_json)


def prune(
    days: Annotated[
        int, typer.Option("--days", min=1, help="Keep all raw times that are younger.")
    ] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Give up raw times that no score on a board needs, expired tokens, unused packages."""
    arguments = ["prune", "--days", str(days), *(["--dry-run"] if dry_run else [])]
    _hand_over(arguments, data_dir, as_json)


def rejudge(
    submissions: Annotated[
        list[UUID], typer.Argument(metavar="ID...", help="Submissions that have ended.")
    ],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Judge submissions again, by the version of their problem that is on offer now."""
    _hand_over(["rejudge", *map(str, submissions)], data_dir, as_json)


def audit(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="So many lines.")] = 50,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show who did what, newest first."""
    _hand_over(["audit", "--limit", str(limit)], data_dir, as_json)


def canary(
    now: Annotated[bool, typer.Option("--now", help="Hand every known program in.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Tell whether known cheats, wrong and honest programs were judged as they must be.

    Exit code 3 if one of the last day was not.
    """
    _hand_over(["canary", *(["--now"] if now else [])], data_dir, as_json)


def password(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Set somebody's password to OPJUDGE_PASSWORD, or to a new one that is shown; end all sessions.

    The running server need not be stopped.
    """
    _hand_over(["password", name], data_dir, as_json)


def _hand_over(arguments: list[str], data_dir: Path, as_json: bool) -> None:
    make_output(as_json)
    if importlib.util.find_spec("sqlmodel") is None:
        raise UserError(
            "this command needs sqlmodel, which is not installed: pip install 'opjudge[server]'",
            code="missing-extra",
        )
    command = [sys.executable, "-m", "leaderboard.operate", *arguments]
    environment = {**os.environ, "OPJUDGE_DATA_DIR": str(data_dir)}
    done = subprocess.run([*command, *(["--json"] if as_json else [])], env=environment)
    raise typer.Exit(done.returncode)


commands = typer.Typer(no_args_is_help=True, help="Look after a server's data.")
for _command in (rebuild, prune, rejudge, audit, canary, password):
    commands.command()(_command)
