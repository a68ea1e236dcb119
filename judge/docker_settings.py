"""What an operator says of the docker back end: `OPJUDGE_DOCKER_` variables. Never a contestant."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from judge.errors import UserError

if TYPE_CHECKING:
    from sandbox.docker_config import Devices

_CDI = re.compile(r"[\w.-]+/[\w.-]+=[\w.:-]+")
_GPU = re.compile(r"all|[0-9]+|(GPU|MIG)-[0-9a-fA-F/-]+")

# What a program needs of Ascend's driver: a node for each NPU, three for all, and its libraries.
_ASCEND_NODES = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
_ASCEND_DRIVER = Path("/usr/local/Ascend/driver")
_ASCEND_MORE = (
    Path("/usr/local/dcmi"),
    Path("/usr/local/bin/npu-smi"),
    Path("/etc/ascend_install.info"),
)
_ASCEND_LIBRARIES = ("lib64", "lib64/common", "lib64/driver")


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class DockerSettings(BaseSettings):
    """The settings of the docker back end; lists have commas or spaces between.

    Attributes:
        image: name, digest or id of an image that the engine has.
        runtime: the engine's runtime for what is timed; by default its own choice.
        build_runtime: the runtime for builds, where that is another: ``runsc``.
        warm: containers that wait for programs of the harness.
        gpus: NVIDIA devices: ``all``, numbers or UUIDs, or names of CDI such as
            ``nvidia.com/gpu=0``.
        ascend: numbers of Ascend NPUs.
        devices: other device nodes.
        mounts: host files and directories of drivers, shown read-only in the same place.
    """

    model_config = SettingsConfigDict(env_prefix="OPJUDGE_DOCKER_", frozen=True, extra="ignore")

    image: str = ""
    runtime: str | None = None
    build_runtime: str | None = None
    warm: Annotated[int, Field(ge=0, le=64)] = 3
    gpus: Words = ()
    ascend: Words = ()
    devices: Words = ()
    mounts: Words = ()

    def shown(self) -> "Devices":
        """The accelerators. Raises UserError for one that is not there, or not a name."""
        from sandbox.docker_config import Devices

        nodes = (*self._ascend_nodes(), *self.devices)
        mounts = (*self._ascend_mounts(), *map(Path, self.mounts))
        for node in nodes:
            _check("devices", node, Path(node).is_char_device(), "a character device under /dev")
        for mount in mounts:
            there = mount.is_absolute() and mount.exists()
            _check("mounts", str(mount), there, "an absolute path of this machine")
        libraries = [str(_ASCEND_DRIVER / name) for name in _ASCEND_LIBRARIES]
        variables = {"LD_LIBRARY_PATH": ":".join(libraries)} if self.ascend else {}
        return Devices(nodes, tuple(self._requests()), mounts, variables)

    def _requests(self) -> Iterator[dict[str, object]]:
        """Device requests as the engine's API has them, for NVIDIA."""
        for name in self.gpus:
            good = bool(_CDI.fullmatch(name) or _GPU.fullmatch(name))
            _check("gpus", name, good, "all, a number, a UUID, or a CDI name (nvidia.com/gpu=0)")
        cdi = [name for name in self.gpus if "=" in name]
        plain = [name for name in self.gpus if "=" not in name]
        if cdi:
            yield {"Driver": "cdi", "DeviceIDs": cdi}
        if plain:
            which = {"Count": -1} if "all" in plain else {"DeviceIDs": plain}
            yield {"Driver": "nvidia", "Capabilities": [["gpu", "compute", "utility"]], **which}

    def _ascend_nodes(self) -> tuple[str, ...]:
        for number in self.ascend:
            _check("ascend", number, number.isdecimal(), "the number of an NPU")
        ours = tuple(f"/dev/davinci{number}" for number in self.ascend)
        return (*ours, *_ASCEND_NODES) if ours else ()

    def _ascend_mounts(self) -> tuple[Path, ...]:
        # Which of the others there are depends on the driver's version.
        more = tuple(path for path in _ASCEND_MORE if path.exists())
        return (_ASCEND_DRIVER, *more) if self.ascend else ()


def docker_settings() -> DockerSettings:
    """The settings from the environment. Raises UserError, naming the variable."""
    try:
        return DockerSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"OPJUDGE_DOCKER_{first['loc'][0]}".upper()
        raise UserError(
            f"setting {name}={os.environ.get(name, '')!r}: {first['msg']}", code="bad-setting"
        ) from error


def _check(setting: str, value: str, good: bool, wanted: str) -> None:
    if not good:
        raise UserError(
            f"setting OPJUDGE_DOCKER_{setting.upper()}: {value!r} is not {wanted}",
            code="bad-setting",
        )
