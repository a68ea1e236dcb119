"""The certificate: a sound tolerance gets one, a loose one is refused with the culprit named."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from judge.certificate import certify, honest_margins
from judge.certified import GAP
from judge.package import load_package
from judge.verdict import Verdict
from judge.wire import Certificate, Environment, JudgementResult, Run
from sandbox.base import Sandbox
from tests.fixtures import write_package

Certify = Callable[..., Certificate]
SMALL = (
    ("{rows: 512, cols: 1024}, timed", "{rows: 64, cols: 64}, timed"),
    ("{rows: 509, cols: 1021}", "{rows: 61, cols: 67}"),
)


@pytest.fixture
def certified(tmp_path: Path, sandbox: Sandbox) -> Certify:
    def run(
        tolerance: str,
        reference: str | None = None,
        honest: dict[str, dict[str, float]] | None = None,
    ) -> Certificate:
        files = {} if reference is None else {"reference.py": reference}
        edits = (*SMALL, ("cost:", f"tolerance: {tolerance}\ncost:"))
        root = write_package(tmp_path / "row_scale", *edits, files=files)
        return certify(load_package(root), sandbox, honest or {})

    return run


def test_a_sound_tolerance_stops_every_mutant(certified: Certify) -> None:
    certificate = certified("{kind: oracle}")
    assert certificate.ok
    assert certificate.gap is not None
    assert certificate.gap >= GAP
    assert set(certificate.honest) == {"large", "secret"}
    tried = [t for t in certificate.trials if not t.skipped]
    assert len(tried) > 40
    assert {t.mutant for t in tried if t.workload == "secret"} >= {
        "zeros",
        "the last call's output",
        "one wrong element",
        "inputs in lower precision",
        "last tile of the first input ignored",
    }
    skipped = {t.mutant: t.skipped for t in certificate.trials if t.skipped}
    assert skipped == {"transposed": "it is not square"}


# Tolerance, and a mutant that it lets through.
LOOSE = {
    "{kind: allclose, rtol: 0.02, atol: 0}": "scaled by a per cent",
    "{kind: allclose, rtol: 0, atol: 100}": "zeros",
    "{kind: double, per: 1000}": "one wrong element",
    "{kind: oracle, element: 1e6, max_ratio: 1e6, mean_ratio: 1e6, rms_ratio: 1e6}": (
        "rounded to lower precision"
    ),
}


@pytest.mark.parametrize("tolerance", LOOSE)
def test_a_loose_one_is_refused_by_name(certified: Certify, tolerance: str) -> None:
    certificate = certified(tolerance)
    mutant = LOOSE[tolerance]
    assert not certificate.ok
    assert certificate.gap == 0
    named = [c for c in certificate.complaints if f"mutant {mutant!r} of 'y' on 'large'" in c]
    assert len(named) == 1
    assert "passes" in named[0] or "are needed" in named[0]


def test_what_is_honest_has_to_be_well_inside(certified: Certify) -> None:
    """A per cent fails, but is hardly worse than what is honest."""
    rule = "{kind: allclose, rtol: 4e-3, atol: 0}"
    mutant = "mutant 'scaled by a per cent' of 'y' on 'large'"
    assert not any(mutant in c for c in certified(rule).complaints)
    complaints = certified(rule, honest={"large": {"y:element": 0.9}}).complaints
    (named,) = (c for c in complaints if mutant in c)
    assert "times as far off as what is honest, 4 are needed" in named


OWN = """
def reference(x, eps):
    return x * (1 + eps)

def check(inputs, outputs, truth, attributes):
    return {}
"""


def test_a_problems_own_check_is_put_to_the_test(certified: Certify) -> None:
    sound = OWN.format("float((outputs['y'] - truth['y']).abs().max()) * 1e6")
    assert certified("{kind: check}", sound).ok


def test_an_own_check_that_lets_all_pass_is_refused(certified: Certify) -> None:
    certificate = certified("{kind: check}", OWN.format("0.0"))
    assert certificate.gap == 0
    failed = [t for t in certificate.trials if not t.skipped and t.gap == 0]
    assert failed == [t for t in certificate.trials if not t.skipped]


def test_a_random_operator_gets_its_own_mutants(certified: Certify) -> None:
    draw = "import torch\ndef reference(x, eps): return torch.rand(x.shape, dtype=x.dtype)\n"
    certificate = certified("{kind: statistical}", draw)
    names = {t.mutant for t in certificate.trials}
    assert "the last call's output" in names
    assert "elements moved by one" not in names
    stale = [t for t in certificate.trials if t.mutant == "the last call's output"]
    assert {t.gate for t in stale} == {"y:independence.last-call"}
    assert all(t.gap for t in stale)


def test_a_reference_that_fails_its_own_tolerance_is_told(certified: Certify) -> None:
    odd = OWN.format("2.0")
    complaints = certified("{kind: check}", odd).complaints
    assert "workload 'large': the reference's own output fails the gate ':check'" in complaints[0]


def results() -> Iterator[JudgementResult]:
    environment = Environment(device="cpu", device_name="", worker="w", sandbox={}, versions={})
    for margin in (0.25, 0.5, 0.125):
        run = Run(workload="w", dims={}, verdict=Verdict.AC, margins={"y:element": margin})
        yield JudgementResult(
            verdict=Verdict.AC, package_hash="h", environment=environment, runs=(run,)
        )


def test_the_worst_of_the_honest_counts() -> None:
    assert honest_margins(results()) == {"w": {"y:element": 0.5}}
