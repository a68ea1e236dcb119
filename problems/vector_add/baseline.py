#!OPJUDGE problem=vector_add device=cpu
# The vendor library's addition, straight into the output.
import torch


def solve(x, y, z):
    torch.add(x, y, out=z)
