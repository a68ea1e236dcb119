#!OPJUDGE problem=row_softmax device=cpu
# Does not compile: an unclosed bracket.
import torch


def solve(x, y):
    torch.softmax(x, dim=-1, out=y
