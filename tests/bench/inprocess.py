"""What the field's judges do: python -m tests.bench.inprocess PROBLEM LIBRARY DIMS

Loads a compiled submission into this very process, takes 100 `perf_counter` readings of it and of
the baseline on each workload, and prints the geometric means over the workloads of the ratios of
their means, medians and minima, as JSON.
"""

import ctypes
import functools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import torch

CALLS = 100
SUMMARIES: dict[str, Callable[[list[float]], float]] = {
    "mean100": statistics.mean,
    "median100": statistics.median,
    "min100": min,
}

Dims = Mapping[str, int]
Call = Callable[[], object]


def row_softmax(dims: Dims) -> tuple[Sequence[torch.Tensor], Call]:
    x = torch.rand(dims["rows"], dims["cols"]) * 8 + 92
    y = torch.empty_like(x)
    return (x, y), functools.partial(torch.softmax, x, dim=1, out=y)


def matmul(dims: Dims) -> tuple[Sequence[torch.Tensor], Call]:
    a, b = torch.randn(dims["m"], dims["k"]), torch.randn(dims["k"], dims["n"])
    c = torch.empty(dims["m"], dims["n"])
    return (a, b, c), functools.partial(torch.mm, a, b, out=c)


PROBLEMS = {"row_softmax": row_softmax, "matmul": matmul}
"""Tensors in the order of the ABI, and the call of the baseline."""


def main(problem: str, library_path: str, workloads: Sequence[Dims]) -> dict[str, float]:
    torch.set_num_threads(1)
    library = ctypes.CDLL(library_path)
    logs: dict[str, list[float]] = {name: [] for name in SUMMARIES}
    for dims in workloads:
        tensors, call = PROBLEMS[problem](dims)
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in tensors]
        sizes = [ctypes.c_int64(size) for size in dims.values()]
        baseline = readings(call)
        candidate = readings(functools.partial(library.solve, *pointers, *sizes))
        for name, summary in SUMMARIES.items():
            logs[name].append(math.log(summary(baseline) / summary(candidate)))
    return {name: math.exp(statistics.mean(values)) for name, values in logs.items()}


def readings(call: Call) -> list[float]:
    """Three calls to warm up, then `CALLS` times in seconds."""
    for _ in range(3):
        call()
    found = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))))
