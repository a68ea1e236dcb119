#!OPJUDGE problem=vector_add device=cpu
# Bug: rounds both operands to half precision before adding.


def solve(x, y, z):
    z.copy_(x.half() + y.half())
