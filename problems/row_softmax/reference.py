"""Softmax over the last axis, with the row's maximum subtracted first."""

import torch
from torch import Tensor


def reference(x: Tensor) -> Tensor:
    """Return y with y[r, c] = exp(x[r, c] - max_r) / sum_c exp(x[r, c] - max_r)."""
    shifted = x - x.max(dim=-1, keepdim=True).values
    weight = torch.exp(shifted)
    return weight / weight.sum(dim=-1, keepdim=True)
