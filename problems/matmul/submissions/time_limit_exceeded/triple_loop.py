#!OPJUDGE problem=matmul device=cpu
# Right, but far too slow: three loops in Python.


def solve(a, b, c):
    left, right = a.tolist(), b.t().tolist()
    for i, row in enumerate(left):
        for j, column in enumerate(right):
            c[i, j] = sum(x * y for x, y in zip(row, column))
