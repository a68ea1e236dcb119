#!OPJUDGE problem=prefix_sum device=cpu
# The vendor library's scan, straight into the output.
import torch


def solve(x, y):
    torch.cumsum(x, dim=-1, out=y)
