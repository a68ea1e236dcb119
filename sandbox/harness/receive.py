"""Become a program that has been given descriptors, where the sandbox cannot pass them itself.

    python receive.py SOCKET FD[,FD...] RULES PROGRAM [ARGUMENT...]

Runs before any contestant code. The descriptors come over the socket, in the order of the numbers.
RULES is the number of one that is a Landlock rule set, to be taken on and closed; or -1.
"""

import ctypes
import fcntl
import os
import signal
import socket
import sys

_LANDLOCK_RESTRICT_SELF = 446  # the same number on every architecture


def connect(path: str) -> socket.socket:
    """The giver of descriptors. Raises OSError."""
    giver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giver.connect(path)
    return giver


def receive(giver: socket.socket, numbers: list[int]) -> None:
    """Take descriptors, give them their numbers, and close the connection. Raises OSError."""
    _, arrived, _, _ = socket.recv_fds(giver, 1, len(numbers))
    place(giver, arrived, numbers)


def place(giver: socket.socket, arrived: list[int], numbers: list[int]) -> None:
    """Give descriptors their numbers, and close the connection. Raises OSError."""
    if len(arrived) != len(numbers):
        raise ConnectionError(f"{len(arrived)} of {len(numbers)} descriptors arrived")
    # Out of the way first: one that has arrived must not lie where another has to go.
    above = max(numbers, default=0) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in (giver.fileno(), *arrived)]
    giver.close()
    for fd in arrived:
        os.close(fd)
    for fd, number in zip(moved[1:], numbers, strict=True):
        os.dup2(fd, number, inheritable=True)
        os.close(fd)
    # Last: it tells the giver that all is in place.
    os.close(moved[0])


def confine(rules: int) -> None:
    """Obey a rule set from here on. Raises OSError if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(rules)


def main() -> None:
    """Receive, then run the program in this process's place."""
    path, numbers, rules, *argv = sys.argv[1:]
    receive(connect(path), [int(number) for number in numbers.split(",")])
    if int(rules) >= 0:
        confine(int(rules))
    # Python ignores these, and what is ignored stays so.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        # As a shell says it.
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main()
