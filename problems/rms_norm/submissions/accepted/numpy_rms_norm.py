#!OPJUDGE problem=rms_norm device=cpu arrays=numpy
# Honest: NumPy, a dot product per row, in blocks of rows whose size is chosen in prepare().
import numpy as np

steps = {}


def prepare(rows, cols, eps):
    steps[rows, cols] = max(1, (1 << 15) // cols)


def solve(x, w, y, eps):
    step = steps[x.shape]
    for start in range(0, x.shape[0], step):
        source, target = x[start : start + step], y[start : start + step]
        mean_square = np.einsum("rc,rc->r", source, source) / np.float32(x.shape[1])
        scale = 1 / np.sqrt(mean_square + np.float32(eps))
        np.multiply(source, scale[:, None], out=target)
        target *= w
