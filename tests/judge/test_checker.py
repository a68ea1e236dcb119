"""Each gate lets honest work through and stops what it is there to stop."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from judge.arena import Array
from judge.checker import QuickCheck, _size_of, check, root_mean_square
from judge.oracle import Truth
from judge.problem import DType, Operator, TensorSpec, Workload
from judge.tolerance import Oracle
from judge.wire import ErrorReport
from tests.judge.problems import small_problem
from tests.truths import array, truths

ROWS, COLS = 64, 256
TOLERANCE = Oracle()


def softmax(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x, dim=1)


def truth_of(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, dtype: DType = DType.FLOAT32
) -> Truth:
    operator = Operator(
        dims=("rows", "cols"),
        inputs=(TensorSpec(name="x", dtype=dtype, shape=("rows", "cols")),),
        outputs=(TensorSpec(name="y", dtype=dtype, shape=tuple(function(x).shape)),),
    )
    problem = small_problem().model_copy(update={"operator": operator})
    workload = Workload(name="w", dims={"rows": x.shape[0], "cols": x.shape[1]})
    module = ModuleType("reference")
    module.reference = function  # type: ignore[attr-defined]
    return truths(problem, workload, module, {"x": array(x)})["y"]


def learnt(truth: Truth, u: float, tolerance: Oracle) -> QuickCheck:
    quick = QuickCheck.learn(truth, u, tolerance)
    assert quick is not None
    return quick


def judged(got: torch.Tensor, truth: Truth) -> ErrorReport | None:
    return check("y", array(got), truth, TOLERANCE)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(ROWS, COLS, generator=torch.Generator().manual_seed(1))


def verdict(got: torch.Tensor, x: torch.Tensor) -> ErrorReport | None:
    return judged(got, truth_of(softmax, x))


def test_the_reference_itself_passes(x: torch.Tensor) -> None:
    assert verdict(softmax(x), x) is None


def test_another_order_of_summation_passes(x: torch.Tensor) -> None:
    e = torch.exp(x - x.max(dim=1, keepdim=True).values)
    total = torch.zeros(ROWS, 1)
    for column in range(COLS):
        total += e[:, column : column + 1]
    assert verdict(e / total, x) is None


def test_a_more_accurate_answer_passes(x: torch.Tensor) -> None:
    assert verdict(softmax(x.double()).float(), x) is None


def half(x: torch.Tensor) -> torch.Tensor:
    return softmax(x.half().float())


def stale_tail(x: torch.Tensor) -> torch.Tensor:
    y = softmax(x)
    y[-1, -8:] = math.nan
    return y


def one_wrong_element(x: torch.Tensor) -> torch.Tensor:
    y = softmax(x)
    y[3, 5] *= 1.01
    return y


MUTANTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "zeros": torch.zeros_like,
    "identity": torch.clone,
    "mean": lambda x: torch.full_like(x, 1 / COLS),
    "half precision inside": half,
    "rows permuted": lambda x: softmax(x).roll(1, 0),
    "tail not written": stale_tail,
    "scaled by 1.01": lambda x: softmax(x) * 1.01,
    "one wrong element": one_wrong_element,
    "last column left out of the sum": lambda x: (
        torch.exp(x) / torch.exp(x[:, :-1]).sum(1, keepdim=True)
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_fail(name: str, x: torch.Tensor) -> None:
    report = verdict(MUTANTS[name](x), x)
    assert report is not None
    assert report.gate in ("pattern", "element", "ratio")


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_fail_the_quick_comparison_too(name: str, x: torch.Tensor) -> None:
    quick = learnt(truth_of(softmax, x), 2.0**-24, TOLERANCE)
    fresh = torch.randn(ROWS, COLS, generator=torch.Generator().manual_seed(2))
    assert quick.agrees(*map(array, (softmax(fresh), softmax(fresh))))
    assert not quick.agrees(*map(array, (MUTANTS[name](fresh), softmax(fresh))))
    assert quick.is_right(*map(array, (softmax(fresh), softmax(fresh.double()))))
    assert not quick.is_right(*map(array, (MUTANTS[name](fresh), softmax(fresh.double()))))


def test_the_report_says_where(x: torch.Tensor) -> None:
    want = softmax(x)
    report = verdict(one_wrong_element(x), x)
    assert report is not None
    assert report.index == (3, 5)
    assert report.expected == pytest.approx(float(want[3, 5]), rel=1e-5)
    assert report.got == pytest.approx(float(want[3, 5]) * 1.01, rel=1e-5)
    assert report.share_wrong == pytest.approx(1 / (ROWS * COLS))
    assert report.max_error is not None
    assert report.max_error > 1


def test_constant_tolerances_would_have_let_zeros_pass() -> None:
    """Why the tolerance scales itself (integrity.md F5): outputs below any usual atol."""
    x = torch.randn(4, 1 << 17, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(torch.zeros_like(x), softmax(x), atol=1e-2)
    assert judged(torch.zeros_like(x), truth_of(softmax, x)) is not None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_element_fails_the_pattern(bad: float, x: torch.Tensor) -> None:
    y = softmax(x)
    y[1, 2] = bad
    report = verdict(y, x)
    assert report is not None
    assert report.gate == "pattern"
    assert report.index == (1, 2)
    assert report.got is None


def test_non_finite_where_the_oracle_has_it_passes() -> None:
    x = torch.tensor([[1.0, math.inf, math.nan, -1.0]])
    truth = truth_of(lambda t: t * 2, x)
    assert judged(x * 2, truth) is None
    assert judged(torch.nan_to_num(x * 2), truth) is not None


def test_a_nan_in_the_reference_does_not_disable_the_rest() -> None:
    """PyTorch dynamo's `same()` passes everything then (integrity.md E2)."""
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(3))
    x[0, 0] = math.nan
    truth = truth_of(lambda t: t * 2, x)
    wrong = x * 2
    wrong[5, 5] += 1
    assert judged(x * 2, truth) is None
    assert judged(wrong, truth) is not None


