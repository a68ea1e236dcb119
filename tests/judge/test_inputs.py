"""Inputs are fresh, secret, repeatable for the holder of the seed, and of the declared kind."""

from types import ModuleType

import numpy as np
import pytest
import torch

from judge.errors import BaselineFailed
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
    return InputSource(problem, workload, ModuleType("reference"), seed)


@pytest.mark.parametrize("workload", [SMALL, LARGE])
def test_every_call_has_other_inputs_and_the_seed_repeats_them(
    problem: Problem, workload: Workload
) -> None:
    first, again = source(problem, workload), source(problem, workload)
    calls = [first.fresh(i)["x"] for i in range(4)]
    for i, tensor in enumerate(calls):
        assert torch.equal(tensor, again.fresh(i)["x"])
        assert tensor.is_contiguous()
        assert all(not torch.equal(tensor, other) for other in calls[:i])
    other_seed = source(problem, workload, b"t" * 32).fresh(0)["x"]
    assert not torch.equal(calls[0], other_seed)


def test_large_inputs_are_no_multiple_of_one_another(problem: Problem) -> None:
    """A linear shortcut back to an earlier call must not exist."""
    inputs = source(problem, LARGE)
    a, b = (inputs.fresh(i)["x"].flatten().double() for i in range(2))
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0)
    assert abs(float(cosine)) < 0.1


def test_normal_inputs_keep_their_spread(problem: Problem) -> None:
    x = source(problem, LARGE).fresh(0)["x"]
    assert x.numel() >= POOL_FROM
    assert abs(float(x.mean())) < 0.02
    assert 0.8 < float(x.std()) < 1.6
    assert bool(torch.isfinite(x).all())


@pytest.mark.parametrize(
    ("dtype", "how"),
    [
        (DType.FLOAT32, Distribution(kind="uniform", low=2.0, high=3.0)),
        (DType.FLOAT16, Distribution(kind="uniform", low=-1.0, high=1.0)),
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
    for tensor in (small, large):
        assert tensor.dtype == getattr(torch, dtype.value)
        assert float(tensor.double().min()) >= how.low
        assert float(tensor.double().max()) <= how.high
        if how.kind == "integers":
            assert torch.equal(tensor, tensor.round())
    assert int(large.min()) < int(large.max()) or dtype.floating


def test_uniform_inputs_stay_evenly_spread() -> None:
    how = Distribution(kind="uniform", low=92.0, high=100.0)
    spec = TensorSpec(name="x", dtype=DType.FLOAT32, shape=("n",), distribution=how)
    rng = np.random.default_rng(2)
    counts = torch.histc(Pool(spec, 400_000, rng).cut(rng), bins=8, min=92, max=100) / 400_000
    assert torch.allclose(counts, torch.full((8,), 1 / 8), atol=0.01)


def test_make_inputs_is_used_and_checked(problem: Problem) -> None:
    module = ModuleType("reference")
    asked = []

    def make_inputs(
        dims: dict[str, int], attributes: dict[str, float], rng: torch.Generator
    ) -> dict[str, torch.Tensor]:
        asked.append((dims, attributes))
        return {"x": torch.rand(dims["rows"], dims["cols"], generator=rng)}

    module.make_inputs = make_inputs  # type: ignore[attr-defined]
    inputs = InputSource(problem, SMALL, module, SEED)
    a, b = inputs.fresh(0)["x"], inputs.fresh(1)["x"]
    assert not torch.equal(a, b)
    assert torch.equal(a, inputs.fresh(0)["x"])
    assert asked[0][0] == SMALL.dims

    module.make_inputs = lambda *_: {"x": torch.zeros(2)}  # type: ignore[attr-defined]
    with pytest.raises(BaselineFailed, match="make_inputs"):
        InputSource(problem, SMALL, module, SEED).fresh(0)


def test_streams_with_other_labels_differ() -> None:
    a, b = (generator(SEED, label).integers(0, 1 << 62) for label in ("a", "b"))
    assert a != b
