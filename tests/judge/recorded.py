"""Records of judgements as they come about: real figures from made-up samples, really signed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from judge import scoring, timing
from judge.problem import Scoring
from judge.record import Keys, Record, commitment_to, full_view, public_view
from judge.signing import Signer
from judge.verdict import Language, Mode, Verdict
from judge.wire import Environment, JudgementResult, Overhead, Run
from tests.judge.samples import JUDGEMENT_ID, NOW, SUBMISSION_ID

SEED = "5e" * 32


def make_run(name: str, *, factor: float, rounds: int = 30, hidden: bool = False) -> Run:
    """A timed run, `factor` times as fast as the baseline, give or take noise."""
    rng = np.random.default_rng([rounds, int(factor * 100)])
    slow = rng.integers(2_000_000, 2_050_000, rounds)
    fast = (slow / factor + rng.integers(0, 40_000, rounds)).astype(int)
    run = Run(
        workload=name,
        dims={"rows": 509},
        hidden=hidden,
        timed=True,
        verdict=Verdict.AC,
        calls=rounds,
        candidate_samples_ns=tuple(int(n) for n in fast),
        baseline_samples_ns=tuple(int(n) for n in slow),
    )
    return run


def make_result(*runs: Run, max_speedup: float = 1000.0) -> JudgementResult:
    """A judging's result, with every figure computed as judging does."""
    null = tuple(range(9_000, 12_000, 100))
    low = float(timing.low_mean(np.asarray(null, np.float64)))
    limits = Scoring(max_speedup=max_speedup)
    figured = [figures(run, low) for run in runs]
    return JudgementResult(
        verdict=Verdict.AC,
        message="the author's alone",
        runs=tuple(figured),
        score=scoring.score(figured, low, limits),
        formula=scoring.formula(limits),
        overhead=Overhead(low_ns=low, median_ns=1e4, std_ns=1e3, calls=30, samples_ns=null),
        package_hash="ab" * 32,
        seed=SEED,
        environment=Environment(
            device="cpu",
            device_name="test",
            worker="w",
            sandbox={},
            versions={"numpy": np.__version__},
        ),
    )


def figures(run: Run, overhead_ns: float) -> Run:
    """With its latencies and speed-up."""
    candidate, baseline = (
        float(timing.latency(np.asarray(samples, np.float64), overhead_ns))
        for samples in (run.candidate_samples_ns, run.baseline_samples_ns)
    )
    control = timing.control(np.asarray(run.baseline_samples_ns, np.float64), overhead_ns)
    speedup = timing.interval(scoring.run_draws(run, overhead_ns))
    return run.model_copy(
        update={
            "latency_ns": candidate,
            "baseline_ns": baseline,
            "speedup": speedup,
            "control": control,
        }
    )


def make_record(result: JudgementResult) -> Record:
    return Record(
        view="full",
        submission_id=SUBMISSION_ID,
        judgement_id=JUDGEMENT_ID,
        attempt=1,
        number=7,
        user="ada",
        problem="row_scale",
        version="1.0.0",
        device="cpu",
        mode=Mode.RANKED,
        language=Language.PYTHON,
        source_hash="cd" * 32,
        submitted_at=NOW,
        judged_at=NOW,
        commitment=commitment_to(SEED),
        result=result,
    )


class Desk:
    """A folder with a record and the service's keys in it."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder, self.signer = folder, signer
        self.keys = folder / "keys.json"
        self.keys.write_text(Keys(keys=(signer.public,)).model_dump_json())

    def full(self, result: JudgementResult) -> Path:
        return self._put("full.json", full_view(make_record(result)))

    def public(self, result: JudgementResult) -> Path:
        return self._put("public.json", public_view(make_record(result)))

    def forge(self, path: Path, change: Callable[[Any], None], *, sign: bool = False) -> Path:
        """Change a record as told; with `sign`, as one who has the service's key."""
        document = json.loads(path.read_text())
        change(document["record"])
        if sign:
            record = Record.model_validate_json(json.dumps(document["record"]))
            document = json.loads(self.signer.sign(record).model_dump_json())
        path.write_text(json.dumps(document))
        return path

    def _put(self, name: str, record: Record) -> Path:
        path = self.folder / name
        path.write_text(self.signer.sign(record).model_dump_json(indent=1))
        return path
