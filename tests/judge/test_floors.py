"""What a certificate promises of errors is never more than the oracle would have allowed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from judge.arena import Array
from judge.certificate import below, certify
from judge.certified import floors_of, rules_hash, write_certificate
from judge.checker import QuickCheck, check, floor_of
from judge.effort import Effort
from judge.judging import JudgingOptions
from judge.jury import Jury
from judge.oracle import Oracle, Truth
from judge.package import Package, load_package
from judge.tolerance import Oracle as OracleRule
from judge.verdict import Mode, Verdict
from judge.wire import Floor
from sandbox.base import Sandbox
from tests.fixtures import write_package
from tests.judge.conftest import NUMPY_BASELINE, Judge
from tests.judge.test_certified import certificate
from tests.judge.test_checker import TOLERANCE, truth_of
from tests.truths import array

U = 2.0**-24
Function = Callable[[torch.Tensor], torch.Tensor]
FUNCTIONS: dict[str, Function] = {
    "softmax": lambda x: torch.softmax(x, dim=1),
    "prefix sum": lambda x: torch.cumsum(x, dim=1),
    "product": lambda x: x[:, :128] @ x[:, 128:].T,
    "scale": lambda x: x * 1.7,
}


def given(seed: int) -> torch.Tensor:
    return torch.randn(64, 256, generator=torch.Generator().manual_seed(seed))


def promised(function: Function, rule: OracleRule = TOLERANCE) -> QuickCheck:
    floors = [floor_of(truth_of(function, given(seed)), U) for seed in range(4)]
    return QuickCheck.promised(below(floors), U, rule)


def wrong(value: Array, truth: Truth, size: float, spread: str) -> Array:
    """The value, off by so many units in one way or another."""
    rng = np.random.default_rng(int(size * 1000))
    shapes: dict[str, Array] = {
        "everywhere": np.ones(value.shape),
        "noise": rng.standard_normal(value.shape),
        "one element": np.arange(value.size).reshape(value.shape) == 77,
        "where it counts most": truth.scale == truth.scale.min(),
        "small ones": np.abs(value) < np.median(np.abs(value)),
    }
    off: Array = value + size * truth.scale * shapes[spread]
    return off


SPREADS = ("everywhere", "noise", "one element", "where it counts most", "small ones")


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("rule", [TOLERANCE, OracleRule(max_ratio=2.0, mean_ratio=1.2)])
def test_what_passes_by_values_alone_passes_all_gates(
    rule: OracleRule, name: str, spread: str
) -> None:
    """On inputs that the floor has not seen, at sizes from well inside the gates to far beyond."""
    quick, truth = promised(FUNCTIONS[name], rule), truth_of(FUNCTIONS[name], given(9))
    fates = []
    for size in np.geomspace(0.05, 200, 40):
        got = wrong(truth.value, truth, float(size), spread).astype(np.float32)
        right = check("y", got, truth, rule) is None
        fates.append((quick.is_right(got, truth.value), right))
    assert (True, False) not in fates
    assert (True, True) in fates
    assert (False, False) in fates


def test_a_machine_that_errs_less_allows_what_another_was_certified_for(tmp_path: Path) -> None:
    """Otherwise what passes by values alone would be refused where the whole truth is asked."""
    function, rule = FUNCTIONS["product"], OracleRule(max_ratio=2.0, mean_ratio=1.2)
    seen = below([floor_of(truth_of(function, given(seed)), U) for seed in range(4)])
    seen = seen.model_copy(update={"errors": (16.0, 8.0, 8.0)})
    # As a library would that sums in double precision.
    truth = replace(truth_of(function, given(9)), honest=(0.0, 0.0, 0.0))

    class Told:
        def truth(self, inputs: object, rng: object) -> dict[str, Truth]:
            del inputs, rng
            return {"y": truth}

    problem = load_package(write_package(tmp_path / "row_scale")).problem
    jury = Jury(problem, Told(), {"y": seen})  # type: ignore[arg-type]
    heard = jury.hear({}, np.random.default_rng(0)).truths["y"]
    quick = QuickCheck.promised(seen, U, rule)
    fates: dict[str, list[tuple[bool, bool]]] = {"heard": [], "as told": []}
    for size in np.geomspace(0.05, 200, 40):
        got = wrong(truth.value, truth, float(size), "noise").astype(np.float32)
        for how, one in (("heard", heard), ("as told", truth)):
            fates[how].append(
                (quick.is_right(got, truth.value), check("y", got, one, rule) is None)
            )
    assert (True, False) not in fates["heard"]
    assert (True, True) in fates["heard"]
    assert (True, False) in fates["as told"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_honest_outputs_need_no_more(name: str) -> None:
    quick, x = promised(FUNCTIONS[name]), given(9)
    truth = truth_of(FUNCTIONS[name], x)
    best = truth.value.astype(np.float32)
    assert quick.is_right(best, truth.value)
    assert quick.is_right(array(FUNCTIONS[name](x)), truth.value)
    assert quick.agrees((truth.value * (1 + U / 2)).astype(np.float32), best)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_promised_is_looser_than_what_a_truth_tells(name: str) -> None:
    quick = promised(FUNCTIONS[name])
    learnt = QuickCheck.learn(truth_of(FUNCTIONS[name], given(9)), U, TOLERANCE)
    assert learnt is not None
    assert 0 < quick.condition < learnt.condition
    assert 0 < quick.rms < learnt.rms
    assert quick.widened(learnt) == learnt


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_whatever_is_not_finite_is_left_to_the_whole_truth(bad: float) -> None:
    quick = QuickCheck.promised(Floor(condition=1.0, scale=1.0, errors=(9, 9, 9)), U, TOLERANCE)
    value = np.ones(5000)
    odd = value.copy()
    odd[4321] = bad
    assert quick.is_right(value, value)
    assert not quick.is_right(odd, value)
    assert not quick.is_right(value, odd)
    assert not quick.is_right(odd, odd)


def test_outputs_whose_squares_are_nothing_are_left_to_the_whole_truth() -> None:
    seen = Floor(condition=1e-16, scale=1e-16, errors=(1, 1, 1))
    quick = QuickCheck.promised(seen, 2.0**-53, TOLERANCE)
    value = np.full(5000, 1e-155)
    wrong = value.copy()
    wrong[7] += 1e-163
    assert not quick.is_right(wrong, value)
    assert not quick.agrees(wrong, value)
    assert not quick.is_right(wrong * 1e120, value * 1e120)
    assert quick.is_right(value * 1e120, value * 1e120)


def test_values_too_large_to_be_squared_are_left_to_the_whole_truth() -> None:
    """Their RMS is infinite, and beside it any error would be nothing."""
    quick = QuickCheck.promised(Floor(condition=1.0, scale=1.0, errors=(9, 9, 9)), U, TOLERANCE)
    value = np.full(5000, 1e200)
    assert not quick.is_right(value * 2, value)


def floor(condition: float, scale: float = 1.0, *errors: float) -> Floor:
    worst, mean, rms = errors or (1.0, 1.0, 1.0)
    return Floor(condition=condition, scale=scale, errors=(worst, mean, rms))


CASES: dict[str, tuple[Sequence[Floor], Floor]] = {
    "as good as the same": ([floor(1.0), floor(1.0)], floor(1.0)),
    "twice as much": ([floor(0.5), floor(1.0), floor(0.75)], floor(0.25)),
    "all chance": ([floor(1e-3), floor(1.0)], floor(1e-6)),
    "nothing": ([floor(0.0), floor(0.0)], floor(0.0)),
    "the scale as well": ([floor(1, 4), floor(1, 8)], floor(1, 2)),
    "errors as well": ([floor(1, 1, 4, 2, 1), floor(1, 1, 8, 2, 2)], floor(1, 1, 2, 2, 0.5)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_more_it_varies_the_less_is_promised(case: str) -> None:
    seen, sure = CASES[case]
    assert below(seen).model_dump() == {
        "condition": pytest.approx(sure.condition),
        "scale": pytest.approx(sure.scale),
        "errors": pytest.approx(sure.errors),
    }


def test_a_truth_without_numbers_promises_nothing() -> None:
    odd = truth_of(FUNCTIONS["scale"], torch.full((64, 64), math.nan))
    half = replace(truth_of(FUNCTIONS["scale"], given(9)), honest=(1.0, math.nan, 1.0))
    for truth in (odd, half):
        assert floor_of(truth, U) == Floor(condition=0.0, scale=0.0)


# --- in a certificate ----------------------------------------------------------------------


def test_a_certificate_has_those_of_timed_outputs_that_are_large(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    root = write_package(
        tmp_path / "row_scale",
        ("{rows: 512, cols: 1024}, timed", "{rows: 64, cols: 64}, timed"),
        ("{rows: 509, cols: 1021}", "{rows: 7, cols: 13}"),
    )
    floors = certify(load_package(root), sandbox, {}).floors
    assert set(floors) == {"large", "secret"}
    assert floors["secret"] == {}
    assert 0.1 * U < floors["large"]["y"].condition < U


def test_there_is_none_where_honest_work_would_not_pass_by_it(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """Some rows a million times worse conditioned than others: no one figure fits both."""
    uneven = """
