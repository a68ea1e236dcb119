"""Runs a package's programs in this process, on tensors of our own: no sandbox and no clock."""

import ctypes
import importlib.util
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from judge.inputs import InputSource
from judge.oracle import Truth
from judge.package import Package, load_package
from judge.problem import Workload
from tests.truths import made_inputs, tensor, truths

ROOT = Path(__file__).resolve().parents[2] / "problems"
SLUGS = (
    "vector_add",
    "row_softmax",
    "rms_norm",
    "matmul",
    "prefix_sum",
    "causal_attention",
)
CPP_FLAGS = ("-O3", "-march=native", "-std=c++20", "-shared", "-fPIC")

Tensors = tuple[torch.Tensor, ...]
Solve = Callable[[Workload, Sequence[torch.Tensor], Sequence[torch.Tensor]], None]


@cache
def package(slug: str) -> Package:
    """The package, read and checked once."""
    return load_package(ROOT / slug)


def submissions(slug: str, kind: str) -> list[Path]:
    """The files of one folder of a package's submissions."""
    return sorted((ROOT / slug / "submissions" / kind).iterdir())


@cache
def small_cases(slug: str) -> tuple["Case", ...]:
    """One call of every workload that is not timed."""
    return tuple(case(slug, w) for w in package(slug).problem.workloads if not w.timed)


@dataclass(frozen=True)
class Case:
    """One call: its inputs, and the truth about its outputs."""

    workload: Workload
    inputs: Tensors
    truths: tuple[Truth, ...]


def case(slug: str, workload: Workload) -> Case:
    """A reproducible call of a workload, as the judge would make it."""
    problem = package(slug).problem
    seed = f"{slug}/{workload.name}".encode()
    module = _module(ROOT / slug / "reference.py")
    make = partial(made_inputs, problem, workload, module)
    inputs = InputSource(problem, workload, seed, make).fresh(0)
    told = truths(problem, workload, module, inputs)
    return Case(
        workload,
        tuple(tensor(inputs[t.name]) for t in problem.operator.inputs),
        tuple(told[t.name] for t in problem.operator.outputs),
    )


def run(slug: str, solve: Solve, given: Case) -> Tensors:
    """What a program writes; inputs are its own copies, outputs begin as NaN."""
    problem = package(slug).problem
    inputs = [t.clone() for t in given.inputs]
    outputs = [
        torch.full(t.sizes(given.workload.dims), float("nan"), dtype=getattr(torch, t.dtype))
        for t in problem.operator.outputs
    ]
    solve(given.workload, inputs, outputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, given.inputs, strict=True))
    return tuple(outputs)


def python_program(slug: str, path: Path) -> Solve:
    """A Python submission; `prepare` is called before each `solve`."""
    module = _module(path)
    problem = package(slug).problem
    numpy = "arrays=numpy" in path.read_text().partition("\n")[0]

    def solve(
        workload: Workload, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]
    ) -> None:
        attributes = problem.attributes_of(workload).values()
        if hasattr(module, "prepare"):
            module.prepare(*(workload.dims[d] for d in problem.operator.dims), *attributes)
        tensors: list[torch.Tensor | np.ndarray] = [*inputs, *outputs]
        if numpy:
            tensors = [t.numpy() for t in (*inputs, *outputs)]
        assert module.solve(*tensors, *attributes) is None

    return solve


def cpp_program(slug: str, path: Path, folder: Path) -> Solve:
    """A C++ submission, compiled into `folder` unless it is there."""
    library = folder / f"{slug}-{path.stem}.so"
    if not library.exists():
        subprocess.run(["g++", *CPP_FLAGS, "-o", library, path], check=True, timeout=120)
    function = ctypes.CDLL(str(library)).solve
    function.restype = None
    problem = package(slug).problem

    def solve(
        workload: Workload, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]
    ) -> None:
        attributes = problem.attributes_of(workload)
        function(
            *(ctypes.c_void_p(t.data_ptr()) for t in (*inputs, *outputs)),
            *(ctypes.c_int64(workload.dims[d]) for d in problem.operator.dims),
            *(_scalar(a.type, attributes[a.name]) for a in problem.operator.attributes),
        )

    return solve


def program(slug: str, path: Path, folder: Path) -> Solve:
    """A submission in either language."""
    if path.suffix == ".cpp":
        return cpp_program(slug, path, folder)
    return python_program(slug, path)


def reference(slug: str, given: Case, inputs: Sequence[torch.Tensor] | None = None) -> Tensors:
    """The reference's outputs, on the case's inputs unless told."""
    attributes = package(slug).problem.attributes_of(given.workload).values()
    result = _module(ROOT / slug / "reference.py").reference(
        *(given.inputs if inputs is None else inputs), *attributes
    )
    return result if isinstance(result, tuple) else (result,)


def _scalar(kind: str, value: float) -> ctypes.c_int64 | ctypes.c_double:
    return ctypes.c_int64(int(value)) if kind == "int" else ctypes.c_double(value)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
