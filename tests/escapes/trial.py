"""One attack, judged for real, and what there is to say about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from judge.backend import make_sandbox
from judge.cores import environment
from judge.effort import Effort
from judge.errors import InfrastructureError
from judge.judging import JudgingOptions, judge
from judge.verdict import Mode, Verdict
from judge.wire import JudgementResult
from sandbox.base import Command, Resident, Sandbox
from sandbox.limits import Limits
from sandbox.outcome import Outcome
from tests.escapes.attack import MARK, Attack
from tests.escapes.host import NONCE_VARIABLE, Host

OPTIONS = JudgingOptions(
    effort=dict.fromkeys(Mode, Effort(checks=2, min_rounds=6, max_rounds=6, budget_s=5.0))
)
HONEST = Attack("honest: the operator", (Verdict.AC,), "def attack(): pass\n")
LOG_LIMIT = 66_000
"""A little more than what a build log is cut to."""


class Watched(Sandbox):
    """A sandbox that remembers what it ran, and marks every process it starts."""

    def __init__(self, inner: Sandbox, nonce: str) -> None:
        self.name, self._inner, self._nonce = inner.name, inner, nonce
        self.outcomes: list[Outcome] = []
        self.residents: list[Resident] = []

    def run(self, command: Command, limits: Limits) -> Outcome:
        outcome = self._inner.run(self._marked(command), limits)
        self.outcomes.append(outcome)
        return outcome

    def start(self, command: Command, limits: Limits) -> Resident:
        resident = self._inner.start(self._marked(command), limits)
        self.residents.append(resident)
        return resident

    def refill(self, environment: Mapping[str, str]) -> None:
        self._inner.refill(self._with_mark(environment))

    def close(self) -> None:
        self._inner.close()

    def describe(self) -> dict[str, str]:
        return self._inner.describe()

    @property
    def builder(self) -> Sandbox:
        if self._inner.builder is self._inner:
            return self
        apart = Watched(self._inner.builder, self._nonce)
        apart.outcomes = self.outcomes
        return apart

    def forget(self) -> None:
        """Begin anew."""
        self.outcomes.clear()
        self.residents.clear()

    def printed(self) -> str:
        """All that was printed inside. Call only when everything has ended."""
        ends = (*self.outcomes, *(resident.end() for resident in self.residents))
        return "".join((o.stdout + o.stderr).decode("utf-8", "replace") for o in ends)

    def _marked(self, command: Command) -> Command:
        return replace(command, environment=self._with_mark(command.environment))

    def _with_mark(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {**environment, NONCE_VARIABLE: self._nonce}


@dataclass(frozen=True)
class Finding:
    """What became of an attack; contained if there is no fault."""

    attack: str
    verdict: str
    faults: tuple[str, ...]

    @property
    def contained(self) -> bool:
        return not self.faults


class Trial:
    """Judges attacks in one sandbox on one host, started warm. Use as a context manager."""

    def __init__(self, host: Host, sandbox: Sandbox | None = None) -> None:
        self._host = host
        self.sandbox = Watched(sandbox or make_sandbox("bubblewrap"), host.nonce)
        self.sandbox.refill(environment())
        host.expect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.sandbox.close()
        self._host.expect()

    def attempt(self, attack: Attack) -> Finding:
        """Judge an attack and look around."""
        for _ in range(1 + attack.twice):
            finding = self._attempt(attack)
            if not finding.contained:
                break
        return finding

    def honest(self) -> Finding:
        """Whether the judge still does its work."""
        return self._attempt(HONEST)

    def judge(self, attack: Attack) -> JudgementResult:
        source = attack.source(self._host.facts())
        self.sandbox.forget()
        package = self._host.patient_package if attack.patient else self._host.package
        return judge(package, source, Mode.TEST, self.sandbox, options=OPTIONS)

    def _attempt(self, attack: Attack) -> Finding:
        try:
            result = self.judge(attack)
        except InfrastructureError as error:
            faults = [f"the judge failed: {error}", *self._host.damage()]
            return Finding(attack.name, Verdict.JE, tuple(faults))
        faults = [] if result.verdict in attack.verdicts else [f"verdict {_told(result)}"]
        text = self.sandbox.printed() + result.model_dump_json()
        faults += [said[:200] for said in re.findall(f'{MARK}[^\\n"\\\\]*', text)]
        if self._host.secret in text:
            faults.append("the canary's text came out")
        if len(result.log) > LOG_LIMIT:
            faults.append("the build log is not cut")
        faults += self._host.damage(r.pid for r in self.sandbox.residents)
        return Finding(attack.name, result.verdict, tuple(faults))


def _told(result: JudgementResult) -> str:
    words = [run.message for run in result.runs if run.message]
    return f"{result.verdict}: {result.message or ' '.join(words)}{result.log[-300:]}"[:600]
