"""The sandbox back ends by name. Imported late: each pulls in what only it needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from judge.cores import environment
from judge.defaults import DOCKER_IMAGE_VARIABLE, SandboxName
from judge.errors import UserError
from sandbox.base import Sandbox, SandboxError

OURS = tuple(Path(__file__).parent.with_name(name) for name in ("judge", "leaderboard"))
"""Covered inside: installed, they lie beside torch, with the hidden workloads in them."""


def make_sandbox(name: SandboxName) -> Sandbox:
    """The back end of that name. Raises UserError if it does not work on this machine.

    What the docker back end is to use is named in the environment: see `judge.docker_settings`.
    """
    try:
        if name == "dummy":
            from sandbox.dummy import Dummy

            return Dummy()
        if name == "docker":
            return _docker()
        from sandbox.bubblewrap import Bubblewrap

        return Bubblewrap(hide=OURS)
    except SandboxError as error:
        raise UserError(
            f"the sandbox {name!r} does not work on this machine: {error}", code="no-sandbox"
        ) from error


@contextmanager
def warmed(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox, with warm starts for the harnesses of a judging for as long as this lasts."""
    sandbox.refill(environment())
    try:
        yield sandbox
    finally:
        sandbox.close()


def _docker() -> Sandbox:
    from judge.docker_settings import docker_settings
    from sandbox.docker import Docker

    settings = docker_settings()
    if not settings.image:
        raise SandboxError(
            f"name an image that the Docker engine has in {DOCKER_IMAGE_VARIABLE}; "
            "it needs sh, cat, env and, for C++, g++"
        )
    return Docker(
        settings.image,
        hide=OURS,
        runtime=settings.runtime,
        build_runtime=settings.build_runtime,
        devices=settings.shown(),
        warm=settings.warm,
    )
