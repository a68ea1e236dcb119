#!OPJUDGE problem=row_softmax device=cpu
# Honest: softmax spelled out in torch, in blocks of rows that stay in the cache.
import torch

BLOCK = 1 << 16


def solve(x, y):
    rows, cols = x.shape
    step = max(1, BLOCK // cols)
    for start in range(0, rows, step):
        part = y[start : start + step]
        source = x[start : start + step]
        torch.sub(source, source.amax(dim=-1, keepdim=True), out=part)
        part.exp_()
        part.div_(part.sum(dim=-1, keepdim=True))
