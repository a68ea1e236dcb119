"""One thing that a worker needs of its machine."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a requirement is met."""

    OK = "ok"
    WEAKER = "weaker"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a worker needs or can use.

    Attributes:
        seen: what is there, or how it failed.
        cost: what does not work without it.
        remedy: what to install or do.
        needed: whether a worker without it takes no jobs.
    """

    name: str
    state: State
    seen: str
    cost: str
    remedy: str
    needed: bool = False


def found(
    name: str, seen: str | None, lack: str, cost: str, remedy: str, needed: bool = False
) -> Requirement:
    """Met if anything was seen."""
    state = State.MISSING if seen is None else State.OK
    return Requirement(name, state, lack if seen is None else seen, cost, remedy, needed)
