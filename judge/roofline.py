"""What no program on this device can beat: measured peaks, and the floor they set under a time.

The peaks are those of ordinary library calls on one core, a low time of many, times the cores that
a party has: a little too high where cores share a memory bus, so that the floor is lenient. A
time below the floor is no feat but a fault or a fraud, whatever its mechanism: its judgement keeps
its verdict and everything measured, and has no score.

As a program (`python -m judge.roofline`) it measures, and prints the peaks as JSON.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from judge.cores import share_out
from judge.counters import beyond_its_clock
from judge.errors import InfrastructureError
from judge.expression import evaluate
from judge.problem import CostModel
from judge.verdict import Verdict
from judge.wire import Bandwidth, JudgementResult, Peaks, Run

MARGIN = 0.2
"""A time counts as below the floor only if it is by more than this share: the peaks are what numpy
reaches, and honest code may reach somewhat more."""

GEMM_SHARE = 0.8
"""Of the true peak of arithmetic, at least so much a library's matrix product reaches."""

SETS_BYTES = (1 << 19, 1 << 21, 1 << 23, 1 << 25, 1 << 27)
"""Working sets from a cache of the second level to memory. What is smaller has no such floor: a
call's own cost would be measured with it."""

_MATRIX = 256
_PIECE = 1 << 16
_SPENT_S = 0.2
_LOW = 0.1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def measure() -> Peaks:
    """Measure this device, in a process of its own. Takes about two seconds.

    Raises InfrastructureError if that process fails.
    """
    command = [sys.executable, "-m", "judge.roofline"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    if done.returncode:
        raise InfrastructureError(f"the peaks could not be measured: {done.stderr[-500:]}")
    return Peaks.model_validate_json(done.stdout)


def known(path: Path, device: str, *, again: bool = False) -> Peaks:
    """The peaks of this device class since the machine was started; measured at the first call.

    Args:
        path: where they are kept.
        again: measure once more, and keep the higher ones: others can only have been in the way.
    """
    boot = f"{_BOOT_ID.read_text().strip()} {device} {len(share_out().party)}"
    kept = _read(path, boot)
    if kept is not None and not again:
        return kept
    found = measure().model_copy(update={"boot": boot})
    if kept is not None:
        found = _higher(found, kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(found.model_dump_json())
    draft.replace(path)
    return found


def floor_ns(cost: CostModel, run: Run, peaks: Peaks) -> float:
    """The least nanoseconds one call can take."""
    moved, flops = evaluate(cost.bytes, run.dims), evaluate(cost.flops, run.dims)
    reached = [level.gbps for level in peaks.bandwidth if level.set_bytes <= moved]
    move_ns = moved / min(reached) if reached else 0.0
    return max(move_ns, flops * GEMM_SHARE / peaks.gflops)


def held_against(result: JudgementResult, cost: CostModel, peaks: Peaks) -> JudgementResult:
    """The result with each run's share of the roofline; without a score if a run is below it.

    A floor that the baseline breaks as well accuses nobody: then the peaks are wrong. Nor has a
    program a score that did more than its clock has seen.
    """
    runs = tuple(_shared(run, cost, peaks) for run in result.runs)
    beyond = beyond_its_clock(result.cpu, len(share_out().party))
    quarantine = tuple(r.workload for r in runs if _suspect(r) or (beyond and r.timed))
    return result.model_copy(
        update={
            "runs": runs,
            "roofline": _mean(runs),
            "quarantine": quarantine,
            "score": None if quarantine else result.score,
            "environment": result.environment.model_copy(update={"peaks": peaks}),
        }
    )


def below(roofline: float) -> bool:
    """Whether a share of the roofline is more than there is."""
    return roofline * (1 - MARGIN) > 1


def _shared(run: Run, cost: CostModel, peaks: Peaks) -> Run:
    if run.verdict is not Verdict.AC or not run.latency_ns:
        return run
    return run.model_copy(update={"roofline": floor_ns(cost, run, peaks) / run.latency_ns})


def _suspect(run: Run) -> bool:
    if run.roofline is None or run.latency_ns is None or not run.baseline_ns:
        return False
    return below(run.roofline) and not below(run.roofline * run.latency_ns / run.baseline_ns)


def _mean(runs: tuple[Run, ...]) -> float | None:
    """Weighted geometric mean over what everybody can see: it must not tell hidden shapes."""
    seen = [(r.weight, r.roofline) for r in runs if r.roofline and r.timed and not r.hidden]
    if not seen:
        return None
    return math.exp(sum(w * math.log(s) for w, s in seen) / sum(w for w, _ in seen))


def _read(path: Path, boot: str) -> Peaks | None:
    try:
        kept = Peaks.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return kept if kept.boot == boot else None


def _higher(one: Peaks, other: Peaks) -> Peaks:
    bandwidth = tuple(
        Bandwidth(set_bytes=a.set_bytes, gbps=max(a.gbps, b.gbps))
        for a, b in zip(one.bandwidth, other.bandwidth, strict=True)
    )
    gflops = max(one.gflops, other.gflops)
    return one.model_copy(update={"bandwidth": bandwidth, "gflops": gflops})


# --- the measuring process ------------------------------------------------------------------


def _main() -> None:
    cores = share_out().party
    os.sched_setaffinity(0, cores[:1])
    bandwidth, highest = [], 0.0
    for size in reversed(SETS_BYTES):
        # A smaller set can be moved at least as fast.
        highest = max(highest, _gbps(size) * len(cores))
        bandwidth.append(Bandwidth(set_bytes=size, gbps=highest))
    peaks = Peaks(gflops=_gflops() * len(cores), bandwidth=tuple(reversed(bandwidth)))
    sys.stdout.write(peaks.model_dump_json())


def _gbps(set_bytes: int) -> float:
    """Bytes read and written per nanosecond: the better of a copy and of a scalar product.

    Piece by piece, round and round: a piece is done before a busy machine interrupts it.
    """
    a, b = (np.ones(set_bytes // 8, np.float32) for _ in range(2))
    pieces = [slice(i, i + _PIECE) for i in range(0, len(a), _PIECE)]
    copy = _low_ns([partial(np.copyto, b[piece], a[piece]) for piece in pieces])
    product = _low_ns([partial(np.dot, a[piece], b[piece]) for piece in pieces])
    return 8 * min(_PIECE, len(a)) / min(copy, product)


def _gflops() -> float:
    a, b, c = (np.ones((_MATRIX, _MATRIX), np.float32) for _ in range(3))
    return 2 * _MATRIX**3 / _low_ns([partial(np.matmul, a, b, out=c)])


def _low_ns(calls: list[Callable[[], object]]) -> float:
    """A low time of these calls, made in turn: what interferes only adds."""
    times: list[int] = []
    turn, end = cycle(calls), time.perf_counter() + _SPENT_S
    while time.perf_counter() < end or len(times) < 2 * len(calls):
        call = next(turn)
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    # The first time round pages are made, and caches filled.
    return float(np.quantile(times[len(calls) :], _LOW))


if __name__ == "__main__":
    _main()
