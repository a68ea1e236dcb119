"""A sandbox with the result of its self-check written to its record."""

from collections.abc import Mapping, Sequence

from sandbox.base import Command, Launch, Resident, Sandbox
from sandbox.limits import Limits
from sandbox.outcome import Outcome
from sandbox.probes.report import Level


class Checked(Sandbox):
    """Another sandbox, which it leaves as it is; only the record says more.

    Args:
        level: the layers that were seen to hold.
        lowered: names of the probes that got through and are put up with.
    """

    def __init__(self, sandbox: Sandbox, level: Level, lowered: Sequence[str]) -> None:
        self.name = sandbox.name
        self._sandbox = sandbox
        self.level, self.lowered = level, tuple(lowered)

    def run(self, command: Command, limits: Limits) -> Outcome:
        return self._sandbox.run(command, limits)

    def start(self, command: Command, limits: Limits) -> Resident:
        return self._sandbox.start(command, limits)

    def begin(self, command: Command, limits: Limits) -> Launch[Resident]:
        return self._sandbox.begin(command, limits)

    def refill(self, environment: Mapping[str, str]) -> None:
        self._sandbox.refill(environment)

    def sweep(self) -> None:
        self._sandbox.sweep()

    def close(self) -> None:
        self._sandbox.close()

    def describe(self) -> dict[str, str]:
        lowered = " ".join(self.lowered) or "nothing"
        return {**self._sandbox.describe(), "level": str(self.level), "lowered": lowered}

    @property
    def builder(self) -> Sandbox:
        return self._sandbox.builder
