"""What every command has in common: one JSON document or text for people, and the exit code."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from typer.core import TyperGroup

from judge.errors import ApiError, InfrastructureError, UserError
from judge.verdict import Verdict
from judge.wire import ProblemDocument
from sandbox.base import SandboxError

OK, ERROR, NOT_ACCEPTED, UNREACHABLE, INTERRUPTED = 0, 1, 3, 4, 130
"""Exit codes; 2 is Typer's own, for a wrong command line."""

_PIPE_WIDTH = 160
_ANYTHING = TypeAdapter(Any)


@dataclass
class State:
    """What the command line said that errors need to know too."""

    as_json: bool = False


@dataclass(frozen=True)
class Output:
    """Where a command speaks to."""

    as_json: bool
    console: Console
    errors: Console

    @property
    def live(self) -> bool:
        """Whether there is a person at a terminal who can watch something move."""
        return self.console.is_terminal and not self.as_json

    def say(self, text: str) -> None:
        """A line for people only."""
        if not self.as_json:
            self.console.print(text, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line for people that must not spoil the result."""
        self.errors.print(text, highlight=False, markup=False, soft_wrap=True)

    def result(
        self, document: BaseModel | Sequence[BaseModel] | dict[str, Any], show: Callable[[], None]
    ) -> None:
        """The command's result: the one JSON document, or what `show` prints."""
        if self.as_json:
            typer.echo(_ANYTHING.dump_json(document, indent=2).decode())
        else:
            show()


def _remember(context: typer.Context, as_json: bool) -> bool:
    context.ensure_object(State).as_json = as_json
    return as_json


Json = Annotated[
    bool, typer.Option("--json", callback=_remember, help="Print one JSON document, nothing else.")
]


def make_output(as_json: bool) -> Output:
    """Speak to stdout and stderr as they are now."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # Nobody looks at a pipe through a window of 80 columns; a file must not lose its ids.
        console = Console(width=_PIPE_WIDTH)
    return Output(as_json, console, Console(stderr=True))


def exit_code(verdict: Verdict | None) -> int:
    """The exit code a verdict stands for."""
    if verdict is None or verdict is Verdict.AC:
        return OK
    return UNREACHABLE if verdict is Verdict.JE else NOT_ACCEPTED


class Commands(TyperGroup):
    """The root command: no error gets past it as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        state = ctx.ensure_object(State)
        try:
            return super().invoke(ctx)
        except (UserError, InfrastructureError, SandboxError, OSError) as error:
            raise typer.Exit(report(error, as_json=state.as_json)) from error


def report(error: Exception, *, as_json: bool) -> int:
    """Tell a person (and with --json a program) what went wrong; returns the exit code."""
    code, status, exits = "error", 0, ERROR
    text = str(error)
    if isinstance(error, UserError):
        code = error.code
    elif not isinstance(error, OSError):
        code, exits = "judging-error", UNREACHABLE
    if isinstance(error, ApiError):
        status = error.status
        exits = UNREACHABLE if status == 0 or status >= 500 else ERROR
        if status == 401:
            text += " (log in with `opjudge login`)"
    if as_json:
        document = ProblemDocument(
            title=code.replace("-", " "), status=status, detail=text, code=code
        )
        typer.echo(document.model_dump_json(indent=2))
    Console(stderr=True).print(f"opjudge: {text}", highlight=False, markup=False, soft_wrap=True)
    return exits


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around late imports of what only an extra brings."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("judge", "leaderboard", "sandbox"):
            raise
        raise UserError(
            f"this command needs {error.name}, which is not installed: "
            f"pip install 'opjudge[{extra}]'",
            code="missing-extra",
        ) from error
