"""`opjudge demo` on a terminal."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from judge.cli.output import ERROR, INTERRUPTED, OK, Output
from judge.cli.render import board, describe, ratio, verdict_text
from judge.demo import (
    DemoOptions,
    Entry,
    boards,
    enrol,
    look_on,
    make_entries,
    running,
    send_in,
    workplace,
)
from judge.wire import Standings


def run_demo(options: DemoOptions, output: Output) -> int:
    """Run it until Ctrl-C, or with `leave` until all is judged; returns the exit code."""
    code = INTERRUPTED
    with contextlib.suppress(KeyboardInterrupt), workplace(options) as folder:
        entries = make_entries(options, folder)
        with running(options, folder) as (url, wait):
            output.say(f"opjudge is up at [bold]{url}[/]")
            _judge_all(url, entries, output)
            code = _report(url, entries, output)
            if not options.leave:
                output.say(f"the boards are at [bold]{url}[/]; Ctrl-C ends the demo")
                wait()
    return code


def _judge_all(url: str, entries: Sequence[Entry], output: Output) -> None:
    people = len({entry.user for entry in entries})
    output.say(f"{people} contestants register and send in {len(entries)} submissions ...")
    enrol(url, entries)
    send_in(url, entries)
    with _shown(entries, output) as show:
        look_on(url, entries, show)


@contextlib.contextmanager
def _shown(entries: Sequence[Entry], output: Output) -> Iterator[Callable[[Entry], None]]:
    """A line per verdict; below them, on a terminal, what is being judged now."""
    if not output.live:
        yield lambda entry: output.say(_line(entry)) if entry.done else None
        return
    with Live(console=output.console, transient=True) as live:

        def show(entry: Entry) -> None:
            if entry.done:
                live.console.print(_line(entry), highlight=False)
            done = sum(entry.done for entry in entries)
            now = "" if entry.done or entry.detail is None else describe(entry.detail)
            live.update(Text(f"{done}/{len(entries)} judged  {entry.problem} {now}"))

        yield show


def _line(entry: Entry) -> str:
    if entry.detail is None or entry.detail.verdict is None:
        return f"- {entry.problem} {entry.expectation.path}: not judged"
    verdict = verdict_text(entry.detail.verdict)
    mark = "[red]✗[/]" if entry.complaint else "[green]✓[/]"
    place = f"{entry.problem} {escape(entry.expectation.path)}"
    figures = ratio(entry.detail.score)
    return f"{mark} {verdict.markup:<4} {place}  [dim]{entry.user}[/] {figures} {entry.complaint}"


def _report(url: str, entries: Sequence[Entry], output: Output) -> int:
    standings = boards(url, entries)
    wrong = [entry for entry in entries if entry.complaint]
    document = _document(url, entries, standings)
    output.result(document, lambda: _show_boards(standings, wrong, len(entries), output))
    return ERROR if wrong else OK


def _show_boards(
    standings: Sequence[Standings], wrong: Sequence[Entry], total: int, output: Output
) -> None:
    for each in standings:
        output.console.print()
        output.console.print(board(each))
    output.console.print()
    if not wrong:
        output.say(f"[green]all {total} verdicts are as the packages expect[/]")
        return
    table = Table(title=f"{len(wrong)} of {total} verdicts are not as expected", style="red")
    for name in ("problem", "submission", "complaint", "id"):
        table.add_column(name)
    for entry in wrong:
        identity = str(entry.detail.id) if entry.detail else ""
        table.add_row(entry.problem, entry.expectation.path, entry.complaint, identity)
    output.console.print(table)


def _document(url: str, entries: Sequence[Entry], standings: Sequence[Standings]) -> dict[str, Any]:
    return {
        "url": url,
        "ok": not any(entry.complaint for entry in entries),
        "submissions": [
            {
                "problem": entry.problem,
                "path": entry.expectation.path,
                "user": entry.user,
                "permitted": sorted(entry.expectation.permitted),
                "complaint": entry.complaint,
                "submission": entry.detail,
            }
            for entry in entries
        ],
        "boards": list(standings),
    }
