#!OPJUDGE problem=causal_attention device=cpu
# Bug: every query sees all keys, those of the future too.
import torch.nn.functional as F


def solve(q, k, v, o):
    o.copy_(F.scaled_dot_product_attention(q, k, v))
