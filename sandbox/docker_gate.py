"""The host's side of a container's start: a directory that is shown inside, read-only.

The container runs a shell script of ours. A child of it opens its outputs and waits at a FIFO; that
child is what will become the program. Process 1 becomes ``cat`` on a second FIFO: it waits for
nobody, so the dead program and its control group stay until the host has looked at them; and the
host's end closes with the host, which ends the container.
"""

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox import jail
from sandbox.base import SandboxError
from sandbox.docker_places import OUTPUTS
from sandbox.process import Handle

SHOWN = f"{jail.HARNESS_ROOT}/gate"
SOCKET = f"{SHOWN}/socket"

# A shell without job control lets its background children ignore two signals.
SCRIPT = (
    f'(read -r _ <{SHOWN}/go && exec env -i --default-signal=INT,QUIT "$@" </dev/null) '
    f">{OUTPUTS}/stdout 2>{OUTPUTS}/stderr & exec cat {SHOWN}/life"
)

_TIMEOUT_S = 30.0
_UCRED = struct.Struct("3i")


class Gate:
    """What one container's start waits for.

    Args:
        folder: the container's own.
        sharing: whether descriptors will be handed over.
    """

    def __init__(self, folder: Path, sharing: bool) -> None:
        self.shown = folder / "shown"
        with contextlib.ExitStack() as undo:
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
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        path = self.shown / "socket"
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(1)
        return listener

    def open(self) -> None:
        """Let the program start."""
        os.write(self._go, b"\n")

    def receiver(self, program: Handle) -> socket.socket:
        """The connection of the program's process, which nobody else can make then.

        Raises SandboxError if it does not come.
        """
        assert self._listener is not None  # noqa: S101 - the caller said that it would share
        _await(self._listener, program, "come for its descriptors")
        connection, _ = self._listener.accept()
        connection.settimeout(_TIMEOUT_S)
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        if _UCRED.unpack(peer)[0] != program.pid:
            connection.close()
            raise SandboxError("another process came for the program's descriptors")
        (self.shown / "socket").unlink()
        return connection

    def close(self) -> None:
        """Close both ends; what still waits inside then ends."""
        self._undo.close()


def send(connection: socket.socket, message: bytes, fds: Sequence[int], last: bool) -> None:
    """Give the program's process a message and descriptors.

    Args:
        last: return only when they have arrived and it has closed its end; until then, what is in
            flight belongs to nobody yet.

    Raises SandboxError if it does not.
    """
    try:
        socket.send_fds(connection, [message], list(fds))
        if last and connection.recv(1) != b"":
            raise SandboxError("the program answered where nothing was expected")
    except OSError as error:
        raise SandboxError(f"the program did not take its descriptors: {error}") from error


def expect(connection: socket.socket, program: Handle, answer: bytes) -> None:
    """Wait for an answer of the program's process. Raises SandboxError if there is another."""
    _await(connection, program, "get ready")
    if connection.recv(len(answer) + 1) != answer:
        raise SandboxError("the program could not get ready")


def _await(source: socket.socket, program: Handle, what: str) -> None:
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(program.fd, select.POLLIN)
    ready = [fd for fd, _ in poll.poll(_TIMEOUT_S * 1000)]
    if source.fileno() not in ready:
        raise SandboxError(f"the program did not {what}")


def meet(init: int) -> int:
    """The host's process id of the process that waits to become the program.

    Args:
        init: process 1 of the container.

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
        if waiting and len(children) == 1:
            return int(children[0])
        time.sleep(0.001)
    raise SandboxError(
        f"the container did not come up in {_TIMEOUT_S:.0f} s: its image needs sh, cat and env"
    )
