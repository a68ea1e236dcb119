#!OPJUDGE problem=causal_attention device=cpu
# Cheat: rounds keys and values to half precision, as a compressed cache would.
import torch.nn.functional as F


def solve(q, k, v, o):
    o.copy_(F.scaled_dot_product_attention(q, k.half().float(), v.half().float(), is_causal=True))
