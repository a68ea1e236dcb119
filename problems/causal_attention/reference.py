"""Causal scaled dot-product attention."""

import math

import torch
from torch import Tensor


def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return o = softmax(q k^T / sqrt(head_dim), masked to keys not after the query) v."""
    seq, head_dim = q.shape[-2:]
    score = q @ k.transpose(-2, -1) / math.sqrt(head_dim)
    future = torch.ones(seq, seq, dtype=torch.bool).triu(diagonal=1)
    weight = torch.softmax(score.masked_fill(future, -math.inf), dim=-1)
    return weight @ v