import torch
def reference(x, eps):
    far = torch.zeros_like(x[:, :1])
    far[::64] = 1e8
    return (x + far) - far
"""
    root = write_package(
        tmp_path / "row_scale",
        ("{rows: 512, cols: 1024}, timed", "{rows: 512, cols: 64}, timed"),
        ("cost:", "tolerance: {kind: oracle, element: 1e9, max_ratio: 1.5}\ncost:"),
        files={"reference.py": uneven},
    )
    floors = certify(load_package(root), sandbox, {}).floors
    assert floors["large"] == {}


def test_only_a_problems_own_certificate_counts(tmp_path: Path) -> None:
    root = write_package(tmp_path / "row_scale")
    package = load_package(root)
    assert floors_of(package) == {}
    floors = {"large": {"y": floor(1e-8)}}
    write_certificate(certificate(package, floors=floors), root)
    assert floors_of(package) == floors
    write_certificate(certificate(package, floors=floors, rules_hash="another"), root)
    assert floors_of(package) == {}
    assert rules_hash(package)
    (root / "certificate.json").write_text("{")
    assert floors_of(package) == {}


# --- in a judging --------------------------------------------------------------------------

FLOORS = {name: {"y": floor(U / 4)} for name in ("large", "secret")}
TIMED = {"large", "secret"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whole truths and values that the reference was asked for, on timed workloads."""
    calls: list[str] = []
    for name in ("truth", "values"):
        tell = getattr(Oracle, name)

        def told(oracle: Oracle, inputs: dict[str, Array], *rest: object, tell=tell, name=name):  # type: ignore[no-untyped-def]
            if inputs["x"].size > 1000:
                calls.append(name)
            return tell(oracle, inputs, *rest)

        monkeypatch.setattr(Oracle, name, told)
    return calls


