"""Who the program is. Never root, not even the root of a user namespace mapped to the real one.

An ordinary user's bwrap maps that user to nobody: the kernel allows no more. Root can do better,
and must: a program that is the host's uid 0, without any capability, still *owns* every device node
and every root file it is shown, and may chmod /dev/null for the whole machine. So root's sandbox
gets two users, root to build it with and the host's nobody, to which the last step before the
program drops, capabilities, groups and all.
"""

import contextlib
import json
import os
import shutil
import socket
from pathlib import Path

from sandbox.base import SandboxError

NOBODY = 65534
_DROP = (
    "setpriv --reuid=65534 --regid=65534 --clear-groups "
    "--inh-caps=-all{kept} --ambient-caps=-all{kept} --bounding-set=-all{kept} -- "
)


class Identity:
    """The users of one sandbox, to be mapped while its bwrap waits.

    bwrap waits on its standard input: another descriptor would still be open in the program, which
    gets a standard input of its own.

    Args:
        root: whether this process is root, so that the program has to be dropped to nobody.
        admin: let the program keep CAP_SYS_ADMIN over its own namespaces. Only for one of ours.

    Raises SandboxError where that cannot be done.
    """

    def __init__(self, root: bool, *, admin: bool = False) -> None:
        self._root, self._admin = root, admin
        self._pipe: list[int] = []
        if root:
            if shutil.which("setpriv", path="/usr/bin:/bin") is None:
                raise SandboxError(
                    "setpriv (util-linux) is needed to run the sandbox as root: "
                    "install it, or run the worker as an ordinary user"
                )
            self._pipe = [*os.pipe()]

    @property
    def passed(self) -> list[int]:
        """Descriptors that bwrap needs."""
        return self._pipe[1:]

    @property
    def prefix(self) -> str:
        """Shell words that run the rest of the line as the program's user."""
        return _DROP.format(kept=",+sys_admin" if self._admin else "") if self._root else ""

    def options(self) -> list[str]:
        """bwrap's options for it, capabilities included."""
        user = str(0 if self._root else NOBODY)
        options = ["--uid", user, "--gid", user, "--cap-drop", "ALL"]
        kept = ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"] if self._root else []
        for capability in (*kept, *(["CAP_SYS_ADMIN"] if self._admin else [])):
            options += ["--cap-add", capability]
        if not self._root:
            return options
        return [*options, "--info-fd", str(self._pipe[1]), "--userns-block-fd", "0"]

    def establish(self, stdin: socket.socket) -> None:
        """Map the users, then wake bwrap through its standard input.

        Returns without a word if bwrap has died: that has a message of its own.
        """
        if not self._root:
            return
        os.close(self._pipe.pop())
        pid = _child_pid(self._pipe[0])
        if pid is None:
            return
        try:
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{pid}/{kind}").write_text(f"0 0 1\n{NOBODY} {NOBODY} 1\n")
            stdin.sendall(b"\n")
        except OSError as error:
            raise SandboxError(
                f"cannot map users 0 and {NOBODY} into a sandbox: {error}; "
                "run the worker as an ordinary user"
            ) from error

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self._pipe:
            os.close(fd)
        self._pipe = []


def _child_pid(info: int) -> int | None:
    text = b""
    while chunk := os.read(info, 4096):
        text += chunk
        # bwrap keeps the pipe open for a while, so its closing brace is the end.
        with contextlib.suppress(json.JSONDecodeError):
            return int(json.loads(text)["child-pid"])
    return None
