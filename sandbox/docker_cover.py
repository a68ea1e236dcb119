"""Cover a container's /proc: nothing is left of it but the facts about the processor.

The engine insists on a /proc, and a container needs one while it is set up. So the host enters the
container's mount namespace, once it is complete and before the program runs, and mounts an empty
file system over it. Nobody inside can take that away: there are no capabilities, and the
system-call filter refuses mount, umount and new namespaces.

A thread cannot change its mount namespace, so this is run as a program of its own:

    python docker_cover.py FD

FD is the mount namespace. No program of the container's is run in there, and no library loaded.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
_NOSUID, _NODEV, _NOEXEC, _REMOUNT, _READ_ONLY = 2, 4, 8, 32, 1
_CLOSED = _NOSUID | _NODEV | _NOEXEC
_TIMEOUT_S = 30.0

FACTS = "/proc/cpuinfo"
"""What stays: torch picks its vector instructions through a library that reads it."""


def cover(init: int) -> None:
    """Cover the /proc that process `init` sees. Raises OSError if that cannot be done."""
    fd = os.open(f"/proc/{init}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", __file__, str(fd)],
            pass_fds=[fd],
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"/proc was not covered in {_TIMEOUT_S:.0f} s") from error
    finally:
        os.close(fd)
    if done.returncode != 0:
        raise OSError(f"/proc was not covered: {done.stderr.strip()[-500:]}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def main() -> None:
    """Enter and cover."""
    facts = Path(FACTS).read_bytes()
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.setns(int(sys.argv[1]), _NEW_MOUNTS), "setns")
    room = f"size={len(facts) + 65536},nr_inodes=4,mode=0755".encode()
    _checked(libc.mount(b"opjudge", b"/proc", b"tmpfs", _CLOSED, room), "mount")
    Path(FACTS).write_bytes(facts)
    Path(FACTS).chmod(0o444)
    again = _REMOUNT | _READ_ONLY | _CLOSED
    _checked(libc.mount(b"opjudge", b"/proc", b"tmpfs", again, b"mode=0755"), "remount")


if __name__ == "__main__":
    main()
