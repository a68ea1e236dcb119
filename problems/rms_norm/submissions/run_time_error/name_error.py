#!OPJUDGE problem=rms_norm device=cpu
# Raises: a name that does not exist.
import torch


def solve(x, w, y, eps):
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + epsilon)
    torch.mul(x * scale, w, out=y)
