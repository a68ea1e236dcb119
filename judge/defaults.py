"""What holds where nothing else is said. Light enough for every command to import."""

from pathlib import Path
from typing import Literal

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_DATA_DIR = Path(".opjudge")
DOCKER_IMAGE_VARIABLE = "OPJUDGE_DOCKER_IMAGE"
TOKEN_FILE = "worker.token"  # noqa: S105 - the name of a file, not a secret

SandboxName = Literal["bubblewrap", "docker", "dummy"]


def local_url(host: str, port: int) -> str:
    """How a program on this machine reaches a server that listens on `host` and `port`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared only
    return f"http://{reachable}:{port}"
