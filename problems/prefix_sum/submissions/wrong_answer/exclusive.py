#!OPJUDGE problem=prefix_sum device=cpu
# Bug: an exclusive scan, off by one element.
import torch


def solve(x, y):
    y[:, 0] = 0
    torch.cumsum(x[:, :-1], dim=-1, out=y[:, 1:])
