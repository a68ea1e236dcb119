#!OPJUDGE problem=row_softmax device=cpu
# Bug: the sum runs over whole groups of 32 columns and misses the rest of a long row.
import torch


def solve(x, y):
    weight = torch.exp(x - x.amax(dim=-1, keepdim=True))
    whole = x.shape[1] // 32 * 32 or x.shape[1]
    torch.div(weight, weight[:, :whole].sum(dim=-1, keepdim=True), out=y)
