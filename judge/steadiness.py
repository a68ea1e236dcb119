"""How far apart are the scores of one and the same program on this machine?

The samples of one judging cannot tell: they share a state of the machine (where memory came to lie,
what the neighbours and the hypervisor do) that lasts for minutes, and the next judging has another.
So a worker remembers the scores of programs that it judged more than once, and no score gets an
interval narrower than those have been apart.
"""

import json
import math
import os
from pathlib import Path

import numpy as np

from judge.pooling import HALF_WIDTH
from judge.scoring import widened
from judge.wire import JudgementResult

KEPT = 12
"""Scores remembered of a program: nobody's program is to speak for all."""

PROGRAMS = 200
"""Programs remembered of a problem, and problems remembered."""

LEAST = 8
"""Before so many degrees of freedom nothing is said."""

_WILD = 9.0
"""Programs whose variance is so many times the usual one do not count."""

Programs = dict[str, list[float]]
History = dict[str, Programs]


class Scores:
    """The scores of earlier judgings.

    Args:
        path: the file they are kept in. One that is damaged is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def steadied(self, result: JudgementResult, problem: str) -> JudgementResult:
        """The result with an interval as wide as the machine is unsteady; its score is remembered.

        What counts is the spread in this problem, as it is now; in all, where too little is known.
        """
        if result.score is None:
            return result
        history = self._read()
        key = f"{problem} {result.package_hash} {result.environment.device}"
        programs = history.pop(key, {})
        found = spread([programs])
        if found is None:
            found = spread([programs, *history.values()])
        past = programs.pop(result.artifact_hash, [])
        # What was judged last goes last, and is forgotten last.
        programs[result.artifact_hash] = [*past, math.log(result.score.value)][-KEPT:]
        history[key] = dict(list(programs.items())[-PROGRAMS:])
        self._write(dict(list(history.items())[-PROGRAMS:]))
        if found is None:
            return result
        return result.model_copy(update={"spread": found, "score": widened(result.score, found)})

    def _read(self) -> History:
        try:
            history: History = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return history

    def _write(self, history: History) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        draft.write_text(json.dumps(history))
        draft.replace(self._path)


def spread(problems: list[Programs]) -> float | None:
    """Standard deviation of ln score from judging to judging, None if too little is known.

    Pooled over the programs, without those that vary far more than most: they take another time on
    purpose, perhaps. Larger by what Student's t distribution is wider than the normal one where
    little is known (first term of its expansion, Abramowitz and Stegun 26.7.5).
    """
    many = [scores for programs in problems for scores in programs.values() if len(scores) > 1]
    if not many:
        return None
    variances = np.asarray([np.var(scores, ddof=1) for scores in many])
    degrees = np.asarray([len(scores) - 1 for scores in many])
    counts = variances <= _WILD * np.median(variances)
    known = int(degrees[counts].sum())
    if known < LEAST:
        return None
    variance = float((degrees * variances)[counts].sum()) / known
    return min(1.0, math.sqrt(variance) * (1 + (HALF_WIDTH**2 + 1) / (4 * known)))
