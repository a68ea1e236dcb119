#!OPJUDGE problem=vector_add device=cpu
# Never ends: the loop counter does not move.
import torch


def solve(x, y, z):
    i = 0
    while i < x.numel():
        torch.add(x, y, out=z)
