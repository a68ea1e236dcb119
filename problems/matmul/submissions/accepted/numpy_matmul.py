#!OPJUDGE problem=matmul device=cpu arrays=numpy
# Honest: NumPy's BLAS over the same memory.
import numpy as np


def solve(a, b, c):
    np.matmul(a, b, out=c)
