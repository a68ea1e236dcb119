"""Factorisations: do the outputs, put together again, give the inputs?

The backward error is what an honest algorithm bounds; the outputs themselves may be far from the
oracle's and right (an ill-conditioned matrix, another sign of an eigenvector).
"""

import math
from collections.abc import Mapping

import numpy as np

from judge.arena import Array
from judge.findings import Findings
from judge.gates import pattern
from judge.tolerance import ROLES, Backward

_BLOCK = 64
"""Rows and columns multiplied at a time: more, and the BLAS behind numpy starts threads."""


def backward(
    rule: Backward, inputs: Mapping[str, Array], outputs: Mapping[str, Array], u: float
) -> Findings:
    """Compare all outputs with the inputs.

    Args:
        u: unit roundoff of the outputs' type.
    """
    given, made = ROLES[rule.of]
    for role in made:
        name = rule.name(role)
        if not (finite := np.isfinite(outputs[name].astype(np.float64))).all():
            return pattern(name, ~finite)
    tensors = {r: inputs[rule.name(r)].astype(np.float64) for r in given}
    tensors |= {r: outputs[rule.name(r)].astype(np.float64) for r in made}
    n = max(tensors["a"].shape[-2:])
    with np.errstate(all="ignore"):
        sizes = _SIZES[rule.of](tensors)
    allowed = {"residual": rule.residual * n * u, "orthogonality": rule.orthogonality * n * u}
    # A structure that is not there is wrong, by whatever amount.
    margins = {
        gate: size / allowed[gate] if gate in allowed else (math.inf if size > 0 else 0.0)
        for gate, size in sizes.items()
    }
    return Findings("", {g: m if m == m else math.inf for g, m in margins.items()})


def _qr(t: Mapping[str, Array]) -> dict[str, float]:
    return {
        "structure": _largest(np.tril(t["r"], -1)),
        "residual": _share(t["a"] - product(t["q"], t["r"]), _norm(t["a"])),
        "orthogonality": _orthogonality(t["q"]),
    }


def _cholesky(t: Mapping[str, Array]) -> dict[str, float]:
    below = np.diagonal(t["l"], axis1=-2, axis2=-1) <= 0
    return {
        "structure": _largest(np.triu(t["l"], 1)) + float(below.any()),
        "residual": _share(t["a"] - product(t["l"], _turned(t["l"])), _norm(t["a"])),
    }


def _solve(t: Mapping[str, Array]) -> dict[str, float]:
    size = _norm(t["a"]) * _norm(t["x"]) + _norm(t["b"])
    return {"residual": _share(product(t["a"], t["x"]) - t["b"], size)}


def _eigh(t: Mapping[str, Array]) -> dict[str, float]:
    scaled = t["v"] * t["w"][..., None, :]
    return {
        "structure": float((np.diff(t["w"], axis=-1) < 0).any()),
        "residual": _share(product(t["a"], t["v"]) - scaled, _norm(t["a"])),
        "orthogonality": _orthogonality(t["v"]),
    }


_SIZES = {"qr": _qr, "cholesky": _cholesky, "solve": _solve, "eigh": _eigh}


def product(a: Array, b: Array) -> Array:
    """a b over the last two axes."""
    result = np.zeros((*a.shape[:-1], b.shape[-1]))
    for i in range(0, a.shape[-2], _BLOCK):
        rows = a[..., i : i + _BLOCK, :]
        for k in range(0, b.shape[-2], _BLOCK):
            part = rows[..., k : k + _BLOCK]
            for j in range(0, b.shape[-1], _BLOCK):
                block = b[..., k : k + _BLOCK, j : j + _BLOCK]
                result[..., i : i + _BLOCK, j : j + _BLOCK] += part @ block
    return result


def _turned(a: Array) -> Array:
    return np.swapaxes(a, -1, -2)


def _norm(a: Array) -> Array:
    """The 1-norm of every matrix: the largest sum of a column."""
    norm: Array = np.abs(a).sum(axis=-2).max(axis=-1)
    return norm


def _share(residual: Array, size: Array) -> float:
    """The largest residual of all matrices; one of nothing must be nothing."""
    norm = _norm(residual)
    return float(np.where(norm == 0, 0.0, norm / size).max())


def _orthogonality(q: Array) -> float:
    return float(_norm(product(_turned(q), q) - np.eye(q.shape[-1])).max())


def _largest(a: Array) -> float:
    return float(np.abs(a).max())
