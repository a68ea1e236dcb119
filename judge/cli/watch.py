"""Following a judging: a moving display on a terminal, plain lines everywhere else."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from judge.cli.output import Output
from judge.cli.render import board, describe
from judge.client import Client
from judge.verdict import Status
from judge.wire import Progress, Standings, SubmissionDetail

_LINE_EVERY_S = 3.0
_STAGES = (Status.QUEUED, Status.BUILDING, Status.CHECKING, Status.TIMING)


def follow(client: Client, first: SubmissionDetail, output: Output) -> SubmissionDetail:
    """Show a submission until it is judged or cancelled; returns its final state."""
    last = first
    if first.status.final:
        return first
    with _shown(output) as show:
        show(first.status, describe(first), first.progress)
        for detail in client.watch(first.id):
            show(detail.status, describe(detail), detail.progress)
            last = detail
    return last


@contextmanager
def following(output: Output) -> Iterator[Callable[[Progress], None]]:
    """Shows the progress of a judging in this process."""
    with _shown(output) as show:

        def report(progress: Progress) -> None:
            parts = [progress.status.value, progress.workload or ""]
            if progress.total:
                parts.append(f"{progress.done}/{progress.total}")
            show(progress.status, " ".join(filter(None, parts)), progress)

        yield report


def watch_board(boards: Iterator[Standings], output: Output) -> None:
    """Show each new state of a board: in place on a terminal, one below the other elsewhere."""
    with contextlib.suppress(KeyboardInterrupt):
        if not output.live:
            for standings in boards:
                output.console.print(board(standings))
            return
        with Live(console=output.console, auto_refresh=False) as live:
            for standings in boards:
                live.update(board(standings), refresh=True)


Show = Callable[[Status, str, Progress | None], None]


@contextmanager
def _shown(output: Output) -> Iterator[Show]:
    if output.live:
        display = _Display()
        with Live(display, console=output.console, transient=True, refresh_per_second=8):
            yield display.update
    elif output.as_json:
        yield lambda _status, _text, _progress: None
    else:
        yield _Lines(output).update


class _Lines:
    """A line for each new stage or place in the queue, and one every few seconds in between."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: tuple[Status, str] | None = None
        self._next_s = 0.0

    def update(self, status: Status, text: str, _progress: Progress | None) -> None:
        if status.final:
            return
        new = self._last is None or self._last[0] is not status
        due = time.monotonic() >= self._next_s or status is Status.QUEUED
        if new or (due and self._last != (status, text)):
            self._last = status, text
            self._next_s = time.monotonic() + _LINE_EVERY_S
            self._output.say(text)


class _Display:
    """The stages, the one in work with a bar."""

    def __init__(self) -> None:
        self._status, self._text = Status.QUEUED, ""
        self._progress: Progress | None = None
        self._spinner = Spinner("dots")
        self._since_s = time.monotonic()

    def update(self, status: Status, text: str, progress: Progress | None) -> None:
        if status is not self._status:
            self._since_s = time.monotonic()
        self._status, self._text, self._progress = status, text, progress

    def __rich__(self) -> RenderableType:
        line = Table.grid(padding=(0, 1))
        line.add_row(self._spinner, *(self._stage(stage) for stage in _STAGES))
        elapsed = f"{time.monotonic() - self._since_s:.0f} s"
        below = Table.grid(padding=(0, 1))
        progress = self._progress
        if progress is not None and progress.total:
            bar = ProgressBar(total=progress.total, completed=progress.done, width=30)
            below.add_row(" ", bar, Text(self._text), Text(elapsed, style="dim"))
        else:
            below.add_row(" ", Text(self._text), Text(elapsed, style="dim"))
        return Group(line, below)

    def _stage(self, stage: Status) -> Text:
        if stage is self._status:
            return Text(stage.value, style="bold cyan")
        done = self._status.final or _STAGES.index(stage) < _STAGES.index(self._status)
        return Text(f"{stage.value} ✓" if done else stage.value, style="green" if done else "dim")
