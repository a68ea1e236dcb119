#!OPJUDGE problem=rms_norm device=cpu
# Honest: the vendor library's own rms_norm, copied into the output.
import torch.nn.functional as F


def solve(x, w, y, eps):
    y.copy_(F.rms_norm(x, (x.shape[1],), w, eps))
