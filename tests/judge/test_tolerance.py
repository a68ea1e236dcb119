"""Every kind of tolerance passes what is honest and stops what is wrong, at the edge both ways."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from judge.arena import Array
from judge.backward import backward, product
from judge.checker import QuickCheck, check
from judge.errors import ProblemError
from judge.gates import exceeded
from judge.oracle import Truth
from judge.package import load_package
from judge.statistical import statistical
from judge.tolerance import (
    AllClose,
    Backward,
    Double,
    Exact,
    Lsb,
    MereMare,
    Mixed,
    Oracle,
    PerOutput,
    Statistical,
    Ulp,
    spelled_out,
)
from judge.wire import ErrorReport
from tests.fixtures import write_package

COUNT = 10_000


def truth(value: Array) -> Truth:
    return Truth(value, np.zeros(1), 0.0, (0.0, 0.0, 0.0))


def judged(got: Array, value: Array, rule: PerOutput) -> ErrorReport | None:
    return check("y", got, truth(value), rule)


def off(count: int, by: float, dtype: str = "float32") -> Array:
    """Ones, the first few of them off."""
    got = np.ones(COUNT)
    got[:count] += by
    return got.astype(dtype)


ONES = np.ones(COUNT)
BF16 = ml_dtypes.bfloat16

# Rule, what just passes, what just fails, and the gate that says so.
EDGES: Mapping[str, tuple[PerOutput, Array, Array, str]] = {
    "allclose": (
        AllClose(kind="allclose", rtol=1e-3, atol=1e-3),
        off(COUNT, 0.001995),
        off(1, 0.002005),
        "element",
    ),
    "allclose preset": (AllClose(kind="allclose"), off(9, 1.99e-4), off(1, 2.01e-4), "element"),
    "allclose half": (
        AllClose(kind="allclose"),
        off(9, 2.0**-10, "float16"),
        off(1, 3 * 2.0**-10, "float16"),
        "element",
    ),
    "share": (
        AllClose(kind="allclose", share=0.001),
        off(10, 5.0),
        off(11, 5.0),
        "element",
    ),
    "limit": (
        AllClose(kind="allclose", share=0.001, limit=0.5),
        off(10, 0.499),
        off(1, 0.501),
        "limit",
    ),
    "double": (Double(kind="double"), off(1, 9.0), off(2, 9.0), "element"),
    "double half": (
        Double(kind="double"),
        off(10, 9.0, "float16"),
        off(11, 9.0, "float16"),
        "element",
    ),
    "double with a limit": (
        Double(kind="double", per=1000, limit=0.01),
        off(10, 0.009),
        off(1, 0.011),
        "limit",
    ),
    "mixed": (Mixed(kind="mixed"), off(100, 0.009), off(101, 0.009), "element"),
    "mixed limit": (Mixed(kind="mixed"), off(100, 0.0099), off(1, 0.0101), "limit"),
    "mere": (
        MereMare(kind="mere_mare"),
        off(COUNT, 0.999 * 2.0**-13),
        off(COUNT, 1.001 * 2.0**-13),
        "mean",
    ),
    "mare": (
        MereMare(kind="mere_mare"),
        off(1, 9.99 * 2.0**-13),
        off(1, 10.01 * 2.0**-13),
        "element",
    ),
    "ulp": (
        Ulp(kind="ulp", ulps=2),
        off(COUNT, 2 * 2.0**-23),
        off(1, 3 * 2.0**-23),
        "element",
    ),
    "ulp preset": (
        Ulp(kind="ulp"),
        off(500, 33 * 2.0**-23),
        off(501, 33 * 2.0**-23),
        "element",
    ),
    "ulp mean": (
        Ulp(kind="ulp", ulps=100, mean=1),
        off(COUNT // 50, 50 * 2.0**-23),
        off(COUNT // 50 + 1, 50 * 2.0**-23),
        "mean",
    ),
    "ulp half": (
        Ulp(kind="ulp"),
        off(10, 2 * 2.0**-10, "float16"),
        off(11, 2 * 2.0**-10, "float16"),
        "element",
    ),
    "exact": (Exact(kind="exact"), off(0, 0), off(1, 2.0**-23), "element"),
    "lsb": (Lsb(kind="lsb"), off(100, 1, "int32"), off(101, 1, "int32"), "share"),
    "lsb steps": (Lsb(kind="lsb"), off(1, 1, "int32"), off(1, 2, "int32"), "limit"),
    "integers under the default": (Oracle(), off(0, 0, "int64"), off(1, 1, "int64"), "element"),
    "integers under another": (
        Mixed(kind="mixed"),
        off(0, 0, "int64"),
        off(1, 1, "int64"),
        "element",
    ),
    "booleans": (Exact(kind="exact"), ONES.astype(bool), ~ONES.astype(bool), "element"),
}


@pytest.mark.parametrize("name", EDGES)
def test_the_edge(name: str) -> None:
    rule, right, wrong, gate = EDGES[name]
    assert judged(right, ONES, rule) is None
    report = judged(wrong, ONES, rule)
    assert report is not None
    assert report.gate == gate
    assert report.index == (0,)
    assert report.max_error is None or report.max_error > 1


FLOATING: tuple[PerOutput, ...] = (
    Oracle(),
    AllClose(kind="allclose", share=0.5),
    Double(kind="double", per=100),
    Mixed(kind="mixed", share=0.5),
    MereMare(kind="mere_mare"),
    Ulp(kind="ulp", ulps=1, share=0.5),
    Exact(kind="exact"),
)


@pytest.mark.parametrize("rule", FLOATING, ids=lambda rule: rule.kind)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_kind_spares_a_value_that_is_not_finite(rule: PerOutput, bad: float) -> None:
    scaled = Truth(ONES, np.full(COUNT, 2.0**-24), 0.0, (1.0, 1.0, 1.0))
    got = off(0, 0)
    assert check("y", got, scaled, rule) is None
    got[7] = bad
    report = check("y", got, scaled, rule)
    assert report is not None
    assert report.gate in ("pattern", "element")
    assert report.index == (7,)


@pytest.mark.parametrize("rule", FLOATING, ids=lambda rule: rule.kind)
def test_values_that_are_not_finite_belong_where_the_oracle_has_them(rule: PerOutput) -> None:
    value = np.array([1.0, np.nan, np.inf, -np.inf] * 100)
    scale = np.where(np.isfinite(value), 2.0**-24, value)
    told = Truth(value, scale, 0.0, (1.0, 1.0, 1.0))
    got = value.astype(np.float32)
    assert check("y", got, told, rule) is None
    got[2] = -np.inf
    assert check("y", got, told, rule) is not None
    got[2] = np.inf
    got[1] = 1.0
    assert check("y", got, told, rule) is not None


@pytest.mark.parametrize("rule", FLOATING, ids=lambda rule: rule.kind)
def test_what_overflows_the_type_is_an_infinity(rule: PerOutput) -> None:
    """The oracle, in double precision, does not see that a half cannot hold 70,000."""
    value = np.array([70_000.0, -70_000.0, 1.0])
    told = Truth(value, np.abs(value) * 2.0**-11, 0.0, (1.0, 1.0, 1.0))
    with np.errstate(over="ignore"):
        got = value.astype(np.float16)
    assert np.isinf(got[:2]).all()
    assert check("y", got, told, rule) is None
    assert check("y", -got, told, rule) is not None
    small = Truth(value / 10, told.scale / 10, 0.0, (1.0, 1.0, 1.0))
    assert check("y", got, small, rule) is not None


def test_neighbours_of_bfloat16_are_counted_as_its_own() -> None:
    rule = Ulp(kind="ulp", ulps=1)
    value = np.array([1.0, 256.0, 0.0])
    step = np.array([2.0**-7, 2.0, 2.0**-133])
    assert judged((value + step).astype(BF16), value, rule) is None
    assert judged((value + 2 * step).astype(BF16), value, rule) is not None


def test_int64_differences_do_not_wrap() -> None:
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    rule = Lsb(kind="lsb", share=1)
    assert judged(np.array([low]), np.array([high]), rule) is not None
    assert judged(np.array([high - 1]), np.array([high]), rule) is None


def test_exceeded_leaves_out_the_largest() -> None:
    values = np.arange(1000.0)
    assert [exceeded(values, share) for share in (0, 0.0005, 0.001, 0.01)] == [999, 999, 998, 989]


# --- the quick comparison -----------------------------------------------------------------

SPARING = [
    AllClose(kind="allclose"),
    Double(kind="double"),
    Mixed(kind="mixed"),
    MereMare(kind="mere_mare"),
    Ulp(kind="ulp"),
]


@pytest.mark.parametrize("rule", SPARING, ids=lambda rule: rule.kind)
def test_rules_that_scale_otherwise_are_never_checked_quickly(rule: PerOutput) -> None:
    assert QuickCheck.learn(truth(ONES), 2.0**-24, rule) is None


def test_steps_are_never_checked_quickly() -> None:
    """The baseline may be off by a step, too: two of them would look like one."""
    assert QuickCheck.learn(truth(ONES), 0.0, Lsb(kind="lsb")) is None


@pytest.mark.parametrize("u", [0.0, 2.0**-24])
def test_what_has_to_be_the_same_is_compared_with_the_baseline(u: float) -> None:
    quick = QuickCheck.learn(truth(ONES), u, Exact(kind="exact"))
    assert quick is not None
    assert quick.agrees(off(0, 0), off(0, 0))
    assert not quick.agrees(off(1, 2.0**-23), off(0, 0))


# --- random operators ---------------------------------------------------------------------

ALPHA = Statistical(kind="statistical").alpha


def drawn(seed: int, shape: tuple[int, ...] = (200, 500)) -> Array:
    return np.random.default_rng(seed).random(shape)


def gate_of(got: Array, previous: Array | None = None) -> str | None:
    found = statistical("y", got.astype(np.float32), drawn(0), previous, ALPHA)
    report = found.report(None, None)
    return report.gate if report is not None else None


@pytest.mark.parametrize("seed", range(1, 30))
def test_another_fair_draw_is_right(seed: int) -> None:
    assert gate_of(drawn(seed), drawn(seed + 100)) is None


UNFAIR: Mapping[str, tuple[Array, str]] = {
    "constant": (np.full((200, 500), 0.5), "distribution"),
    "normal": (np.random.default_rng(1).normal(0.5, 0.29, (200, 500)), "distribution"),
    "five per cent too wide": (drawn(1) * 1.05, "distribution"),
    "one row repeated": (np.tile(drawn(1)[:1], (200, 1)), "distribution"),
    "rows twice": (np.repeat(drawn(1)[:100], 2, axis=0), "independence"),
    "sorted": (np.sort(drawn(1)), "independence"),
    "steps": (np.arange(1e5).reshape(200, 500) / 1e5, "independence"),
    "one not a number": (np.where(np.arange(500) == 3, np.nan, drawn(1)), "pattern"),
}


@pytest.mark.parametrize("name", UNFAIR)
def test_an_unfair_draw_is_wrong(name: str) -> None:
    got, gate = UNFAIR[name]
    assert gate_of(got) == gate


def test_a_draw_kept_from_the_last_call_is_wrong() -> None:
    assert gate_of(drawn(1), drawn(1)) == "independence"
    assert gate_of(drawn(1), None) is None


# --- factorisations -----------------------------------------------------------------------

N = 70
U = 2.0**-24
Matrices = dict[str, Array]


def matrices(of: str) -> tuple[Matrices, Matrices]:
    """Inputs and the right outputs, in single precision."""
    rng = np.random.default_rng(3)
    a = rng.standard_normal((2, N, N))
    if of == "qr":
        given, made = {"a": a}, dict(zip("qr", np.linalg.qr(a), strict=True))
    elif of == "cholesky":
        given = {"a": a @ a.swapaxes(1, 2) + N * np.eye(N)}
        made = {"l": np.linalg.cholesky(given["a"].astype(np.float32).astype(np.float64))}
    elif of == "solve":
        # Well conditioned: with |a| |x| far above |b|, much else is as good an x.
        given = {"a": a + N * np.eye(N), "b": rng.standard_normal((2, N, 3))}
        made = {"x": np.linalg.solve(given["a"], given["b"])}
    else:
        given = {"a": a + a.swapaxes(1, 2)}
        made = dict(zip("wv", np.linalg.eigh(given["a"]), strict=True))
    single = ({n: t.astype(np.float32) for n, t in part.items()} for part in (given, made))
    first, second = single
    return first, second


def gate(of: str, given: Matrices, made: Matrices, **limits: Any) -> str | None:
    report = backward(
        Backward.model_validate({"kind": "backward", "of": of, **limits}), given, made, U
    )
    told = report.report(None, None)
    return told.gate if told is not None else None


@pytest.mark.parametrize("of", ["qr", "cholesky", "solve", "eigh"])
def test_a_factorisation_is_right_and_not_when_damaged(of: str) -> None:
    given, made = matrices(of)
    assert gate(of, given, made) is None
    for name, right in made.items():
        for damaged in (right * 1.01, np.zeros_like(right), right[..., ::-1].copy(), -right):
            if of == "eigh" and name == "v" and np.array_equal(damaged, -right):
                continue  # as good an eigenvector
            assert gate(of, given, {**made, name: damaged}) is not None, name
        holed = right.copy()
        holed.reshape(-1)[5] = np.nan
        assert gate(of, given, {**made, name: holed}) == "pattern"


@pytest.mark.parametrize("of", ["qr", "cholesky", "solve", "eigh"])
def test_the_edge_of_a_residual(of: str) -> None:
    given, made = matrices(of)
    found = backward(Backward.model_validate({"kind": "backward", "of": of}), given, made, U)
    exactly = 20 * found.margins["residual"]
    assert 0 < exactly < 20
    assert gate(of, given, made, residual=exactly * 1.001) is None
    assert gate(of, given, made, residual=exactly * 0.999) == "residual"


def test_other_signs_are_as_right() -> None:
    given, made = matrices("qr")
    signs = np.where(np.arange(N) % 2, -1, 1).astype(np.float32)
    turned = {"q": made["q"] * signs, "r": made["r"] * signs[:, None]}
    assert gate("qr", given, turned) is None


def test_structure_is_demanded() -> None:
    given, made = matrices("qr")
    # q = a and r = 1 put together again what there was, and q is not orthogonal.
    lazy = {"q": given["a"], "r": np.broadcast_to(np.eye(N, dtype=np.float32), (2, N, N)).copy()}
    assert gate("qr", given, lazy) == "orthogonality"
    # q = 1 and r = a: r is no triangle.
    assert gate("qr", given, {"q": lazy["r"], "r": lazy["q"]}) == "structure"
    given, made = matrices("eigh")
    back = {"w": made["w"][:, ::-1].copy(), "v": made["v"][:, :, ::-1].copy()}
    assert gate("eigh", given, back) == "structure"
    given, made = matrices("cholesky")
    assert gate("cholesky", given, {"l": -made["l"]}) == "structure"


def test_roles_name_the_tensors() -> None:
    given, made = matrices("solve")
    rule = Backward(kind="backward", of="solve", roles={"a": "matrix", "x": "y"})
    found = backward(rule, {"matrix": given["a"], "b": given["b"]}, {"y": made["x"]}, U)
    assert not found.wrong
    assert spelled_out(rule, "float32")["roles"] == "a=matrix, b=b, x=y"


def test_the_product_of_blocks_is_the_product() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 130, 65)), rng.standard_normal((2, 65, 129))
    assert np.allclose(product(a, b), a @ b, rtol=1e-12, atol=1e-12)


# --- problem.yaml -------------------------------------------------------------------------

FAULTS = {
    "tolerance: {kind: mixd}": "problem.yaml:21: `tolerance.kind`: unknown kind; did you mean `mix",
    "tolerance: {rtol: 1}": "problem.yaml:21: `tolerance`: the key 'kind' is missing",
    "tolerance: {kind: ulp, ulp: 2}": "`tolerance.ulp`: unknown key; did you mean `ulps`?",
    "tolerance: {kind: allclose, share: 1.5}": "`tolerance.share`: Input should be less than 1",
    "tolerance: {kind: statistical, alpha: 0.01}": "less than or equal to 0.0001",
    "tolerance: {kind: lsb}": "'y' is float32; use `ulp`",
    "tolerance: {kind: backward, of: qr, roles: {z: x}}": "'z' is none of qr: a, q, r",
    "tolerance: {kind: backward, of: cholesky}": "'cholesky' needs the input 'a', there are: x",
    "tolerance: {kind: check}": "reference.py: does not define `check`",
    "tolerances: {z: {kind: exact}}": "'z' is not an output; outputs: y",
    "tolerances: {y: {kind: mixed, rtl: 1}}": "`tolerances.y.rtl`: unknown key; did you mean `rto",
    "tolerances: {y: {kind: check}}": "unknown kind",
    "tolerances: {y: {kind: exact}}\ntolerance: {kind: statistical}": "remove `tolerances`",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_told_with_its_place_and_remedy(text: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        load_package(write_package(tmp_path / "scale", ("cost:", f"{text}\ncost:")))
    assert FAULTS[text] in caught.value.message


def test_an_output_may_have_a_tolerance_of_its_own(tmp_path: Path) -> None:
    edit = "tolerance: {kind: mixed}\ntolerances: {y: {kind: double}}\ncost:"
    problem = load_package(write_package(tmp_path / "scale", ("cost:", edit))).problem
    assert problem.tolerance_of("y") == Double(kind="double")
    assert problem.rules()["rtol"] == 2.0**-10
    assert problem.rules()["y.share"] == 1e-4
