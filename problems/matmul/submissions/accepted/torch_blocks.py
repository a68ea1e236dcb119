#!OPJUDGE problem=matmul device=cpu
# Honest: the product summed over slices of k, so the order of summation differs from the baseline's.
import torch

SLICE = 384


def solve(a, b, c):
    torch.mm(a[:, :SLICE], b[:SLICE], out=c)
    for start in range(SLICE, a.shape[1], SLICE):
        c.addmm_(a[:, start : start + SLICE], b[start : start + SLICE])
