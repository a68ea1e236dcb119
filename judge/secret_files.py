"""Secrets from files: for container engines and systemd, where the environment is no safe place.

A file is called like the variable in lower case, `opjudge_worker_token`. The variable comes first.
"""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource

from judge.errors import UserError

VARIABLE = "OPJUDGE_SECRETS_DIR"
"""Names the folder. Without it, where systemd puts a unit's credentials."""

_SYSTEMD = "CREDENTIALS_DIRECTORY"


class SettingsWithSecrets(BaseSettings):
    """Settings that are also looked for in the folder of secrets."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        folder = secrets_folder()
        files = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if folder else ()
        return init_settings, env_settings, *files


def secrets_folder() -> Path | None:
    """The folder of secrets, if there is one. Raises UserError if a named one is missing."""
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_dir():
        raise UserError(f"{VARIABLE}: there is no folder {named}", code="bad-setting")
    found = named or os.environ.get(_SYSTEMD)
    return Path(found) if found else None


def with_password(url: str, password: SecretStr | None) -> str:
    """A URL with a password that came apart from it; one that is written in the URL stays."""
    parts = urlsplit(url)
    if password is None or parts.password is not None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    secret = quote(password.get_secret_value().strip(), safe="")
    return urlunsplit(parts._replace(netloc=f"{user}:{secret}@{host}"))


def without_password(url: str) -> str:
    """A URL to show."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
