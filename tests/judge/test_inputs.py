"""Inputs are fresh, secret, repeatable for the holder of the seed, and of the declared kind."""

import numpy as np
import pytest
from pydantic import ValidationError

from judge.arena import Array, element_type
from judge.inputs import POOL_FROM, InputSource, Pool, draw, generator
from judge.problem import Distribution, DType, Problem, TensorSpec, Workload
from tests.judge.problems import small_problem

LARGE = Workload(name="large", dims={"rows": 1024, "cols": 256})
SMALL = Workload(name="small", dims={"rows": 3, "cols": 5})
SEED = b"s" * 32


@pytest.fixture
def problem() -> Problem:
    return small_problem()


def source(problem: Problem, workload: Workload, seed: bytes = SEED) -> InputSource:
    return InputSource(problem, workload, seed, lambda _seed: None)


@pytest.mark.parametrize("workload", [SMALL, LARGE])
def test_every_call_has_other_inputs_and_the_seed_repeats_them(
    problem: Problem, workload: Workload
) -> None:
    first, again = source(problem, workload), source(problem, workload)
    calls = [first.fresh(i)["x"] for i in range(4)]
    for i, array in enumerate(calls):
        assert np.array_equal(array, again.fresh(i)["x"])
        assert array.flags.c_contiguous
        assert all(not np.array_equal(array, other) for other in calls[:i])
    other_seed = source(problem, workload, b"t" * 32).fresh(0)["x"]
    assert not np.array_equal(calls[0], other_seed)


def test_large_inputs_are_no_multiple_of_one_another(problem: Problem) -> None:
    """A linear shortcut back to an earlier call must not exist."""
    inputs = source(problem, LARGE)
    a, b = (inputs.fresh(i)["x"].ravel().astype(np.float64) for i in range(2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_normal_inputs_keep_their_spread(problem: Problem) -> None:
    x = source(problem, LARGE).fresh(0)["x"]
    assert x.size >= POOL_FROM
    assert abs(float(x.mean())) < 0.02
    assert 0.8 < float(x.std()) < 1.6
    assert np.isfinite(x).all()


@pytest.mark.parametrize(
    ("dtype", "how"),
    [
        (DType.FLOAT32, Distribution(kind="uniform", low=2.0, high=3.0)),
        (DType.FLOAT16, Distribution(kind="uniform", low=-1.0, high=1.0)),
        (DType.BFLOAT16, Distribution(kind="uniform", low=-1.0, high=1.0)),
        (DType.FLOAT64, Distribution(kind="uniform", low=-1.0, high=1.0)),
        (DType.BFLOAT16, Distribution(kind="integers", low=-100, high=100)),
        (DType.INT32, Distribution(kind="integers", low=-(1 << 31), high=(1 << 31) - 1)),
        (DType.INT32, Distribution(kind="integers", low=-5, high=9)),
        (DType.INT64, Distribution(kind="integers", low=0, high=1 << 40)),
        (DType.FLOAT32, Distribution(kind="integers", low=-3, high=4)),
    ],
)
def test_bounds_hold_small_and_large(dtype: DType, how: Distribution) -> None:
    spec = TensorSpec(name="x", dtype=dtype, shape=("n",), distribution=how)
    rng = np.random.default_rng(0)
    small = draw(spec, 1000, rng)
    large = Pool(spec, 200_000, rng).cut(rng)
    for array in (small, large):
        assert array.dtype == element_type(dtype)
        wide = array.astype(np.float64)
        assert wide.min() >= how.low
        assert wide.max() <= how.high
        if how.kind == "integers":
            assert np.array_equal(wide, wide.round())
    assert large.min() < large.max()


def test_uniform_inputs_stay_evenly_spread() -> None:
    how = Distribution(kind="uniform", low=92.0, high=100.0)
    spec = TensorSpec(name="x", dtype=DType.FLOAT32, shape=("n",), distribution=how)
    rng = np.random.default_rng(2)
    counts, _ = np.histogram(Pool(spec, 400_000, rng).cut(rng), bins=8, range=(92, 100))
    assert np.allclose(counts / 400_000, 1 / 8, atol=0.01)


@pytest.mark.parametrize("dtype", [d for d in DType if d.floating])
def test_normal_inputs_of_every_type_are_finite_and_other_each_time(dtype: DType) -> None:
    spec = TensorSpec(name="x", dtype=dtype, shape=("n",))
    rng = np.random.default_rng(3)
    pool = Pool(spec, 200_000, rng)
    a, b = (pool.cut(rng).astype(np.float64) for _ in range(2))
    assert np.isfinite(a).all()
    assert 0.8 < a.std() < 1.6
    assert abs(np.corrcoef(np.abs(a), np.abs(b))[0, 1]) < 0.1
    assert (a == b).mean() < 0.01


def test_what_the_reference_makes_goes_before_the_declared_distribution(problem: Problem) -> None:
    asked = []

    def make(seed: int) -> dict[str, Array]:
        asked.append(seed)
        return {"x": np.full((3, 5), seed % 1000, np.float32)}

    inputs = InputSource(problem, SMALL, SEED, make)
    a, b = inputs.fresh(0)["x"], inputs.fresh(1)["x"]
    assert np.array_equal(inputs.fresh(0)["x"], a)
    assert asked == [asked[0], asked[1], asked[0]]
    assert asked[0] != asked[1]
    assert (a == asked[0] % 1000).all()
    assert (b == asked[1] % 1000).all()


def test_a_reference_that_makes_none_is_asked_once(problem: Problem) -> None:
    asked: list[int] = []
    inputs = InputSource(problem, SMALL, SEED, asked.append)
    for call in range(3):
        assert inputs.fresh(call)["x"].shape == (3, 5)
    assert len(asked) == 1


def test_streams_with_other_labels_differ() -> None:
    a, b = (generator(SEED, label).integers(0, 1 << 62) for label in ("a", "b"))
    assert a != b


@pytest.mark.parametrize("workload", [SMALL, LARGE])
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.BFLOAT16])
def test_rows_have_centres_of_their_own_other_ones_at_each_call(
    problem: Problem, workload: Workload, dtype: DType
) -> None:
    how = Distribution(kind="uniform", low=-1.0, high=1.0, row_offset=100.0)
    (x,) = problem.operator.inputs
    moved = x.model_copy(update={"dtype": dtype, "distribution": how})
    operator = problem.operator.model_copy(update={"inputs": (moved,)})
    given = source(problem.model_copy(update={"operator": operator}), workload)
    a, b = (given.fresh(call)["x"].astype(np.float64) for call in range(2))
    assert np.abs(a).max() <= 101.5
    assert (np.ptp(a, axis=1) <= 3.0).all()
    assert np.ptp(a.mean(axis=1)) > 10
    assert np.abs(a.mean(axis=1) - b.mean(axis=1)).max() > 10


def test_only_floating_rows_can_be_moved() -> None:
    with pytest.raises(ValidationError, match="row_offset is for floating inputs"):
        Distribution(kind="integers", row_offset=1.0)
    with pytest.raises(ValidationError, match="'x' is int32"):
        TensorSpec(
            name="x", dtype=DType.INT32, shape=("n",), distribution=Distribution(row_offset=1.0)
        )
