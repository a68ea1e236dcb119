#!OPJUDGE problem=rms_norm device=cpu
# The vendor library: a norm per row without a temporary of full size, then two products in place.
import torch


def solve(x, w, y, eps):
    cols = x.shape[1]
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    scale = norm.square_().div_(cols).add_(eps).rsqrt_()
    torch.mul(x, scale, out=y)
    y.mul_(w)