def test_cancellation_widens_the_tolerance_where_it_must() -> None:
    """A sum that cancels keeps its condition: honest rounding passes, zeros do not."""
    x = torch.randn(16, 4096, generator=torch.Generator().manual_seed(4)) * 1000
    x[:, 1::2] = -x[:, ::2] + torch.randn(16, 2048) * 1e-2

    def row_sum(t: torch.Tensor) -> torch.Tensor:
        return t.sum(dim=1, keepdim=True)

    truth = truth_of(row_sum, x)
    reordered = x.flip(1).sum(dim=1, keepdim=True)
    assert judged(reordered, truth) is None
    assert judged(reordered + 1.0, truth) is not None


def test_integers_are_exact() -> None:
    truth = Truth(np.arange(6).reshape(2, 3), np.zeros(1), 0.0, (0, 0, 0))
    right = torch.arange(6, dtype=torch.int32).view(2, 3)
    wrong = right.clone()
    wrong[1, 1] += 1
    assert judged(right, truth) is None
    report = judged(wrong, truth)
    assert report is not None
    assert report.index == (1, 1)
    assert (report.expected, report.got) == (4.0, 5.0)


def test_the_ratio_gate_catches_what_elements_let_through(x: torch.Tensor) -> None:
    """Every element is 4 units off: below c = 16, but far beyond honest rounding on average."""
    truth = truth_of(softmax, x)
    shifted = (truth.value + 4 * truth.scale).astype(np.float32)
    report = check("y", shifted, truth, TOLERANCE)
    assert report is not None
    assert report.gate == "ratio"


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16, DType.FLOAT64])
def test_every_floating_type_is_judged_at_its_own_precision(dtype: DType, x: torch.Tensor) -> None:
    given = x.to(getattr(torch, dtype))
    truth = truth_of(softmax, given, dtype)
    honest = softmax(given)
    assert judged(honest, truth) is None
    wrong = honest.clone()
    wrong[3, 5] += 1
    report = judged(wrong, truth)
    assert report is not None
    assert report.index == (3, 5)
    quick = learnt(truth, dtype.unit_roundoff, TOLERANCE)
    assert quick.agrees(array(honest), array(honest))
    assert not quick.agrees(array(wrong), array(honest))
    wrong[3, 5] = math.nan
    assert judged(wrong, truth) is not None
    assert not quick.agrees(array(wrong), array(honest))


def test_doubles_are_compared_as_doubles() -> None:
    """As floats, neighbours on either side of a rounding would be a whole float apart."""
    truth = Truth(np.ones(1), np.full(1, 2.0**-53), 2.0**-53, (1, 0.5, 0.6))
    quick = learnt(truth, 2.0**-53, TOLERANCE)
    halfway = 1 + 2.0**-24
    below, above = np.array([halfway]), np.array([np.nextafter(halfway, 2)])
    assert below.astype(np.float32) != above.astype(np.float32)
    assert quick.agrees(below, above)
    assert not quick.agrees(below, above + 2.0**-40)


