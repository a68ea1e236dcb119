"""Become a program that has been given descriptors, where the sandbox cannot pass them itself.

    python receive.py SOCKET FD[,FD...] RULES PROGRAM [ARGUMENT...]

Runs before any contestant code. The descriptors come over the socket, in the order of the numbers.
RULES is the number of one that is a Landlock rule set, to be taken on and closed; or -1.
"""

import ctypes
import fcntl
import os
import socket
import sys

_LANDLOCK_RESTRICT_SELF = 446  # the same number on every architecture


def receive(path: str, numbers: list[int]) -> None:
    """Take the descriptors and give them their numbers. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as giver:
        # Out of the way: a descriptor that arrives must not lie where another has to go.
        above = max(numbers) + 1
        connection = socket.socket(fileno=fcntl.fcntl(giver, fcntl.F_DUPFD_CLOEXEC, above))
        connection.connect(path)
    with connection:
        _, arrived, _, _ = socket.recv_fds(connection, 1, len(numbers))
        if len(arrived) != len(numbers):
            raise ConnectionError(f"{len(arrived)} of {len(numbers)} descriptors arrived")
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in arrived]
        for fd in arrived:
            os.close(fd)
        for fd, number in zip(moved, numbers, strict=True):
            os.dup2(fd, number, inheritable=True)
            os.close(fd)


def confine(rules: int) -> None:
    """Obey a rule set from here on. Raises OSError if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(rules)


def main() -> None:
    """Receive, then run the program in this process's place."""
    path, numbers, rules, *argv = sys.argv[1:]
    receive(path, [int(number) for number in numbers.split(",")])
    if int(rules) >= 0:
        confine(int(rules))
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
