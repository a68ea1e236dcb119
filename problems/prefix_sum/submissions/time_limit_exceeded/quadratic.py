#!OPJUDGE problem=prefix_sum device=cpu
# Right, but far too slow: sums every prefix from its beginning.


def solve(x, y):
    for c in range(x.shape[1]):
        y[:, c] = x[:, : c + 1].sum(dim=-1)
