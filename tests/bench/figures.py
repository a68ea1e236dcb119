"""Summaries of samples, and words on the way."""

import sys
from collections.abc import Sequence

import numpy as np


def say(text: str) -> None:
    """Progress for a person; stdout's last line is the JSON."""
    print(text, file=sys.stderr, flush=True)


def median_p95(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), digits),
        "p95": round(float(np.quantile(values, 0.95)), digits),
        "n": len(values),
    }


def median_std(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, standard deviation, and the deviation without the 1 % largest.

    On a shared machine a handful of preemptions of milliseconds make up nearly all of the plain
    deviation; both are given.
    """
    data = np.sort(np.asarray(values, np.float64))
    kept = data[: max(1, int(len(data) * 0.99))]
    return {
        "median": round(float(np.median(data)), digits),
        "std": round(float(kept.std()), digits),
        "std_with_largest_1_percent": round(float(data.std()), digits),
        "n": len(data),
    }


def variation(values: Sequence[float]) -> float:
    """Coefficient of variation: sample standard deviation over mean."""
    return round(float(np.std(values, ddof=1) / np.mean(values)), 5)
