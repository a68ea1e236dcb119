"""Matrix product."""

from torch import Tensor


def reference(a: Tensor, b: Tensor) -> Tensor:
    """Return c with c[i, j] = sum over p of a[i, p] * b[p, j]."""
    return a @ b
