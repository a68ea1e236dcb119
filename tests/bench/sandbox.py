"""What a sandbox costs: from its start to the end of a first call, cold and warm; and what warm
starts make of the judged submissions per minute."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

from judge.backend import OURS, warmed
from judge.building import PYTHON_ENTRY, canonical_zip
from judge.cores import environment
from judge.judging import BASELINE_LIMITS, judge
from judge.package import bundled_problems, load_package
from judge.party import Party
from judge.source import parse_upload
from judge.verdict import Language, Mode, Verdict
from sandbox.base import Sandbox, SandboxError
from sandbox.bubblewrap import Bubblewrap
from sandbox.harness import protocol
from sandbox.harness.protocol import Op
from tests.bench.figures import median_p95, say
from tests.docker_engine import running_engine

PROGRAM = canonical_zip(
    {PYTHON_ENTRY: b"import torch\n\n\ndef solve(n):\n    torch.ones(n).sum()\n"}
)


def bench(quick: bool) -> dict[str, Any]:
    """Start-to-first-call latency of each back end, and judgings a minute with and without."""
    rounds = 3 if quick else 15
    result: dict[str, Any] = {}
    with ExitStack() as stack:
        for name, make in _backends(stack).items():
            with closing(make()) as sandbox:
                result[name] = {
                    "cold_start_s": median_p95([first_call(sandbox) for _ in range(rounds)]),
                    "warm_start_s": median_p95(list(_warm(sandbox, rounds))),
                }
                say(f"{name}: {result[name]}")
    result["judged_per_min"] = judged_per_min(3 if quick else 10)
    return result


def _backends(stack: ExitStack) -> dict[str, Callable[[], Sandbox]]:
    """Those that work here."""
    user = "root" if os.geteuid() == 0 else "user"
    backends: dict[str, Callable[[], Sandbox]] = {f"bubblewrap-{user}": Bubblewrap}
    try:
        from sandbox.docker import Docker

        engine = stack.enter_context(running_engine())
    except SandboxError as error:
        say(f"no docker: {error}")
        return backends
    return {**backends, "docker-runc": lambda: Docker(engine.image, url=engine.url, hide=OURS)}


def _warm(sandbox: Sandbox, rounds: int) -> Iterator[float]:
    for _ in range(rounds):
        # Outside what is timed, as between two judgings.
        sandbox.refill(environment())
        yield first_call(sandbox)


def first_call(sandbox: Sandbox) -> float:
    """Seconds from nothing to the end of a first call of a program that uses torch."""
    begun = time.perf_counter()
    with Party(sandbox, BASELINE_LIMITS, "torch", arena_bytes=1 << 20) as party:
        for reply in (
            party.ready(),
            party.load(PROGRAM, Language.PYTHON, {}, 60.0),
            party.request(Op.CALL, protocol.encode([7]), 60.0),
        ):
            if reply.failure is not None:
                raise RuntimeError(f"{reply.failure}: {reply.message}")
        return time.perf_counter() - begun


def judged_per_min(rounds: int) -> dict[str, float]:
    """Test judgings of an accepted submission a minute, one after another, in this process."""
    package = load_package(bundled_problems() / "vector_add")
    text = (package.root / "submissions" / "accepted" / "torch_add.py").read_bytes()
    source = parse_upload("torch_add.py", text, limit_bytes=1 << 20)
    seconds: dict[str, float] = {"pool": 0.0, "no_pool": 0.0}
    plain = Bubblewrap(hide=OURS)
    with warmed(Bubblewrap(hide=OURS)) as pool:
        for _ in range(rounds):
            for name, sandbox in (("pool", pool), ("no_pool", plain)):
                begun = time.perf_counter()
                result = judge(package, source, Mode.TEST, sandbox)
                seconds[name] += time.perf_counter() - begun
                if result.verdict is not Verdict.AC:
                    raise RuntimeError(f"{result.verdict}: {result.message}")
    return {name: round(60 * rounds / total, 1) for name, total in seconds.items()}
