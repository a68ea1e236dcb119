"""What an operator problem is: the typed operator, its workloads, tolerance, cost and limits.

These are the models of `problem.yaml`; `judge.package` reads them from disk with file and line.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from judge import tolerance as kinds
from judge.expression import evaluate
from judge.strict import Strict
from judge.tolerance import PerOutput, Tolerance

FORMAT_VERSION = "opjudge-2026"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class DType(StrEnum):
    """Element types a judged buffer can have."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT32 = "int32"
    INT64 = "int64"

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return {"float64": 8, "int64": 8, "float32": 4, "int32": 4}.get(self.value, 2)

    @property
    def floating(self) -> bool:
        return self.value.startswith(("float", "bfloat"))

    @property
    def unit_roundoff(self) -> float:
        """u of the format (half a unit in the last place of 1.0); 0 for integers."""
        bits = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}.get(self.value)
        return 2.0**-bits if bits else 0.0


class Distribution(Strict):
    """How an input is filled where `make_inputs` does not say otherwise.

    Attributes:
        row_offset: every row (along the last axis) is moved by an amount of its own, drawn anew for
            each call from [-row_offset, row_offset): what is right for one row's centre is wrong
            for another's.
    """

    kind: Literal["normal", "uniform", "integers"] = "normal"
    low: float = -1.0
    high: float = 1.0
    row_offset: Annotated[float, Field(ge=0, le=1e6)] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.row_offset and self.kind == "integers":
            raise ValueError("row_offset is for floating inputs; remove it, or `kind: integers`")
        return self


class TensorSpec(Strict):
    """One input or output buffer, C-contiguous.

    Attributes:
        shape: names of declared dims, or fixed sizes.
        inplace: of an output, the input that it is written over: they are one buffer, and one
            argument under the input's name.
    """

    name: Name
    dtype: DType
    shape: tuple[Name | int, ...] = Field(min_length=1, max_length=6)
    distribution: Distribution = Distribution()
    inplace: Name | None = None

    @property
    def argument(self) -> str:
        """The name of the buffer's parameter."""
        return self.inplace or self.name

    @model_validator(mode="after")
    def _movable(self) -> Self:
        if self.distribution.row_offset and not self.dtype.floating:
            raise ValueError(f"row_offset is for floating inputs, {self.name!r} is {self.dtype}")
        return self

    def sizes(self, dims: Mapping[str, int]) -> tuple[int, ...]:
        """The shape under the given dims."""
        return tuple(dims[d] if isinstance(d, str) else d for d in self.shape)


class AttributeSpec(Strict):
    """A scalar passed by value after the tensors."""

    name: Name
    type: Literal["int", "float"]
    default: int | float


