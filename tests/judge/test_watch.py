"""Following a judging: lines where nobody watches, a display where somebody does."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from judge.cli.output import Output, exit_code
from judge.cli.render import age, describe, duration, ratio, runs_table
from judge.cli.watch import _Display, following, watch_board
from judge.verdict import Status, Verdict
from judge.wire import Interval, Progress
from tests.judge.samples import BOARD, JUDGED, make_detail, make_run, make_timing


def make_output(*, as_json: bool = False, terminal: bool = False) -> tuple[Output, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    return Output(as_json, console, Console(stderr=True)), text


def report_everything(output: Output) -> None:
    with following(output) as report:
        report(Progress(status=Status.BUILDING))
        for done in range(100):
            report(Progress(status=Status.TIMING, workload=f"w{done % 3}", done=done, total=100))


def test_lines_are_few_where_nobody_watches() -> None:
    output, text = make_output()
    report_everything(output)
    assert text.getvalue().splitlines() == ["building", "timing w0 0/100"]


def test_with_json_there_are_none() -> None:
    output, text = make_output(as_json=True)
    report_everything(output)
    assert text.getvalue() == ""


def test_a_terminal_gets_a_display_that_goes_away() -> None:
    output, text = make_output(terminal=True)
    report_everything(output)
    shown = text.getvalue()
    assert "99/100" in shown
    assert shown.endswith("\x1b[1A\x1b[2K") or "\x1b[2K" in shown.rpartition("99/100")[2]


def test_the_display_shows_what_is_done_and_what_is_not() -> None:
    display = _Display()
    display.update(Status.CHECKING, "checking tiny 1/4",
                   Progress(status=Status.CHECKING, done=1, total=4))  # fmt: skip
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(display)
    shown = console.export_text()
    assert "queued ✓" in shown
    assert "building ✓" in shown
    assert "timing ✓" not in shown
    assert "checking tiny 1/4" in shown


def test_a_board_is_shown_in_place_on_a_terminal() -> None:
    output, text = make_output(terminal=True)
    watch_board(iter([BOARD, BOARD]), output)
    shown = text.getvalue()
    assert shown.count("ada") > 1
    assert "\x1b[1A\x1b[2K" in shown


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        (make_detail(), "queued, 2 ahead"),
        (make_detail(queue_position=None), "queued"),
        (make_detail(Status.BUILDING), "building"),
        (make_timing(7), "timing large 7/30"),
        (JUDGED, "AC"),
        (make_detail(Status.CANCELLED), "cancelled"),
    ],
)
def test_where_a_submission_is_in_one_line(detail: object, text: str) -> None:
    assert describe(detail) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, ""),
        (0.4, "0 ns"),
        (999.0, "999 ns"),
        (1500.0, "1.50 µs"),
        (123_456.0, "123 µs"),
        (5.5e6, "5.50 ms"),
        (1.25e10, "12.5 s"),
    ],
)
def test_durations_have_three_digits_and_a_unit(ns: float | None, text: str) -> None:
    assert duration(ns) == text


def test_a_ratio_carries_its_interval() -> None:
    console = Console(file=io.StringIO(), record=True)
    console.print(ratio(Interval(value=1.5, low=1.25, high=1.75)))
    assert console.export_text() == "1.500x [1.250, 1.750]\n"
    assert ratio(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s ago"), (120, "2 min ago"), (7200, "2 h ago"), (172800, "2 d ago")],
)
def test_ages_are_rough(seconds: int, text: str) -> None:
    assert age(datetime.now(UTC) - timedelta(seconds=seconds)) == text


def test_names_are_shown_as_they_are() -> None:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(runs_table([make_run(workload="a[red]b")]))
    assert "a[red]b" in console.export_text()


def test_untimed_runs_need_no_columns_for_times() -> None:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(runs_table([make_run(latency_ns=None, speedup=None)]))
    assert "latency" not in console.export_text()


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_an_exit_code(verdict: Verdict) -> None:
    expected = {Verdict.AC: 0, Verdict.JE: 4}.get(verdict, 3)
    assert exit_code(verdict) == expected
