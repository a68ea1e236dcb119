#!OPJUDGE problem=rms_norm device=cpu
# Right, but far too slow: one Python step per element.
import math


def solve(x, w, y, eps):
    weights = w.tolist()
    for r in range(x.shape[0]):
        row = [float(v) for v in x[r]]
        scale = 1 / math.sqrt(sum(v * v for v in row) / len(row) + eps)
        for c, v in enumerate(row):
            y[r, c] = v * scale * weights[c]