class Operator(Strict):
    """The typed signature everything else is derived from."""

    dims: tuple[Name, ...] = Field(min_length=1)
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    attributes: tuple[AttributeSpec, ...] = ()

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """One for every buffer, in the order of the arguments."""
        return self.inputs + tuple(t for t in self.outputs if t.inplace is None)

    @property
    def overwritten(self) -> frozenset[str]:
        """Names of the inputs over which an output is written."""
        return frozenset(t.inplace for t in self.outputs if t.inplace is not None)

    @model_validator(mode="after")
    def _closed(self) -> Self:
        tensors = self.inputs + self.outputs
        names = [*self.dims, *(t.name for t in tensors), *(a.name for a in self.attributes)]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"name {twice[0]!r} is declared twice")
        for tensor in tensors:
            for dim in tensor.shape:
                if isinstance(dim, str) and dim not in self.dims:
                    raise ValueError(
                        f"shape of {tensor.name!r} names the undeclared dim {dim!r}; "
                        f"declared: {', '.join(self.dims)}"
                    )
        self._check_inplace()
        return self

    def _check_inplace(self) -> None:
        inputs = {t.name: t for t in self.inputs}
        for tensor in self.inputs:
            if tensor.inplace is not None:
                raise ValueError(
                    f"input {tensor.name!r} cannot be `inplace`: declare the output that is "
                    f"written over it, with `inplace: {tensor.name}`"
                )
        over = [t for t in self.outputs if t.inplace is not None]
        for tensor in over:
            given = inputs.get(str(tensor.inplace))
            if given is None:
                raise ValueError(
                    f"output {tensor.name!r}: inplace names no input; inputs: {', '.join(inputs)}"
                )
            if (given.shape, given.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(
                    f"output {tensor.name!r} is written over {given.name!r}, which must have the "
                    "same shape and dtype"
                )
        if len(over) != len(self.overwritten):
            raise ValueError("two outputs are written over one input")


class Workload(Strict):
    """One shape the operator is judged on.

    Attributes:
        sample: part of test mode.
        hidden: only in ranked mode, never shown.
        timed: part of the score.
        weight: in the weighted geometric mean of speed-ups.
        cache: whether a call finds its buffers in the processor's caches, or none of them.
        attributes: overrides of attribute defaults.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    dims: dict[Name, Annotated[int, Field(ge=1, le=1 << 28)]]
    attributes: dict[Name, int | float] = Field(default_factory=dict)
    sample: bool = False
    hidden: bool = False
    timed: bool = False
    weight: Annotated[float, Field(gt=0)] = 1.0
    cache: Literal["hot", "cold"] = "hot"

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.sample and self.hidden:
            raise ValueError("a workload cannot be both `sample` and `hidden`")
        return self


class CostModel(Strict):
    """Work of one call, as arithmetic over dims.

    Attributes:
        flops: floating-point operations.
        bytes: compulsory memory traffic in bytes.
    """

    flops: str
    bytes: str


class ProblemLimits(Strict):
    """What a contestant's program may use.

    Attributes:
        time_limit_s: wall-clock seconds of one call.
        prepare_limit_s: of loading the submission and of one `prepare` call.
        memory_mib: private memory, beyond the judge's buffers.
        build_limit_s: of compiling.
        source_kib: all source files together.
    """

    time_limit_s: Annotated[float, Field(gt=0, le=600)] = 2.0
    prepare_limit_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    memory_mib: Annotated[int, Field(ge=64, le=1 << 20)] = 1024
    build_limit_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    source_kib: Annotated[int, Field(ge=1, le=16384)] = 256


class Scoring(Strict):
    """How runs become a score: weighted geometric mean of clamped speed-ups."""

    kind: Literal["speedup"] = "speedup"
    min_speedup: Annotated[float, Field(gt=0)] = 0.01
    max_speedup: Annotated[float, Field(gt=1)] = 1000.0


class Problem(Strict):
    """`problem.yaml`.

    Attributes:
        tolerances: of outputs that have one of their own.
    """

    problem_format_version: Literal["opjudge-2026"]
    uuid: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    name: dict[Literal["en", "zh"], str]
    license: str
    credits: str = ""
    keywords: tuple[str, ...] = ()
    devices: tuple[Literal["cpu"], ...] = ("cpu",)
    operator: Operator
    workloads: tuple[Workload, ...]
    tolerance: Tolerance = kinds.Oracle()
    tolerances: dict[Name, PerOutput] = Field(default_factory=dict)
    cost: CostModel
    limits: ProblemLimits = ProblemLimits()
    scoring: Scoring = Scoring()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "en" not in self.name:
            raise ValueError("name: an English name (`en`) is required")
        names = [w.name for w in self.workloads]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"workload {twice[0]!r} is declared twice")
        if not any(w.sample for w in self.workloads):
            raise ValueError("at least one workload must be a `sample`")
        if not any(w.timed for w in self.workloads):
            raise ValueError("at least one workload must be `timed`")
        for workload in self.workloads:
            self._check_workload(workload)
        self._check_tolerances()
        return self

    def _check_tolerances(self) -> None:
        outputs = [t.name for t in self.operator.outputs]
        for name in self.tolerances:
            if name not in outputs:
                raise ValueError(
                    f"tolerances: {name!r} is not an output; outputs: {', '.join(outputs)}"
                )
        kind = self.tolerance.kind
        if self.tolerances and kind in ("statistical", "backward", "check"):
            raise ValueError(
                f"tolerances: outputs cannot have their own beside the kind {kind!r}, which "
                "looks at all of them together; remove `tolerances`"
            )
        for spec in self.operator.outputs:
            self._check_kind(spec)
        if isinstance(self.tolerance, kinds.Backward):
            self._check_roles(self.tolerance)

    def _check_kind(self, spec: TensorSpec) -> None:
        kind = self.tolerance_of(spec.name).kind
        if kind == "lsb" and spec.dtype.floating:
            raise ValueError(
                f"tolerance: the kind 'lsb' counts steps of integers, {spec.name!r} is "
                f"{spec.dtype}; use `ulp`"
            )
        if kind in ("statistical", "backward") and not spec.dtype.floating:
            raise ValueError(
                f"tolerance: the kind {kind!r} is for floating outputs, {spec.name!r} is "
                f"{spec.dtype}; use `check`"
            )

    def _check_roles(self, tolerance: kinds.Backward) -> None:
        given, made = kinds.ROLES[tolerance.of]
        for roles, tensors, what in (
            (given, self.operator.inputs, "input"),
            (made, self.operator.outputs, "output"),
        ):
            shapes = {t.name: t.shape for t in tensors}
            for role in roles:
                name = tolerance.name(role)
                if name not in shapes:
                    raise ValueError(
                        f"tolerance: {tolerance.of!r} needs the {what} {name!r}, there are: "
                        f"{', '.join(shapes)}; say which it is in `roles: {{{role}: ...}}`"
                    )
                if len(shapes[name]) < 2 and role != "w":
                    raise ValueError(f"tolerance: {name!r} must be a matrix for {tolerance.of}")

    def rules(self) -> dict[str, float | str]:
        """The tolerance with its presets' numbers, flat; an output's own under `output.key`."""
        shown = kinds.spelled_out(self.tolerance, self.operator.outputs[0].dtype)
        for spec in self.operator.outputs:
            if (own := self.tolerances.get(spec.name)) is not None:
                rules = kinds.spelled_out(own, spec.dtype)
                shown |= {f"{spec.name}.{key}": value for key, value in rules.items()}
        return shown

    def tolerance_of(self, output: str) -> Tolerance:
        """What an output has to keep."""
        return self.tolerances.get(output, self.tolerance)

    def _check_workload(self, workload: Workload) -> None:
        declared, given = set(self.operator.dims), set(workload.dims)
        for dim in sorted(given - declared):
            raise ValueError(f"workload {workload.name!r} sets the undeclared dim {dim!r}")
        for dim in sorted(declared - given):
            raise ValueError(f"workload {workload.name!r} does not set the dim {dim!r}")
        for name in sorted(set(workload.attributes) - {a.name for a in self.operator.attributes}):
            raise ValueError(f"workload {workload.name!r} sets the undeclared attribute {name!r}")
        for label, text in (("flops", self.cost.flops), ("bytes", self.cost.bytes)):
            try:
                evaluate(text, workload.dims)
            except ValueError as error:
                raise ValueError(f"cost.{label}: {error}") from error

    def scalars(self, workload: Workload, *, with_dims: bool) -> list[int | float]:
        """Dims in declared order if asked for, then attributes at their declared type."""
        dims = [workload.dims[d] for d in self.operator.dims] if with_dims else []
        values = self.attributes_of(workload)
        return dims + [
            float(values[a.name]) if a.type == "float" else int(values[a.name])
            for a in self.operator.attributes
        ]

    def attributes_of(self, workload: Workload) -> dict[str, int | float]:
        """Attribute values for a workload, in declared order."""
        return {
            a.name: workload.attributes.get(a.name, a.default) for a in self.operator.attributes
        }
