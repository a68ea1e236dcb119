"""What the attacks are after: things of the host that must not be reached from inside."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.base import SandboxError
from sandbox.identity import NOBODY

SIGNAL = signal.SIGUSR2


class Bait:
    """A file, a folder, two listening sockets and a process. Use as a context manager.

    Raises SandboxError if it cannot be laid out.

    Attributes:
        token: what a reader would find.
        folder: anybody may write here; holds the readable file ``secret``.
        port, abstract: a TCP port of the loopback, and the name of an abstract unix socket.
        pid: a process of the user that programs run as. It ends when this process does.
    """

    def __enter__(self) -> Self:
        self.token = secrets.token_hex(16)
        with contextlib.ExitStack() as undo:
            try:
                self._lay_out(undo)
            except OSError as error:
                raise SandboxError(f"cannot lay out the self-check's bait: {error}") from error
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._undo.close()

    def was_signalled(self) -> bool:
        """Whether the process has got `SIGNAL`: it blocks it, so that it stays pending."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("ShdPnd:"):
                return bool(int(line.split()[1], 16) & 1 << (SIGNAL - 1))
        return False

    def _lay_out(self, undo: contextlib.ExitStack) -> None:
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="opjudge-bait-"))
        self.folder = Path(folder)
        self.folder.chmod(0o777)
        (self.folder / "secret").write_text(self.token)
        (self.folder / "secret").chmod(0o644)
        server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = int(server.getsockname()[1])
        self.abstract = f"opjudge-bait-{self.token}"
        hidden = undo.enter_context(socket.socket(socket.AF_UNIX))
        hidden.bind("\0" + self.abstract)
        hidden.listen()
        process = self._start_process()
        undo.callback(_end, process)
        self.pid = process.pid

    def _start_process(self) -> subprocess.Popen[bytes]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [SIGNAL])
        root = os.geteuid() == 0
        try:
            # The token only shows in its command line. At the end of its input it ends.
            return subprocess.Popen(
                ["/bin/sh", "-c", "read -r _", self.token],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                user=NOBODY if root else None,
                group=NOBODY if root else None,
                extra_groups=[] if root else None,
            )
        except subprocess.SubprocessError as error:
            raise OSError(str(error)) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
