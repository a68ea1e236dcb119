#!OPJUDGE problem=row_softmax device=cpu
# The vendor library's softmax, straight into the output.
import torch


def solve(x, y):
    torch.softmax(x, dim=-1, out=y)
