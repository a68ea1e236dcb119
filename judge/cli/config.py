"""Which server the command line talks to and as whom, kept in the user's configuration folder."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from judge.client import Client
from judge.defaults import DEFAULT_URL
from judge.errors import UserError


class Login(BaseModel):
    """A person's token for one server."""

    model_config = ConfigDict(frozen=True)

    user: str
    token: str


class Config(BaseModel):
    """`config.json`: a token is only ever sent to the server that gave it.

    Attributes:
        url: the server used when none is named.
        logins: by server address.
    """

    model_config = ConfigDict(frozen=True)

    url: str | None = None
    logins: dict[str, Login] = Field(default_factory=dict)

    def with_login(self, url: str, login: Login) -> "Config":
        """Logged in there, and using it from now on."""
        return Config(url=url, logins={**self.logins, url: login})

    def without_login(self, url: str) -> "Config":
        return Config(url=self.url, logins={k: v for k, v in self.logins.items() if k != url})


def _folder(variable: str, fallback: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "opjudge"


def config_path() -> Path:
    return _folder("XDG_CONFIG_HOME", ".config") / "config.json"


def cache_dir() -> Path:
    return _folder("XDG_CACHE_HOME", ".cache")


def load_config() -> Config:
    """The stored configuration, an empty one if there is none."""
    path = config_path()
    try:
        return Config.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Config()
    except ValidationError as error:
        raise UserError(
            f"{path} is damaged; remove it and log in again", code="bad-config"
        ) from error


def save_config(config: Config) -> None:
    """Store it, readable by this user alone from the first moment."""
    path = config_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(config.model_dump_json(indent=2) + "\n")
    draft.replace(path)


def server_url(given: str | None) -> str:
    """The server to talk to: the one named, else the one last logged in to, else this machine."""
    return (given or load_config().url or DEFAULT_URL).rstrip("/")


def connect(given: str | None) -> Client:
    """A client for that server, with OPJUDGE_TOKEN or the token stored for it."""
    url = server_url(given)
    login = load_config().logins.get(url)
    token = os.environ.get("OPJUDGE_TOKEN") or (login.token if login else None)
    return Client(url, token)
