"""What a worker with the docker back end needs of its machine."""

import importlib.util
from collections.abc import Callable

from judge.defaults import DOCKER_IMAGE_VARIABLE
from judge.docker_settings import DockerSettings, docker_settings
from judge.errors import UserError
from judge.requirement import Requirement, found
from sandbox.base import SandboxError
from sandbox.docker import need_fitting, need_root
from sandbox.docker_engine import engine, find_image, find_runtime

_NO_JUDGING = "no sandbox, no judging"


def docker_requirements() -> list[Requirement]:
    """Each thing by itself, as far as it can be seen without the others."""
    try:
        settings, wrong = docker_settings(), ""
        settings.shown()
    except UserError as error:
        settings, wrong = DockerSettings.model_construct(), str(error)
    there = importlib.util.find_spec("docker") is not None
    return [
        _looked("root", _root, "run the worker as root, or use the bubblewrap back end"),
        found(
            "docker's library", "is there" if there else None, "not installed", _NO_JUDGING,
            "pip install docker", needed=True,
        ),
        _looked(
            "Docker engine", _engine,
            "start dockerd, or set DOCKER_HOST to where it listens; the worker has to be root",
        ),
        found(
            "settings", None if wrong else "make sense", wrong, _NO_JUDGING,
            "correct or unset the variable that is named", needed=True,
        ),
        _looked(
            "image", lambda: _image(settings),
            f"load or build one (docker load, docker import), name it in {DOCKER_IMAGE_VARIABLE}",
        ),
        _looked(
            "runtimes", lambda: _runtimes(settings),
            "install the runtime, name it under `runtimes` in daemon.json and restart the engine; "
            "or unset OPJUDGE_DOCKER_RUNTIME and OPJUDGE_DOCKER_BUILD_RUNTIME",
        ),
    ]  # fmt: skip


def _looked(name: str, look: Callable[[], str], remedy: str) -> Requirement:
    """Met if the look finds something; what it raises is what is seen else."""
    try:
        return found(name, look(), "", _NO_JUDGING, remedy, needed=True)
    except SandboxError as error:
        return found(name, None, str(error), _NO_JUDGING, remedy, needed=True)


def _root() -> str:
    need_root()
    return "is what this is"


def _engine() -> str:
    with engine(None) as client:
        return f"engine {client.version()['Version']}"


def _image(settings: DockerSettings) -> str:
    if not settings.image:
        raise SandboxError(f"no image is named in {DOCKER_IMAGE_VARIABLE}")
    with engine(None) as client:
        facts = find_image(client, settings.image)
    return facts.get("image_digest") or facts["image"]


def _runtimes(settings: DockerSettings) -> str:
    need_fitting(settings.runtime, settings.build_runtime)
    with engine(None) as client:
        timed = find_runtime(client, settings.runtime)
        builds = find_runtime(client, settings.build_runtime or timed)
    return timed if timed == builds else f"{timed}; {builds} for builds"
