"""Other programs that share the machine with a judging."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

COUNT = 2


@contextmanager
def neighbours(kind: str) -> Iterator[None]:
    """Two of a kind, free to run on any core, killed at the end; none if it is quiet."""
    context = multiprocessing.get_context("spawn")
    wanted = [] if kind == "quiet" else [KINDS[kind]] * COUNT
    processes = [context.Process(target=_run, args=(work,), daemon=True) for work in wanted]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _run(work: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work()


def busy() -> None:
    """Compute, and stream some megabytes now and then."""
    block = bytearray(os.urandom(1 << 22))
    while True:
        sum(range(200_000))
        block[:] = block[::-1]


def bursty() -> None:
    """Like `busy`, for a fifth of a second in every half."""
    while True:
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            sum(range(10_000))
        time.sleep(0.3)


def hog() -> None:
    """Copy what fits into no cache, without a pause."""
    one, other = bytearray(os.urandom(1 << 27)), bytearray(1 << 27)
    while True:
        other[:] = one


KINDS: dict[str, Callable[[], None]] = {"busy": busy, "bursty": bursty, "hog": hog}
