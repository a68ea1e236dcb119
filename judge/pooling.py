"""One score for an artifact that was judged several times: all of its judgings count alike.

Handing the same thing in again draws another lot from the noise of the machine. The best of many
lots would be worth fishing for, the first is an accident; the mean of all is neither.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from judge.wire import Interval

_HALF_WIDTH = 1.959964
"""Half of a 95 % interval, in standard deviations."""


def pooled(scores: Sequence[Interval]) -> Interval:
    """The geometric mean of the scores of judgings, each from the samples of its own.

    The samples of a judging stay together: they share the machine's state with the baseline's that
    they are paired with. The interval comes from theirs, or from how far the judgings are apart if
    that says more; it is never wider than the widest of theirs.

    Raises:
        ValueError: there are none.
    """
    if len(scores) <= 1:
        if not scores:
            raise ValueError("there is nothing to pool")
        return scores[0]
    logs = [math.log(score.value) for score in scores]
    halves = [(math.log(score.high) - math.log(score.low)) / 2 for score in scores]
    within = math.hypot(*halves) / len(scores)
    between = _HALF_WIDTH * stdev(logs) / math.sqrt(len(scores))
    half = min(max(within, between), max(halves))
    mean = fmean(logs)
    return Interval(value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half))
