#!OPJUDGE problem=causal_attention device=cpu arrays=numpy
# Honest: NumPy, one head and 64 queries at a time.
import numpy as np

BLOCK = 64


def solve(q, k, v, o):
    batch, heads, seq, head_dim = q.shape
    scale = np.float32(1 / np.sqrt(head_dim))
    hidden = ~np.tri(BLOCK, dtype=bool)
    for b in range(batch):
        for h in range(heads):
            for first in range(0, seq, BLOCK):
                last = min(first + BLOCK, seq)
                score = (q[b, h, first:last] * scale) @ k[b, h, :last].T
                score[:, first:][hidden[: last - first, : last - first]] = -np.inf
                score -= score.max(axis=1, keepdims=True)
                np.exp(score, out=score)
                score /= score.sum(axis=1, keepdims=True)
                np.matmul(score, v[b, h, :last], out=o[b, h, first:last])
