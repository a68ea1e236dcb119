#!OPJUDGE problem=prefix_sum device=cpu
# Does not compile: the body of the loop is not indented.
import torch


def solve(x, y):
    for r in range(x.shape[0]):
    torch.cumsum(x[r], dim=0, out=y[r])
