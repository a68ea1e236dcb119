#!OPJUDGE problem=matmul device=cpu
# Bug: sums k in steps of 16 and forgets the remainder of a k above 16.
import torch


def solve(a, b, c):
    k = a.shape[1]
    whole = k if k < 16 else k // 16 * 16
    torch.mm(a[:, :whole], b[:whole], out=c)
