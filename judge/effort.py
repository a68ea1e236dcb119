"""How much measuring a judging does."""

from collections.abc import Mapping
from dataclasses import dataclass

from judge.verdict import Mode


@dataclass(frozen=True, slots=True)
class Effort:
    """How much measuring one mode asks for.

    Attributes:
        checks: calls of a workload that is not timed.
        min_rounds, max_rounds: of a timed workload.
        half_width: stop when half the interval of the log speed-up is below this.
        wide, patience: go on to so many times `max_rounds` while it is above this.
        processes: to be measured before `max_rounds`: an interval of fewer says too little. (One
            that takes long to start is never changed, and measured for all of those.)
        budget_s: stop after so much time on one workload (never below `min_rounds // 3` rounds).
        life: at least and at most how many rounds of each workload one process serves.
        oracle_share: least and most share of timed rounds checked against the oracle, beyond the
            first.
        oracle_cost: of the time that the calls themselves take, what that may cost in between.
        whole_share: share of those, the first included, for which it is asked for conditions as
            well, not values alone.
    """

    checks: int = 3
    min_rounds: int = 30
    max_rounds: int = 150
    half_width: float = 0.004
    wide: float = 0.015
    patience: int = 1
    processes: int = 1
    budget_s: float = 4.0
    life: tuple[int, int] = (30, 60)
    oracle_share: tuple[float, float] = (0.005, 0.03)
    oracle_cost: float = 0.05
    whole_share: float = 0.02


USUAL: Mapping[Mode, Effort] = {
    Mode.TEST: Effort(checks=2, min_rounds=5, max_rounds=5, budget_s=2.0),
    Mode.BENCHMARK: Effort(patience=3, processes=3),
    Mode.RANKED: Effort(patience=3, processes=3),
}
