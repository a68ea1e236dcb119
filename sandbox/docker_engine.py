"""Talking to the Docker engine: errors with remedies, whose container is whose, tidying up."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.base import SandboxError
from sandbox.process import stat_fields

OWNER_LABEL = "opjudge.owner"
TOKEN_LABEL = "opjudge.token"  # noqa: S105 - the name of a label, not a secret

_USUAL = "unix:///var/run/docker.sock"
_TIMEOUT_S = 60
_REMOVAL_TIMEOUT_S = 20
_START_FIELD = 19  # in /proc/<pid>/stat, counted from the state as 0


@contextlib.contextmanager
def engine(url: str | None) -> Iterator[Any]:
    """A connection to the engine at `url` (None: where ``DOCKER_HOST`` says, or the usual socket).

    Each use has its own: a connection must not be shared with a forked child. What the engine
    refuses in the block is raised as SandboxError.
    """
    try:
        import docker
        from docker.errors import APIError, DockerException
    except ImportError as error:
        raise SandboxError("the docker back end needs the package: pip install docker") from error
    where = url or os.environ.get("DOCKER_HOST") or _USUAL
    try:
        _knock(where)
        options = {**docker.utils.kwargs_from_env(), "base_url": where}
        client = docker.APIClient(**options, version="auto", timeout=_TIMEOUT_S)
    except PermissionError as error:
        raise SandboxError(
            f"no permission to use the Docker engine at {where}: run the worker as root"
        ) from error
    except (DockerException, OSError) as error:
        raise SandboxError(
            f"no Docker engine answers at {where}: start dockerd, or set DOCKER_HOST ({error})"
        ) from error
    with contextlib.closing(client):
        try:
            yield client
        except APIError as error:
            raise SandboxError(f"the Docker engine refused: {error.explanation}") from error
        except (DockerException, OSError) as error:
            raise SandboxError(f"the Docker engine failed: {error}") from error


def _knock(url: str) -> None:
    """Raise OSError if nobody listens: the library would leave its socket open."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(url.removeprefix("unix://"))


def find_image(client: Any, name: str) -> dict[str, str]:
    """The id of an image that is here, and its digest in a registry if it came from one.

    None is ever pulled. Raises SandboxError.
    """
    from docker.errors import ImageNotFound

    try:
        image = client.inspect_image(name)
    except ImageNotFound as error:
        raise SandboxError(
            f"there is no image {name!r} in the Docker engine, and none is pulled: "
            "load or build it, then name it in OPJUDGE_DOCKER_IMAGE"
        ) from error
    if (image.get("Config") or {}).get("Volumes"):
        raise SandboxError(
            f"image {name!r} declares volumes, which would be writable and without a quota: "
            "use an image without VOLUME"
        )
    digests = image.get("RepoDigests") or []
    return {"image": str(image["Id"]), **({"image_digest": str(digests[0])} if digests else {})}


def find_runtime(client: Any, name: str | None) -> str:
    """The runtime of that name (None: the engine's own choice). Raises SandboxError."""
    info = client.info()
    if name is not None and name not in info["Runtimes"]:
        raise SandboxError(
            f"the Docker engine has no runtime {name!r} (it has {', '.join(info['Runtimes'])}): "
            "install it, name it under `runtimes` in daemon.json, and restart the engine"
        )
    return name or str(info["DefaultRuntime"])


def launch(client: Any, config: Mapping[str, object], name: str) -> str:
    """Create and start a container; its id. Nothing is left if it does not start."""
    ident = str(client.create_container_from_config(config, name)["Id"])
    try:
        client.start(ident)
    except BaseException:
        remove(client, ident)
        raise
    return ident


def main_process(client: Any, ident: str) -> int:
    """The host's process id of a container's process 1. Raises SandboxError if it has ended."""
    pid = int(client.inspect_container(ident)["State"]["Pid"])
    if pid == 0:
        raise SandboxError("the container ended before its program was started")
    return pid


def update(client: Any, ident: str, memory_bytes: int, processes: int) -> None:
    """Give a running container other limits. The engine refuses less than is used already."""
    limits = {"Memory": memory_bytes, "MemorySwap": memory_bytes, "PidsLimit": processes}
    # The library's own call knows no limit of processes.
    url = f"{client.base_url}/v{client.api_version}/containers/{ident}/update"
    client.post(url, json=limits).raise_for_status()


def remove(client: Any, ident: str) -> None:
    """Kill a container and return when it is removed, whoever else is removing it."""
    from docker.errors import APIError, NotFound

    try:
        client.remove_container(ident, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.response.status_code != 409:  # being removed already
            raise
    with contextlib.suppress(NotFound):
        client.wait(ident, timeout=_REMOVAL_TIMEOUT_S, condition="removed")


def owner(pid: int) -> str:
    """A process that cannot be mistaken for another: boot, pid namespace, pid and start time."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = os.stat("/proc/self/ns/pid").st_ino
    return f"{boot}/{space}/{pid}/{stat_fields(pid)[_START_FIELD]}"


def is_orphan(label: str) -> bool:
    """Whether the process in an owner label is known to be gone."""
    boot, space, pid, _ = label.split("/") if label.count("/") == 3 else ("", "", "", "")
    here = owner(os.getpid()).split("/")
    if boot != here[0]:
        return bool(boot)
    if space != here[1] or not pid.isdigit():
        return False
    try:
        return owner(int(pid)) != label
    except OSError:
        return True


def reap(client: Any) -> list[str]:
    """Remove the containers whose worker is gone; their ids."""
    found = client.containers(all=True, filters={"label": OWNER_LABEL})
    orphans = [str(c["Id"]) for c in found if is_orphan(c["Labels"][OWNER_LABEL])]
    for ident in orphans:
        remove(client, ident)
    return orphans
