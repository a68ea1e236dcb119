"""The `opjudge` command.

What contestants use imports neither torch nor a web framework nor RQ: the bare install has none of
them, and a command must answer at once. Commands that need more import it when they run.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from judge.cli import account, admin, author, contestant, finals, operator, records
from judge.cli.output import Commands

__all__ = ["app", "main"]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"opjudge {version('opjudge')}")
        except PackageNotFoundError:
            typer.echo("opjudge (not installed, running from its sources)")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A judge for operator-development challenges."""


app = typer.Typer(
    cls=Commands,
    callback=_root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 accepted or done, 1 error, 2 wrong usage, 3 not accepted, "
    "4 no server or a judging error.",
)
_PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Contestants": {
        "problems": contestant.problems,
        "init": contestant.init,
        "test": contestant.judge_here,
        "submit": contestant.submit,
        "status": contestant.status,
        "cancel": contestant.cancel,
        "submissions": contestant.submissions,
        "leaderboard": contestant.leaderboard,
        "record": records.record,
        "keys": records.keys,
        "verify-record": records.verify_record,
    },
    "Account": {
        "register": account.register,
        "login": account.login,
        "logout": account.logout,
        "whoami": account.whoami,
    },
    "Operators": {
        "up": operator.up,
        "demo": operator.demo,
        "worker": operator.worker,
        "server": operator.server,
        "doctor": operator.doctor,
        "finals": finals.finals,
        "systemd": operator.systemd,
        "backup": admin.backup,
        "restore": admin.restore,
    },
}
for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command)

_problem = typer.Typer(no_args_is_help=True, help="Look at a problem, or verify one of your own.")
_problem.command()(contestant.show)
_problem.command()(author.verify)
app.add_typer(_problem, name="problem", rich_help_panel="Contestants")
admin.commands.command()(records.recompute)
app.add_typer(admin.commands, name="admin", rich_help_panel="Operators")


def main() -> None:
    """Entry point of the console script."""
    app()
