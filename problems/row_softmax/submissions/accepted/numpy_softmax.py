#!OPJUDGE problem=row_softmax device=cpu arrays=numpy
# Honest: NumPy, in blocks of rows whose size is chosen in prepare().
import numpy as np

steps = {}


def prepare(rows, cols):
    steps[rows, cols] = max(1, (1 << 16) // cols)


def solve(x, y):
    step = steps[x.shape]
    for start in range(0, x.shape[0], step):
        source, target = x[start : start + step], y[start : start + step]
        np.subtract(source, source.max(axis=1, keepdims=True), out=target)
        np.exp(target, out=target)
        target /= target.sum(axis=1, keepdims=True)
