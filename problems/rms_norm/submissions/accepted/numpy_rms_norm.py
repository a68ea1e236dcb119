#!OPJUDGE problem=rms_norm device=cpu arrays=numpy
# Honest: NumPy, a dot product per row, in blocks of rows sized by prepare().
import numpy as np

step = 64


def prepare(rows, cols, eps):
    global step
    step = max(1, (1 << 15) // cols)


def solve(x, w, y, eps):
    rows, cols = x.shape
    for start in range(0, rows, step):
        source, target = x[start : start + step], y[start : start + step]
        mean_square = np.einsum("rc,rc->r", source, source) / np.float32(cols)
        scale = 1 / np.sqrt(mean_square + np.float32(eps))
        np.multiply(source, scale[:, None], out=target)
        target *= w
