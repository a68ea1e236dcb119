#!OPJUDGE problem=rms_norm device=cpu
# Bug: uses its own eps instead of the one that was passed.
import torch


def solve(x, w, y, eps):
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)
    torch.mul(x, scale, out=y)
    y.mul_(w)
