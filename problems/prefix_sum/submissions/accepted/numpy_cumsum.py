#!OPJUDGE problem=prefix_sum device=cpu arrays=numpy
# Honest: NumPy's scan, which adds from left to right in float32.
import numpy as np


def solve(x, y):
    np.cumsum(x, axis=1, out=y)
