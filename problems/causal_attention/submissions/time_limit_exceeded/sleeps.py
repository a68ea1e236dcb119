#!OPJUDGE problem=causal_attention device=cpu
# Right, but sleeps before it starts.
import time

import torch.nn.functional as F


def solve(q, k, v, o):
    time.sleep(30)
    o.copy_(F.scaled_dot_product_attention(q, k, v, is_causal=True))
