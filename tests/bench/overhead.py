"""What judging adds to the time the kernels themselves run, from POST to verdict; and what a call
of nothing costs."""

import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from judge.building import PYTHON_ENTRY, canonical_zip
from judge.client import Client, Upload
from judge.cores import favour, scheduling_restored, share_out
from judge.judging import BASELINE_LIMITS
from judge.package import bundled_problems
from judge.party import Party
from judge.verdict import Language, Mode, Verdict
from judge.wire import Credentials, TokenRequest
from sandbox.base import Resident
from sandbox.bubblewrap import Bubblewrap
from sandbox.harness import protocol
from sandbox.harness.protocol import Op
from sandbox.outcome import Outcome
from tests.bench.figures import median_p95, median_std, say

CASES = (
    ("vector_add", "accepted/torch_add.py", Mode.TEST),
    ("row_softmax", "accepted/torch_softmax.py", Mode.RANKED),
)


def bench(quick: bool) -> dict[str, Any]:
    """Verdict overhead over the real stack; idle memory of that stack; cost of a null call."""
    rounds = 3 if quick else 15
    with stack() as (url, process):
        settle(process)
        idle_mb = resident_mb(process)
        cases = {
            f"{slug}_{mode}": judged(url, slug, path, mode, rounds) for slug, path, mode in CASES
        }
    everything = [s for samples in cases.values() for s in samples]
    calls = 2_000 if quick else 20_000
    return {
        "verdict_overhead_s": median_p95(everything)
        | {name: median_p95(samples) for name, samples in cases.items()},
        "bare_call_us": null_calls(calls, stopped=False),
        "null_call_us": null_calls(calls, stopped=True),
        "idle_rss_mb": idle_mb,
    }


@contextmanager
def stack() -> Iterator[tuple[str, "psutil.Process"]]:
    """`opjudge up` on a fresh data directory."""
    with tempfile.TemporaryDirectory(prefix="opjudge-bench-") as folder:
        command = [sys.executable, "-m", "judge.cli", "up", "--json", "--port", "0"]
        command += ["--data-dir", str(Path(folder) / "data")]
        environment = {**os.environ, "OPJUDGE_CANARY_EVERY_S": "0"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            try:
                # The document ends with the first brace at the start of a line.
                lines = iter(child.stdout.readline, "}\n")
                document = json.loads("".join(lines) + "}")
                yield document["url"], psutil.Process(child.pid)
            finally:
                child.send_signal(signal.SIGINT)
                child.wait(30)


def settle(process: "psutil.Process") -> None:
    """Wait until the start-up is over, the worker's checks included: what counts is idle.

    That is when the tree of processes has stayed the same for five seconds.
    """
    known: set[int] = set()
    for _ in range(24):
        time.sleep(5)
        now = {member.pid for member in process.children(recursive=True)}
        if now == known:
            return
        known = now
    raise RuntimeError("the processes still change after two minutes")


def resident_mb(process: "psutil.Process") -> float:
    """Resident memory of a process and all it started, shared pages counted in each."""
    tree = [process, *process.children(recursive=True)]
    for member in tree:
        say(f"  {member.memory_info().rss >> 20:5d} MB  {' '.join(member.cmdline())[:70]}")
    return round(sum(member.memory_info().rss for member in tree) / 2**20, 1)


def judged(url: str, slug: str, path: str, mode: Mode, rounds: int) -> list[float]:
    """Seconds from POST to final verdict, less the seconds the kernels ran."""
    file = bundled_problems() / slug / "submissions" / path
    seconds = []
    with Client(url) as anonymous:
        name = f"bench-{slug}"
        anonymous.register(Credentials(name=name, password="a long password"))
        token = anonymous.create_token(TokenRequest(name=name, password="a long password"))
    with Client(url, token.token) as client:
        for i in range(rounds):
            upload = Upload(file.name, file.read_bytes())
            start = time.perf_counter()
            submitted = client.submit(uuid.uuid4(), upload, problem=slug, device="cpu", mode=mode)
            collections.deque(client.watch(submitted.id), maxlen=0)
            took = time.perf_counter() - start
            result = client.submission(submitted.id).result
            if result is None or result.verdict is not Verdict.AC:
                raise RuntimeError(f"{slug} {path}: {result}")
            seconds.append(took - result.kernel_s)
            say(f"{slug} {mode} {i + 1}/{rounds}: {took:.2f} s, kernels {result.kernel_s:.2f} s")
    return seconds


class Unstopped(Resident):
    """Leaves the program running: what the handshake alone costs."""

    def __init__(self, inner: Resident) -> None:
        self._inner = inner
        self.pid = inner.pid

    def stop(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def check(self) -> None:
        pass

    def alive(self) -> bool:
        return self._inner.alive()

    def end(self) -> Outcome:
        return self._inner.end()


def null_calls(calls: int, *, stopped: bool) -> dict[str, float]:
    """Microseconds from `go` to the sight of `done` for a call of nothing."""
    cores = share_out()
    party = Party(Bubblewrap(), BASELINE_LIMITS, "none", arena_bytes=1 << 20)
    with party, scheduling_restored():
        party.ready()
        program = canonical_zip({PYTHON_ENTRY: b"def solve(n):\n    pass\n"})
        party.load(program, Language.PYTHON, {}, 10.0)
        party.pin(cores)
        cores.work()
        favour(0)
        descriptor = protocol.encode([7])
        if not stopped:
            inner = party.resident
            inner.resume()
            party._resident = Unstopped(inner)
            # The program spins on its core all the time: no place to work on.
            party._cores = None
            cores.leave()

        def measure() -> int:
            return party.request(Op.NULL, descriptor, 5.0).ns

        for _ in range(200):
            measure()
        samples = np.asarray([measure() for _ in range(calls)]) / 1000
    return median_std(samples.tolist())