def options(floors: dict[str, dict[str, Floor]], **effort: object) -> JudgingOptions:
    usual = Effort(checks=1, min_rounds=4, max_rounds=4, oracle_share=(0, 0), whole_share=0)
    return JudgingOptions(
        effort=dict.fromkeys(Mode, replace(usual, **effort)),  # type: ignore[arg-type]
        floors=floors,
    )


def test_the_first_look_is_at_the_values_alone(judged: Judge, asked: list[str]) -> None:
    assert judged(NUMPY_BASELINE, options=options(FLOORS)).verdict is Verdict.AC
    assert asked == ["values", "values"]


def test_without_floors_it_is_at_the_whole_truth(judged: Judge, asked: list[str]) -> None:
    assert judged(NUMPY_BASELINE, options=options({})).verdict is Verdict.AC
    assert asked == ["truth", "truth"]


def test_a_secret_share_is_whole_in_any_case(judged: Judge, asked: list[str]) -> None:
    made = options(FLOORS, whole_share=1.0)
    assert judged(NUMPY_BASELINE, options=made).verdict is Verdict.AC
    assert asked == ["truth", "truth"]


def test_what_is_not_surely_right_is_held_against_the_whole_truth(
    judged: Judge, asked: list[str]
) -> None:
    """Near zero a floor of nothing leaves no room for what the condition allows."""
    text = "def solve(x, y, eps):\n    y[:] = x * np.float32(1 + eps) + np.float32({})\n"
    made = options({name: {"y": floor(0.0)} for name in TIMED})
    result = judged(text.format(1e-8), options=made)
    assert result.verdict is Verdict.AC, result.message
    assert asked.count("truth") >= 2
    asked.clear()
    assert judged(text.format(1e-3), options=made).verdict is Verdict.WA


@pytest.mark.parametrize("whole_share", [0.0, 1.0])
def test_how_an_output_is_looked_at_does_not_decide_about_it(
    judged: Judge, whole_share: float
) -> None:
    """Errors the reference makes where it was certified are allowed where it makes smaller ones."""
    off = f"(1 + 30 * {U} * (x.size > 1000))"
    text = f"def solve(x, y, eps):\n    y[:] = x * np.float32((1 + eps) * {off})\n"
    for errors, verdict in (((400.0, 200.0, 200.0), Verdict.AC), ((1.0, 1.0, 1.0), Verdict.WA)):
        floors = {name: {"y": floor(U / 4, U, *errors)} for name in TIMED}
        result = judged(text, options=options(floors, whole_share=whole_share))
        assert result.verdict is verdict, result.message


FIRST = """
calls = 0
def solve(x, y, eps):
    global calls
    np.multiply(x, np.float32(1 + eps), out=y)
    if x.size > 1000:
        calls += 1
        if calls <= 2:
            y[-1, -1] {}
"""


@pytest.mark.parametrize("how", ["*= 1.001", "+= 1e-5", "= np.nan", "= np.inf"])
def test_a_wrong_first_output_is_refused(judged: Judge, how: str) -> None:
    assert judged(FIRST.format(how), options=options(FLOORS)).verdict is Verdict.WA


def test_the_dearer_a_look_the_rarer(judged: Judge, asked: list[str]) -> None:
    """But never rarer than the least share, nor more often than the most."""
    for share, cost, looks in (((0, 1), 0.0, 0), ((1, 1), 0.0, 6), ((0, 1), 1e9, 6)):
        asked.clear()
        made = options(FLOORS, oracle_share=share, oracle_cost=cost)
        assert judged(NUMPY_BASELINE, options=made).verdict is Verdict.AC
        assert len(asked) == 2 + looks


def test_those_beside_the_package_are_taken_if_none_are_given(
    judged: Judge, asked: list[str], tmp_path: Path, package: Package
) -> None:
    del package
    root = write_package(tmp_path / "row_scale", files={"baseline.py": NUMPY_BASELINE})
    own = load_package(root)
    write_certificate(certificate(own, floors=FLOORS), root)
    made = replace(options({}), floors=None)
    assert judged(NUMPY_BASELINE, package=own, options=made).verdict is Verdict.AC
    assert asked == ["values", "values"]
