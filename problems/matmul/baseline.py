#!OPJUDGE problem=matmul device=cpu
# The vendor library's GEMM, straight into the output.
import torch


def solve(a, b, c):
    torch.mm(a, b, out=c)
