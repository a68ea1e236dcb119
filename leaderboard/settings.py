"""The service's settings, from arguments and `OPJUDGE_` environment variables. Built once."""

import os
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from judge.defaults import local_url
from judge.errors import UserError
from judge.package import bundled_problems
from judge.secret_files import SettingsWithSecrets, with_password
from judge.settings import DEFAULT_DATA_DIR, TOKEN_FILE
from judge.signing import KEY_FILE

_MIB = 1 << 20
_SHORTEST_TOKEN = 16


class Settings(SettingsWithSecrets):
    """What the service needs to know.

    Attributes:
        data_dir: database, packages, the key that records are signed with, and the worker's token,
            unless they are set elsewhere.
        database_url: SQLAlchemy URL; without it, SQLite in the data directory.
        redis_url: where the wake-up queues are; without it workers poll.
        database_password, redis_password: for URLs without one; best from files of secrets.
        problems_dir: folder of problem packages; without it the bundled ones.
        require_certificate: whether a problem needs the certificate that `opjudge problem verify`
            writes to be on offer; one that tells of too small a gap is refused in any case.
        canary_every_s: seconds between two known programs that are handed in on each device to see
            whether they are judged as they must be; 0 for none.
        canary_share: of each device's time that these may use, over an hour; looked at before each.
        public_url: how people reach the service, for links; without it, as this machine does.
        open_registration: whether anybody may make an account.
        worker_token: the token workers present; without it `worker.token` in the data directory,
            made at the first start.
        lease_s: how long a worker may be silent before its judgement is given to another.
        queue_depth: judgements of one device class handed to Redis ahead of time; the rest wait
            in the database, where the fair share is decided.
        requeue_s: how long a judgement may lie in Redis before its job is looked for.
        reconcile_s: seconds between two rounds of the reconciler.
        stream_refresh_s: longest time a live stream goes without looking at the database; how late
            the changes made by another web process are at most, if Redis is away.
        max_pending: judgements one person may have waiting or running.
        max_upload_bytes, max_result_bytes: largest request body of a submission, of a result.
        password_time_cost, password_memory_kib: cost of one argon2 hash.
        login_rate: attempts to log in to one account from one address.
        login_address_rate: logins and registrations from one address; a class may share one.
        api_rate: requests with one account's tokens; workers are not counted.
        api_address_rate: requests from one address.
            Each rate like `10/minute`, or `off`; every web process counts for itself.
    """

    model_config = SettingsConfigDict(env_prefix="OPJUDGE_", frozen=True, extra="ignore")

    data_dir: Path = DEFAULT_DATA_DIR
    database_url: str | None = None
    redis_url: str | None = None
    database_password: SecretStr | None = None
    redis_password: SecretStr | None = None
    problems_dir: Path = Field(default_factory=bundled_problems)
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    require_certificate: bool = True
    canary_every_s: Annotated[float, Field(ge=0)] = 1800.0
    canary_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    public_url: str = Field(default_factory=lambda known: local_url(known["host"], known["port"]))
    open_registration: bool = True
    worker_token: SecretStr | None = None
    lease_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    queue_depth: Annotated[int, Field(ge=1, le=1000)] = 4
    requeue_s: Annotated[float, Field(gt=0)] = 30.0
    reconcile_s: Annotated[float, Field(gt=0)] = 5.0
    stream_refresh_s: Annotated[float, Field(gt=0)] = 10.0
    max_pending: Annotated[int, Field(ge=1)] = 50
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 20 * _MIB
    max_result_bytes: Annotated[int, Field(ge=1024)] = 64 * _MIB
    password_time_cost: Annotated[int, Field(ge=1)] = 3
    password_memory_kib: Annotated[int, Field(ge=64)] = 65536
    login_rate: str = "10/minute"
    login_address_rate: str = "120/minute"
    api_rate: str = "1200/minute"
    api_address_rate: str = "6000/minute"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force, password and all."""
        if self.database_url:
            return with_password(self.database_url, self.database_password)
        return f"sqlite:///{self.data_dir.resolve() / 'opjudge.db'}"

    @property
    def redis(self) -> str | None:
        """The URL of Redis, password and all."""
        return with_password(self.redis_url, self.redis_password) if self.redis_url else None

    @property
    def packages_dir(self) -> Path:
        """Where every version of every package is kept, by hash."""
        return self.data_dir / "packages"

    @property
    def signing_key(self) -> Path:
        """What records are signed with; every backup has it."""
        return self.data_dir / KEY_FILE

    def bootstrap_token(self) -> str:
        """The worker's token; made and stored at the first call if there is none.

        Raises UserError if a given one is too short to be a secret.
        """
        if self.worker_token is not None:
            token = self.worker_token.get_secret_value().strip()
        else:
            token = _token_file(self.data_dir / TOKEN_FILE)
        if len(token) < _SHORTEST_TOKEN:
            raise UserError(
                f"the worker token has {len(token)} characters; give one of at least "
                f"{_SHORTEST_TOKEN}, or remove it to have one made",
                code="weak-worker-token",
            )
        return token


def _token_file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Mode 0600 from the first moment: the file must never be readable by others.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    token = f"opw_{secrets.token_urlsafe(32)}"
    with open(handle, "w", encoding="utf-8") as file:
        file.write(token + "\n")
    return token
