"""`opjudge doctor`: would a worker take jobs on this machine, and if not, why?"""

from rich.markup import escape
from rich.table import Table

from judge.cli.output import NOT_ACCEPTED, OK, Output
from judge.defaults import SandboxName
from judge.doctor import Diagnosis, diagnose
from judge.requirement import State
from judge.selfcheck import allowed_names

_COLOURS = {State.OK: "green", State.WEAKER: "yellow", State.MISSING: "red"}


def run_doctor(allow: str, redis_url: str | None, sandbox: SandboxName, output: Output) -> int:
    """Show the diagnosis; returns the exit code."""
    diagnosis = diagnose(redis_url, allowed_names(allow), sandbox)
    output.result(diagnosis.document(), lambda: _show(output, diagnosis))
    return OK if diagnosis.takes_jobs else NOT_ACCEPTED


def _show(output: Output, diagnosis: Diagnosis) -> None:
    output.console.print(_requirements(diagnosis))
    if diagnosis.report is not None:
        output.console.print(_probes(diagnosis))
        output.say(f"Level: {diagnosis.report.level}.")
    if diagnosis.lowered:
        output.say(f"Put up with: {', '.join(diagnosis.lowered)}.")
    if diagnosis.takes_jobs:
        output.say("A worker would take jobs here.")
    else:
        output.say(f"A worker would not take jobs here: {escape(diagnosis.problem)}")


def _requirements(diagnosis: Diagnosis) -> Table:
    table = Table("requirement", "state", "seen", "without it", "what to do", box=None)
    for requirement in diagnosis.requirements:
        met = requirement.state is State.OK
        table.add_row(
            requirement.name,
            _coloured(requirement.state),
            escape(requirement.seen),
            "" if met else escape(requirement.cost),
            "" if met else escape(requirement.remedy),
        )
    return table


def _probes(diagnosis: Diagnosis) -> Table:
    table = Table("probe", "layer", "tries to", "state", "seen", box=None)
    for finding in diagnosis.report.findings if diagnosis.report else ():
        if finding.contained:
            state = "[green]contained[/]"
        else:
            state = "[yellow]put up with[/]" if finding.name in diagnosis.lowered else "[red]out[/]"
        table.add_row(
            finding.name, finding.probe.layer, finding.probe.tries, state, escape(finding.seen)
        )
    return table


def _coloured(state: State) -> str:
    return f"[{_COLOURS[state]}]{state}[/]"
