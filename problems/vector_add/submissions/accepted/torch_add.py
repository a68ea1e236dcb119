#!OPJUDGE problem=vector_add device=cpu
# Honest: the vendor library, cut into blocks that fit a cache.
import torch

BLOCK = 1 << 20


def solve(x, y, z):
    for start in range(0, x.numel(), BLOCK):
        part = slice(start, start + BLOCK)
        torch.add(x[part], y[part], out=z[part])
