"""Get ready to run a module of `sandbox.harness`, wait, and then run it in this process.

    python -m sandbox.harness.warm SOCKET RULES LIBRARY

The costly part, importing LIBRARY, is done before anybody waits for it. RULES is 1 if a Landlock
rule set comes over the socket first, to be taken on at once. Then this process says that it is
ready and waits for a message: the module, its arguments, the numbers of the descriptors that come
along, and its resource limits. Runs before any contestant code, and for one submission only.
"""

import gc
import importlib
import json
import resource
import runpy
import socket
import sys

from sandbox.harness.receive import confine, connect, place

READY = b"ready"
MESSAGE_BYTES = 1 << 15
"""The longest message."""

_DESCRIPTORS = 64


def main() -> None:
    """Get ready, wait, run."""
    path, rules, library = sys.argv[1:]
    giver = connect(path)
    if int(rules):
        _, (fd,), _, _ = socket.recv_fds(giver, 1, 1)
        confine(fd)
    importlib.import_module(library)
    # The harness collects garbage when it loads a submission: with nothing but that to look at.
    gc.collect()
    gc.freeze()
    giver.sendall(READY)
    message, arrived, _, _ = socket.recv_fds(giver, MESSAGE_BYTES, _DESCRIPTORS)
    module, argv, numbers, limits = json.loads(message)
    for name, soft, hard in limits:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
    place(giver, arrived, numbers)
    sys.argv[1:] = argv
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
