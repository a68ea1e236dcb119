#!OPJUDGE problem=causal_attention device=cpu
# The vendor library's fused attention, copied into the output.
import torch.nn.functional as F


def solve(q, k, v, o):
    o.copy_(F.scaled_dot_product_attention(q, k, v, is_causal=True))
