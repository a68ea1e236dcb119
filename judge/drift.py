"""Is the baseline as fast here as it used to be?

A worker remembers how long the baseline of each workload took in its last judgings. The score is a
ratio, so a slower machine does not change it much; but a baseline that has left its usual band says
that something has: another clock, a neighbour, a library, or a submission that slows it down.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from judge.wire import Drift, JudgementResult

KEPT = 50
"""Judgings remembered per workload: what lasts becomes the usual after half as many."""

LEAST = 8
"""Before so many nothing is said."""

WIDTH = 4.0
"""Half the band, in deviations (1.4826 times the median absolute deviation)."""

LEAST_SHARE = 0.1
"""Half the band is at least so much of the median."""

History = dict[str, list[float]]


class Baselines:
    """The baseline's times of earlier judgings.

    Args:
        path: the file they are kept in. One that is damaged is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def watched(self, result: JudgementResult, problem: str) -> JudgementResult:
        """The result with what has left its band; its own times are remembered."""
        history = self._read()
        drifts = []
        for run in result.runs:
            if run.baseline_ns is None:
                continue
            device = result.environment.device
            key = f"{problem} {result.package_hash} {run.workload} {device}"
            past = history.setdefault(key, [])
            band = usual(past)
            if band is not None and not band[0] <= run.baseline_ns <= band[1]:
                drifts.append(
                    Drift(
                        workload=run.workload,
                        baseline_ns=run.baseline_ns,
                        low_ns=band[0],
                        high_ns=band[1],
                    )
                )
            past.append(run.baseline_ns)
            del past[:-KEPT]
        self._write(history)
        return result.model_copy(update={"drift": tuple(drifts)})

    def _read(self) -> History:
        try:
            history: History = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return history if isinstance(history, dict) else {}

    def _write(self, history: History) -> None:
        # No result is lost because a disk is full.
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            draft.write_text(json.dumps(history))
            draft.replace(self._path)


def usual(past: list[float]) -> tuple[float, float] | None:
    """The band of nanoseconds a baseline was in, None if it is not known well enough."""
    if len(past) < LEAST:
        return None
    times = np.asarray(past)
    middle = float(np.median(times))
    deviation = 1.4826 * float(np.median(np.abs(times - middle)))
    half = max(WIDTH * deviation, LEAST_SHARE * middle)
    return middle - half, middle + half
