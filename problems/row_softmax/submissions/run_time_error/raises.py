#!OPJUDGE problem=row_softmax device=cpu
# Raises: reshapes the input to a shape that does not fit.
import torch


def solve(x, y):
    torch.softmax(x.reshape(-1, x.shape[1] + 1), dim=-1, out=y)
