#!OPJUDGE problem=prefix_sum device=cpu
# Honest: scans blocks of 128 by doubling the stride, then adds what the blocks before sum to.
import torch

BLOCK = 128


def solve(x, y):
    rows, cols = x.shape
    padded = -(-cols // BLOCK) * BLOCK
    work = torch.zeros(rows, padded)
    work[:, :cols] = x
    blocks = work.view(rows, -1, BLOCK)
    stride = 1
    while stride < BLOCK:
        blocks[:, :, stride:] += blocks[:, :, :-stride].clone()
        stride *= 2
    carry = torch.zeros(rows)
    for index in range(blocks.shape[1]):
        total = blocks[:, index, -1].clone()
        blocks[:, index] += carry[:, None]
        carry += total
    y.copy_(work[:, :cols])
