"""Small problems for unit tests."""

from typing import Any

from judge.problem import Problem

TENSOR: dict[str, Any] = {"dtype": "float32", "shape": ["rows", "cols"]}


def small_problem(**changes: Any) -> Problem:
    """Doubling a matrix: x[rows, cols] -> y[rows, cols]."""
    fields: dict[str, Any] = {
        "problem_format_version": "opjudge-2026",
        "uuid": "00000000-0000-4000-8000-000000000001",
        "version": "1.0.0",
        "name": {"en": "Double"},
        "license": "Apache-2.0",
        "operator": {
            "dims": ["rows", "cols"],
            "inputs": [{"name": "x", **TENSOR}],
            "outputs": [{"name": "y", **TENSOR}],
        },
        "workloads": [
            {"name": "sample", "dims": {"rows": 3, "cols": 5}, "sample": True},
            {"name": "prime", "dims": {"rows": 7, "cols": 11}, "hidden": True},
            {"name": "large", "dims": {"rows": 512, "cols": 512}, "timed": True},
        ],
        "cost": {"flops": "rows * cols", "bytes": "8 * rows * cols"},
    }
    return Problem.model_validate({**fields, **changes})
