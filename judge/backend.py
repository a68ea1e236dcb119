"""The sandbox back ends by name. Imported late: each pulls in what only it needs."""

from pathlib import Path

from judge.defaults import SandboxName
from judge.errors import UserError
from sandbox.base import Sandbox, SandboxError

OURS = tuple(Path(__file__).parent.with_name(name) for name in ("judge", "leaderboard"))
"""Covered inside: installed, they lie beside torch, with the hidden workloads in them."""


def make_sandbox(name: SandboxName) -> Sandbox:
    """The back end of that name. Raises UserError if it does not work on this machine."""
    try:
        if name == "dummy":
            from sandbox.dummy import Dummy

            return Dummy()
        from sandbox.bubblewrap import Bubblewrap

        return Bubblewrap(hide=OURS)
    except SandboxError as error:
        raise UserError(
            f"the sandbox {name!r} does not work on this machine: {error}", code="no-sandbox"
        ) from error
