"""The worker's settings, from arguments and `OPJUDGE_` environment variables. Built once."""

import platform
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from judge.defaults import DEFAULT_DATA_DIR, DEFAULT_URL, TOKEN_FILE, SandboxName
from judge.errors import UserError
from judge.secret_files import SettingsWithSecrets, with_password

__all__ = ["DEFAULT_DATA_DIR", "DEFAULT_URL", "TOKEN_FILE", "SandboxName", "WorkerSettings"]


class WorkerSettings(SettingsWithSecrets):
    """What a worker needs to know.

    Attributes:
        url: the service it works for.
        worker_token: bearer token with worker scope; without it `worker.token` in the data
            directory is read.
        redis_url: where its wake-up queue is; without it the worker asks the service every
            `poll_s` seconds.
        redis_password: for a `redis_url` without one; best from a file of secrets.
        device: device class it judges for; names its queue.
        data_dir: cache of problem packages and undelivered results.
        name: how the worker signs its judgements.
        sandbox: what isolates submissions; `dummy` isolates nothing and is for tests.
        allow: layers and probes of the sandbox's self-check to do without, with commas between.
        poll_s: longest time between two questions to the service while idle.
        judging_limit_s: a judging that takes longer is broken off and given back.
    """

    model_config = SettingsConfigDict(env_prefix="OPJUDGE_", frozen=True, extra="ignore")

    url: str = DEFAULT_URL
    worker_token: str | None = Field(default=None, repr=False)
    redis_url: str | None = None
    redis_password: SecretStr | None = None
    device: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")] = "cpu"
    data_dir: Path = DEFAULT_DATA_DIR
    name: str = Field(default_factory=platform.node)
    sandbox: SandboxName = "bubblewrap"
    allow: str = ""
    poll_s: Annotated[float, Field(gt=0, le=60)] = 3.0
    judging_limit_s: Annotated[float, Field(gt=0)] = 1800.0

    @property
    def home(self) -> Path:
        """The worker's own folder; the service may share the data directory."""
        return self.data_dir / "worker"

    @property
    def redis(self) -> str | None:
        """The URL of Redis, password and all."""
        return with_password(self.redis_url, self.redis_password) if self.redis_url else None

    @property
    def queue(self) -> str:
        """The RQ queue of this device class."""
        return f"judge-{self.device}"

    def token(self) -> str:
        """The worker's bearer token. Raises UserError if there is none."""
        if self.worker_token:
            return self.worker_token
        path = self.data_dir / TOKEN_FILE
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise UserError(
                f"a worker needs a token: give --token or OPJUDGE_WORKER_TOKEN, or a data "
                f"directory that holds {TOKEN_FILE} (looked for {path})",
                code="no-worker-token",
            ) from None
