"""Results, boards and lists as a terminal shows them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from judge.counters import beyond_its_clock
from judge.verdict import Status, Verdict
from judge.wire import (
    Certificate,
    CpuUse,
    ErrorReport,
    Interval,
    JudgementResult,
    ProblemSummary,
    Run,
    Standings,
    SubmissionDetail,
    SubmissionSummary,
    Trial,
)

_STYLES = {Verdict.AC: "bold green", Verdict.JE: "bold yellow", Verdict.SV: "bold magenta"}
_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def duration(ns: float | None) -> str:
    """Nanoseconds with three digits that matter, in the unit that suits them."""
    if ns is None:
        return ""
    for size, unit in _UNITS:
        if ns >= size:
            return f"{ns / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{ns:.0f} ns"


def ratio(interval: Interval | None) -> str:
    """A speed-up with its interval."""
    if interval is None:
        return ""
    return f"{interval.value:.3f}x \\[{interval.low:.3f}, {interval.high:.3f}]"


def age(moment: datetime | None) -> str:
    """How long ago, roughly."""
    if moment is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def verdict_text(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text("-", style="dim")
    return Text(verdict.value, style=_STYLES.get(verdict, "bold red"))


def error_lines(error: ErrorReport) -> Iterable[str]:
    """Where and how wrong an output is, in words."""
    if error.index is not None:
        place = ", ".join(str(i) for i in error.index)
        output = error.output or "output"
        yield f"{output}[{place}]: expected {_figure(error.expected)}, got {_figure(error.got)}"
    if error.share_wrong:
        yield f"{100 * error.share_wrong:.3g} % of the elements are beyond their tolerance"
    if error.max_error is not None:
        yield f"the worst error is {error.max_error:.3g} times what is allowed"
    if error.picture is not None:
        yield "a picture shows where: --picture FILE.png"


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.9g}"


def runs_table(runs: Iterable[Run]) -> Table:
    shown = tuple(runs)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("workload", overflow="fold")
    table.add_column("verdict")
    figures = ("latency", "baseline", "speed-up (95 %)", "GFLOP/s", "GB/s", "roofline")
    timed = any(run.latency_ns is not None for run in shown)
    for name in figures if timed else ():
        table.add_column(name, justify="right", no_wrap=True)
    for run in shown:
        cells = (
            duration(run.latency_ns),
            duration(run.baseline_ns),
            ratio(run.speedup),
            "" if run.gflops is None else f"{run.gflops:.3g}",
            "" if run.gbps is None else f"{run.gbps:.3g}",
            "" if run.roofline is None else f"{100 * run.roofline:.3g} %",
        )
        label = Text(run.workload, style="italic" if run.hidden else "")
        table.add_row(label, verdict_text(run.verdict), *(cells if timed else ()))
    return table


def show_result(console: Console, result: JudgementResult, title: str) -> None:
    """A judgement: the verdict first, then where it went wrong, then figures."""
    verdict = verdict_text(result.verdict)
    head = Text.assemble(verdict, f" {result.verdict.meaning}", "  ", (title, "dim"))
    console.print(head, soft_wrap=True)
    if result.score is not None:
        share = (
            "" if result.roofline is None else f", {100 * result.roofline:.3g} % of the roofline"
        )
        console.print(
            f"[bold]speed-up {ratio(result.score)}[/] over the baseline, 95 % interval{share}"
        )
    if result.quarantine:
        names = ", ".join(result.quarantine)
        why = (
            "the program did more than its clock has seen"
            if beyond_its_clock(result.cpu)
            else f"{names} took less time than this device needs to move the data"
        )
        console.print(
            f"not ranked until an organizer has looked: {why}", markup=False, soft_wrap=True
        )
    if result.cpu is not None and (result.score is not None or result.quarantine):
        console.print(cpu_text(result.cpu), style="dim", soft_wrap=True)
    for drift in result.drift:
        console.print(
            f"{drift.workload}: the baseline took {duration(drift.baseline_ns)}; it usually takes "
            f"{duration(drift.low_ns)} to {duration(drift.high_ns)} on this worker",
            markup=False,
            soft_wrap=True,
        )
    if result.runs:
        console.print(runs_table(result.runs))
    for run in result.runs:
        for line in _complaint(run):
            console.print(f"  {run.workload}: {line}", markup=False, soft_wrap=True)
    for text in _texts(result):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def cpu_text(use: CpuUse) -> str:
    """What was counted of the program, in a line."""
    text = f"CPU time {duration(use.inside_ns)} in its calls, {duration(use.outside_ns)} outside"
    if use.instructions and use.cycles:
        text += f"; {use.instructions:.3g} instructions in {use.cycles:.3g} cycles"
    return text


def _complaint(run: Run) -> Iterable[str]:
    if run.verdict in (None, Verdict.AC):
        return
    gate = f"the {run.error.gate} gate: " if run.error is not None else ""
    lines = [line for line in run.message.splitlines() if line.strip()]
    yield from (gate + line if i == 0 else line for i, line in enumerate(lines))
    if run.error is not None:
        yield from error_lines(run.error)


def _texts(result: JudgementResult) -> Iterable[str]:
    told = {run.message.strip() for run in result.runs}
    if result.message.strip() and result.message.strip() not in told:
        yield result.message.rstrip()
    if result.verdict is Verdict.CE and result.log.strip() and result.log not in result.message:
        yield result.log.rstrip()
    if result.stdout.strip():
        yield f"--- what the program printed ---\n{result.stdout.rstrip()}"


def show_detail(console: Console, detail: SubmissionDetail) -> None:
    """A submission as it stands."""
    title = f"{detail.problem} on {detail.device}, {detail.mode}, by {detail.user}"
    if detail.result is not None:
        show_result(console, detail.result, title)
    else:
        console.print(Text.assemble((describe(detail), "bold"), f"  {title}"), soft_wrap=True)
    if detail.commitment:
        line = f"SHA-256 of the seed of all inputs: {detail.commitment}"
        console.print(line, style="dim", highlight=False, soft_wrap=True)
    console.print(f"{detail.id}  {detail.url}", style="dim", highlight=False, soft_wrap=True)


def describe(detail: SubmissionDetail) -> str:
    """Where a submission is, in one line without markup."""
    if detail.status is Status.QUEUED:
        ahead = detail.queue_position
        return "queued" if ahead is None else f"queued, {ahead} ahead"
    if detail.status.final:
        return detail.verdict.value if detail.verdict else detail.status.value
    text = detail.status.value
    progress = detail.progress
    if progress is not None and progress.workload:
        text += f" {progress.workload}"
    if progress is not None and progress.total:
        text += f" {progress.done}/{progress.total}"
    return text


def submissions_table(items: Iterable[SubmissionSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("id", no_wrap=True, min_width=36)
    for name in ("user", "problem", "mode", "verdict", "speed-up"):
        table.add_column(name, overflow="fold")
    table.add_column("submitted", justify="right")
    for item in items:
        state = verdict_text(item.verdict) if item.verdict else Text(item.status.value)
        speedup = "" if item.score is None else f"{item.score.value:.3f}x"
        table.add_row(
            str(item.id), escape(item.user), f"{item.problem}/{item.device}", item.mode.value,
            state, speedup, age(item.submitted_at),
        )  # fmt: skip
    return table


def board(standings: Standings) -> RenderableType:
    """A leaderboard."""
    title = f"{standings.problem} on {standings.device}: {standings.score_unit}"
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, header_style="dim"
    )  # fmt: skip
    table.add_column("#", justify="right")
    table.add_column("name")
    table.add_column("score (95 %)", justify="right", no_wrap=True)
    table.add_column("latency", justify="right")
    table.add_column("language")
    table.add_column("tries", justify="right")
    table.add_column("submitted", justify="right")
    for entry in standings.entries:
        table.add_row(
            "" if entry.rank is None else str(entry.rank),
            escape(entry.name), ratio(entry.score), duration(entry.latency_ns),
            entry.language.value if entry.language else "",
            str(entry.attempts) if entry.kind == "user" else "", age(entry.submitted_at),
            style="dim" if entry.kind == "baseline" else None,
        )  # fmt: skip
    if not any(entry.kind == "user" for entry in standings.entries):
        return Group(table, Text("nobody yet", style="dim"))
    return table


def problems_table(problems: Iterable[ProblemSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("problem", "name", "devices", "keywords"):
        table.add_column(name)
    for problem in problems:
        table.add_row(
            problem.slug, escape(problem.name.get("en", "")), ", ".join(problem.devices),
            escape(", ".join(problem.keywords)),
        )  # fmt: skip
    return table


def show_certificate(console: Console, certificate: Certificate) -> None:
    """How far every mutant is beyond what is honest, and what is wrong with that."""
    workloads = list(certificate.honest)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("mutant")
    for workload in workloads:
        table.add_column(workload, justify="right")
    rows: dict[str, dict[str, Trial]] = {}
    for trial in certificate.trials:
        name = trial.mutant if not trial.output else f"{trial.output}: {trial.mutant}"
        rows.setdefault(name, {})[trial.workload] = trial
    for name, tried in rows.items():
        table.add_row(name, *(_gap(tried[w]) for w in workloads))
    console.print(table)
    gap = "beyond numbers" if certificate.gap is None else f"{certificate.gap:.3g}×"
    console.print(f"smallest gap between a mutant and what is honest: [bold]{gap}[/]")
    for complaint in certificate.complaints:
        console.print(complaint, style="red", markup=False, soft_wrap=True)


def _gap(trial: Trial) -> str:
    if trial.skipped:
        return f"[dim]{escape(trial.skipped)}[/]"
    if trial.gap is None:
        return "∞"
    return f"{trial.gap:.3g}×" if trial.gap else "[red]passes[/]"
