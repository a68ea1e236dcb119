#!OPJUDGE problem=row_softmax device=cpu arrays=numpy
# Honest: NumPy, with the block size chosen in prepare().
import numpy as np

step = 1


def prepare(rows, cols):
    global step
    step = min(rows, max(1, (1 << 16) // cols))


def solve(x, y):
    for start in range(0, x.shape[0], step):
        source, target = x[start : start + step], y[start : start + step]
        np.subtract(source, source.max(axis=1, keepdims=True), out=target)
        np.exp(target, out=target)
        target /= target.sum(axis=1, keepdims=True)
