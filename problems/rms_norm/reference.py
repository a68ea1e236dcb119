"""Root-mean-square normalisation over the last axis."""

import torch
from torch import Tensor


def reference(x: Tensor, w: Tensor, eps: float) -> Tensor:
    """Return y with y[r, c] = x[r, c] * w[c] / sqrt(mean_c(x[r, c]^2) + eps)."""
    mean_square = x.square().mean(dim=-1, keepdim=True)
    return x * torch.rsqrt(mean_square + eps) * w
