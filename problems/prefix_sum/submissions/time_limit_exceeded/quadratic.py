#!OPJUDGE problem=prefix_sum device=cpu
# Right, but far too slow: sums every prefix of every row from its beginning.


def solve(x, y):
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[r, c] = x[r, : c + 1].sum()
