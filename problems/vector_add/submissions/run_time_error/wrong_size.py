#!OPJUDGE problem=vector_add device=cpu
# Raises: copies one element too many into z.
import torch


def solve(x, y, z):
    z.copy_(torch.cat([x + y, x[:1]]))
