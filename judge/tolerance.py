"""How far from the truth an output may be: the kinds of `tolerance:` in problem.yaml.

Every kind demands that NaN and infinities are where the oracle has them. Presets take their
constants from the output's type where the problem gives none; they are Ascend's published ones.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from judge.strict import Strict

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Oracle(Strict):
    """The default: three gates that scale themselves.

    Attributes:
        element: c of the element gate, |y - y*| <= c * (u * |y*| + condition).
        max_ratio, mean_ratio, rms_ratio: error over the honest reference's own error at the same
            precision; defaults are Ascend's level L0 (L1: 5, 1.5, 1.5; L2: 2, 1.2, 1.2).
    """

    kind: Literal["oracle"] = "oracle"
    element: Positive = 16.0
    max_ratio: Annotated[float, Field(ge=1)] = 10.0
    mean_ratio: Annotated[float, Field(ge=1)] = 2.0
    rms_ratio: Annotated[float, Field(ge=1)] = 2.0


class Closeness(Strict):
    """|y - y*| <= atol + rtol |y*| on all but a share of the elements, and never over a limit.

    Attributes:
        share: of the elements that may be further off.
        limit: largest |y - y*| of those; no bound if absent.
    """

    rtol: NotNegative
    atol: NotNegative
    share: Share = 0.0
    limit: Positive | None = None


class AllClose(Strict):
    """`allclose`; rtol and atol default to 1e-3 for half types and 1e-4 for others (CANNJudge)."""

    kind: Literal["allclose"]
    rtol: NotNegative | None = None
    atol: NotNegative | None = None
    share: Share = 0.0
    limit: Positive | None = None

    def on(self, dtype: str) -> Closeness:
        """The rule for outputs of a type."""
        usual = 1e-3 if dtype in _HALF else 1e-4
        return Closeness(
            rtol=usual if self.rtol is None else self.rtol,
            atol=usual if self.atol is None else self.atol,
            share=self.share,
            limit=self.limit,
        )


class Double(Strict):
    """双千分之一, 双万分之一: at most 1/per of the elements may be off by more than 1/per.

    Attributes:
        per: 1000 for half types and 10000 for others, unless given.
        atol: 1e-5 for a thousandth and 1e-4 for a ten-thousandth, unless given.
        limit: largest |y - y*| anywhere. Without one, a thousandth of the output may be anything.
    """

    kind: Literal["double"]
    per: Literal[100, 1000, 10000] | None = None
    atol: NotNegative | None = None
    limit: Positive | None = None

    def on(self, dtype: str) -> Closeness:
        """The rule for outputs of a type."""
        per = self.per or (1000 if dtype in _HALF else 10000)
        atol = (1e-4 if per == 10000 else 1e-5) if self.atol is None else self.atol
        return Closeness(rtol=1 / per, atol=atol, share=1 / per, limit=self.limit)


class Mixed(Strict):
    """混合容差: 99 % of the elements within atol + rtol |y*|, and none off by more than a limit."""

    kind: Literal["mixed"]
    rtol: NotNegative | None = None
    atol: NotNegative | None = None
    share: Share = 0.01
    limit: Positive | None = None

    def on(self, dtype: str) -> Closeness:
        """The rule for outputs of a type."""
        rtol, atol, limit = _MIXED.get(dtype, _MIXED["float32"])
        return Closeness(
            rtol=rtol if self.rtol is None else self.rtol,
            atol=atol if self.atol is None else self.atol,
            share=self.share,
            limit=self.limit or limit,
        )


class MereMare(Strict):
    """Mean relative error below a threshold, the largest below ten times that (cann-bench)."""

    kind: Literal["mere_mare"]
    threshold: Positive | None = None

    def on(self, dtype: str) -> float:
        """The threshold for outputs of a type."""
        return self.threshold or _MERE.get(dtype, _MERE["float32"])


class Steps(Strict):
    """Errors counted in units in the last place.

    Attributes:
        ulps: what an element may be off by.
        share: of the elements that may be off by more.
        mean: what the average may be.
        limit: what those more may be off by.
    """

    ulps: Positive
    share: Share = 0.0
    mean: Positive | None = None
    limit: Positive | None = None


class Ulp(Strict):
    """Units in the last place of the output's type; see `Steps`.

    Without `ulps`: half types 1 on all but 0.1 %, others 32 on all but 5 % and a mean of 64.
    """

    kind: Literal["ulp"]
    ulps: Positive | None = None
    share: Share | None = None
    mean: Positive | None = None
    limit: Positive | None = None

    def on(self, dtype: str) -> Steps:
        """The rule for outputs of a type."""
        if self.ulps is not None:
            return Steps(ulps=self.ulps, share=self.share or 0, mean=self.mean, limit=self.limit)
        ulps, share, mean = (1.0, 0.001, None) if dtype in _HALF else (32.0, 0.05, 64.0)
        return Steps(
            ulps=ulps,
            share=share if self.share is None else self.share,
            mean=self.mean or mean,
            limit=self.limit,
        )


class Exact(Strict):
    """The very value: the oracle's, rounded to the output's type. For integers, indices, moves."""

    kind: Literal["exact"]


class Lsb(Strict):
    """Quantised outputs: integers off by a few steps at most, and only a share of them off at all.

    Attributes:
        steps: what an element may be off by.
        share: of the elements that may be off.
    """

    kind: Literal["lsb"]
    steps: Annotated[int, Field(ge=1)] = 1
    share: Annotated[float, Field(ge=0, le=1)] = 0.01


class Statistical(Strict):
    """Random operators: elements drawn independently, compared with the reference's own draw.

    The test is Kolmogorov-Smirnov's with the bound of Dvoretzky, Kiefer, Wolfowitz and Massart,
    beside the correlation of neighbours, of rows, and with the last call's output.

    Attributes:
        alpha: how likely an honest output is refused by one test of one call. A judging makes
            thousands of tests.
    """

    kind: Literal["statistical"]
    alpha: Annotated[float, Field(gt=0, le=1e-4)] = 1e-9


class Backward(Strict):
    """Factorisations: how well the outputs put the inputs together again.

    qr:       a = q r, q orthogonal, r upper triangular
    cholesky: a = l l^T, l lower triangular, diagonal positive
    solve:    a x = b
    eigh:     a v = v diag(w), v orthogonal, w ascending

    Attributes:
        of: which.
        roles: letter above to the tensor's name; a letter that is left out is the name.
        residual: times n u |a|, in the 1-norm.
        orthogonality: times n u.
    """

    kind: Literal["backward"]
    of: Literal["qr", "cholesky", "solve", "eigh"]
    roles: dict[str, str] = Field(default_factory=dict)
    residual: Positive = 20.0
    orthogonality: Positive = 100.0

    @model_validator(mode="after")
    def _known(self) -> Self:
        given, made = ROLES[self.of]
        for role in self.roles:
            if role not in given + made:
                raise ValueError(f"roles: {role!r} is none of {self.of}: {', '.join(given + made)}")
        return self

    def name(self, role: str) -> str:
        """The tensor that plays a role."""
        return self.roles.get(role, role)


class Check(Strict):
    """The problem's own `check(inputs, outputs, truth, attributes)` in reference.py.

    It gets mappings from name to value (tensors; the truth in double precision) and returns how
    large the error is over what is allowed (at most 1 is right), or that and a sentence.
    """

    kind: Literal["check"]


ROLES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "qr": (("a",), ("q", "r")),
    "cholesky": (("a",), ("l",)),
    "solve": (("a", "b"), ("x",)),
    "eigh": (("a",), ("w", "v")),
}
"""The inputs and the outputs of each factorisation."""

PerOutput = Annotated[
    Oracle | AllClose | Double | Mixed | MereMare | Ulp | Exact | Lsb, Field(discriminator="kind")
]
"""What can be said of one output by itself."""

Tolerance = Annotated[
    Oracle
    | AllClose
    | Double
    | Mixed
    | MereMare
    | Ulp
    | Exact
    | Lsb
    | Statistical
    | Backward
    | Check,
    Field(discriminator="kind"),
]

_HALF = ("float16", "bfloat16")

_MIXED: Mapping[str, tuple[float, float, float | None]] = {
    "float16": (2.0**-9, 2.0**-9, 1e-1),
    "bfloat16": (2.0**-6, 2.0**-6, 1.0),
    "float32": (2.0**-10, 2.0**-16, 1e-2),
    "float8_e4m3fn": (2.0**-2, 2.0**-4, None),
    "float8_e5m2": (2.0**-1, 2.0**-3, None),
}
_MERE: Mapping[str, float] = {
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float32": 2.0**-13,
    "float8_e4m3fn": 2.0**-3,
    "float8_e5m2": 2.0**-2,
}


def spelled_out(tolerance: Tolerance, dtype: str) -> dict[str, float | str]:
    """A tolerance's keys and numbers as contestants see them, presets filled in."""
    shown = tolerance.model_dump(exclude_none=True)
    if isinstance(tolerance, AllClose | Double | Mixed | Ulp):
        shown |= tolerance.on(dtype).model_dump(exclude_none=True)
    elif isinstance(tolerance, MereMare):
        shown["threshold"] = tolerance.on(dtype)
    elif isinstance(tolerance, Backward):
        given, made = ROLES[tolerance.of]
        shown["roles"] = ", ".join(f"{r}={tolerance.name(r)}" for r in given + made)
    return shown
