"""The host's side of a container's start: a private directory that is shown inside, read-only.

The container runs a shell script of ours. A child of it opens its outputs and waits at a FIFO; that
child is what will become the program. Process 1 becomes ``cat`` on a second FIFO: it waits for
nobody, so the dead program and its control group stay until the host has looked at them; and the
host's end closes with the host, which ends the container.
"""

import contextlib
import os
import select
import shutil
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.base import SandboxError
from sandbox.docker_engine import is_orphan
from sandbox.process import Handle

INSIDE = "/run/opjudge"
OUTPUTS = f"{INSIDE}/out"
SHOWN = f"{INSIDE}/gate"
SOCKET = f"{SHOWN}/socket"

# A shell without job control lets its background children ignore two signals.
SCRIPT = (
    f'(read -r _ <{SHOWN}/go && exec env -i --default-signal=INT,QUIT "$@" </dev/null) '
    f">{OUTPUTS}/stdout 2>{OUTPUTS}/stderr & exec cat {SHOWN}/life"
)

_HOME = Path("/run/opjudge")
_TIMEOUT_S = 30.0
_UCRED = struct.Struct("3i")


class Gate:
    """The directory of one container.

    Args:
        name: unlike any other on this host.
        owner: who it belongs to, as in `sandbox.docker_engine.owner`.
        sharing: whether descriptors will be handed over.
    """

    def __init__(self, name: str, owner: str, sharing: bool, home: Path = _HOME) -> None:
        self._folder = home / name
        self.shown = self._folder / "shown"
        with contextlib.ExitStack() as undo:
            self._folder.mkdir(mode=0o700, parents=True)
            # A forked child may have been here first.
            undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
            (self._folder / "owner").write_text(owner)
            self.shown.mkdir()
            self.shown.chmod(0o755)
            self._go = self._fifo("go", undo)
            self._life = self._fifo("life", undo)
            self._listener = self._listen(undo) if sharing else None
            self._undo = undo.pop_all()

    def _fifo(self, name: str, undo: contextlib.ExitStack) -> int:
        path = self.shown / name
        os.mkfifo(path)
        path.chmod(0o644)
        # Both ends, so that neither side waits for the other to open it.
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        undo.callback(os.close, fd)
        return fd

    def _listen(self, undo: contextlib.ExitStack) -> socket.socket:
        listener = undo.enter_context(socket.socket(socket.AF_UNIX))
        path = self.shown / "socket"
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(1)
        return listener

    def open(self) -> None:
        """Let the program start."""
        os.write(self._go, b"\n")

    def hand_over(self, program: Handle, fds: Sequence[int]) -> None:
        """Give the program's process the descriptors, and let nobody connect again.

        Raises SandboxError if it does not come for them.
        """
        assert self._listener is not None  # noqa: S101 - the caller said that it would share
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(program.fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(_TIMEOUT_S * 1000)]
        if self._listener.fileno() not in ready:
            raise SandboxError("the program did not come for its descriptors")
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(_TIMEOUT_S)
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            if _UCRED.unpack(peer)[0] != program.pid:
                raise SandboxError("another process came for the program's descriptors")
            socket.send_fds(connection, [b"\0"], list(fds))
            # Until it has closed its end, what is in flight belongs to nobody yet.
            if connection.recv(1) != b"":
                raise SandboxError("the program answered where nothing was expected")
        (self.shown / "socket").unlink()

    def close(self) -> None:
        """Close both ends and remove the directory; what still waits inside then ends."""
        self._undo.close()


def sweep(home: Path = _HOME) -> None:
    """Remove the directories of workers that are gone."""
    for label in home.glob("*/owner"):
        with contextlib.suppress(OSError):
            if is_orphan(label.read_text()):
                shutil.rmtree(label.parent)


def meet(init: int, outputs: int) -> int:
    """The host's process id of the process that waits to become the program.

    Args:
        init: process 1 of the container.
        outputs: its directory of outputs.

    Raises SandboxError if it does not come to that.
    """
    deadline = time.monotonic() + _TIMEOUT_S
    own = Path(f"/proc/{init}")
    while time.monotonic() < deadline:
        try:
            children = (own / f"task/{init}/children").read_text().split()
            waiting = (own / "comm").read_text() == "cat\n"
        except OSError as error:
            raise SandboxError("the container ended before its program was started") from error
        if waiting and len(children) == 1 and "stderr" in os.listdir(outputs):
            return int(children[0])
        time.sleep(0.001)
    raise SandboxError(
        f"the container did not come up in {_TIMEOUT_S:.0f} s: its image needs sh, cat and env"
    )
