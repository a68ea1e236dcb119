#!OPJUDGE problem=vector_add device=cpu arrays=numpy
# Honest: NumPy over the same memory.
import numpy as np


def solve(x, y, z):
    np.add(x, y, out=z)