def test_large_outputs_do_not_overflow_the_quick_comparison() -> None:
    large = np.full(20_000, 1e30, np.float32)
    wrong = large.copy()
    wrong[7] *= 1.01
    near = np.nextafter(large, np.float32(0))
    quick = QuickCheck(2.0**-24, 1e-7, math.inf, TOLERANCE)
    assert quick.agrees(near, large)
    assert not quick.agrees(wrong, large)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_nothing_is_learnt_from_a_truth_that_is_no_number(bad: float) -> None:
    """A condition that is none would let anything pass, for as long as the judging lasts."""
    odd = torch.randn(ROWS, COLS, generator=torch.Generator().manual_seed(3))
    odd[3, 5] = bad
    truth = truth_of(lambda x: x, odd)
    assert not math.isfinite(truth.condition)
    assert QuickCheck.learn(truth, 2.0**-24, TOLERANCE) is None
    nothing = QuickCheck(2.0**-24, math.nan, math.nan, TOLERANCE)
    ones = np.ones(5000, np.float32)
    assert not nothing.agrees(ones * 0, ones)
    assert not QuickCheck(2.0**-24, math.nan, 9.0, TOLERANCE).agrees(ones * 0, ones)


@pytest.mark.parametrize("cols", [512, 3584, 4096, 5003])
def test_how_large_an_output_is_does_not_hang_on_the_length_of_its_rows(cols: int) -> None:
    """Those of a triangle differ most; every eighth block would be the same part of each row."""
    triangle = np.tril(np.random.default_rng(1).standard_normal((2048, cols))).astype(np.float32)
    exactly = root_mean_square(triangle.astype(np.float64))
    assert _size_of(triangle.reshape(-1), np.float32) == pytest.approx(exactly, rel=0.1)


@pytest.mark.parametrize("size", [1e-10, 1e-20, 1e-30])
def test_small_outputs_do_not_vanish_from_the_quick_comparison(size: float) -> None:
    small = np.full(20_000, size, np.float32)
    wrong = small.copy()
    wrong[7] *= 1.01
    quick = QuickCheck(2.0**-24, 1e-7, 1e-3, TOLERANCE)
    assert quick.agrees(np.nextafter(small, np.float32(1)), small)
    assert not quick.agrees(wrong, small)
    assert not quick.agrees(small * 2, small)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_same_bytes_are_as_right_as_the_others(dtype: type) -> None:
    odd: npt.NDArray[Any] = np.array([1, math.nan, math.inf, -0.0] * 1000, dtype)
    quick = QuickCheck(2.0**-24, 0.0, 0.0, TOLERANCE)
    assert quick.agrees(odd.copy(), odd)
    moved = np.roll(odd, 1)
    assert not quick.agrees(moved, odd)


@pytest.mark.parametrize("place", [0, 511, 512, 131_071, 131_072, 262_144, 299_999])
def test_one_element_is_held_against_the_maximum_not_against_the_bound_of_its_block(
    place: int,
) -> None:
    """Errors that are small but many give a block a norm beyond what one element may have."""
    theirs = np.ones(300_000, np.float32)
    mine = theirs + np.float32(2.0**-20)
    quick = QuickCheck(2.0**-24, 2.0**-20, math.inf, Oracle(element=0.75))
    assert np.linalg.norm(mine[:512] - theirs[:512]) > 2 * 0.75 * 2.0**-20
    assert quick.agrees(mine, theirs)
    mine[place] += np.float32(2.0**-20)
    assert not quick.agrees(mine, theirs)


@pytest.mark.parametrize("place", [0, 299_999])
@pytest.mark.parametrize("odd", [1e30, math.inf, math.nan])
def test_what_cannot_be_squared_is_no_warning(odd: float, place: int) -> None:
    theirs = np.ones(300_000, np.float32)
    mine = theirs * np.float32(1 + 2.0**-23)
    mine[place] = odd
    quick = QuickCheck(2.0**-24, 1.0, math.inf, TOLERANCE)
    assert not quick.agrees(mine, theirs)


@pytest.mark.parametrize("size", [1, 8191, 8192, 100_003])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_root_mean_square_of_any_size(size: int, dtype: type) -> None:
    values: Array = np.random.default_rng(5).standard_normal(size).astype(dtype)
    want = math.sqrt((values.astype(np.float64) ** 2).mean())
    assert root_mean_square(values) == pytest.approx(want, rel=1e-5)
