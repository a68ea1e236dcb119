"""register, login, logout, whoami."""

import os
from typing import Annotated

import typer
from pydantic import ValidationError

from judge.cli.config import Login, connect, load_config, save_config, server_url
from judge.cli.options import Url
from judge.cli.output import Json, Output, make_output
from judge.client import Client
from judge.errors import ApiError, UserError
from judge.wire import Credentials, TokenRequest, User

Name = Annotated[str, typer.Argument(help="Your name on the boards.", metavar="NAME")]
PasswordOption = Annotated[
    str | None,
    typer.Option("--password", envvar="OPJUDGE_PASSWORD", help="Asked for if it is not given."),
]


def register(
    name: Name, password: PasswordOption = None, url: Url = None, as_json: Json = False
) -> None:
    """Make an account on a server, and log in."""
    output = make_output(as_json)
    secret = password or _ask(output, confirm=True)
    credentials = _checked(name, secret)
    with Client(server_url(url)) as client:
        client.register(credentials)
    _log_in(output, name, secret, url, "registered and logged in")


def login(
    name: Name, password: PasswordOption = None, url: Url = None, as_json: Json = False
) -> None:
    """Log in to a server; the token is kept in your configuration folder."""
    output = make_output(as_json)
    _log_in(output, name, password or _ask(output, confirm=False), url, "logged in")


def logout(url: Url = None, as_json: Json = False) -> None:
    """Revoke the stored token and forget it."""
    output = make_output(as_json)
    config, address = load_config(), server_url(url)
    if address not in config.logins:
        raise UserError(f"you are not logged in to {address}", code="not-logged-in")
    with Client(address, config.logins[address].token) as client:
        try:
            client.revoke_token()
        except ApiError as error:
            # A token that is no longer good needs no revoking.
            if error.status != 401:
                raise
    save_config(config.without_login(address))
    output.result({"url": address}, lambda: output.say(f"logged out of {address}"))


def whoami(url: Url = None, as_json: Json = False) -> None:
    """Show as whom you are logged in, and where."""
    output = make_output(as_json)
    with connect(url) as client:
        user = client.me()
        output.result(user, lambda: output.say(f"{user.name} on {client.url}"))


def _log_in(output: Output, name: str, password: str, url: str | None, done: str) -> None:
    credentials = _checked(name, password)
    address = server_url(url)
    label = f"cli on {os.uname().nodename}"[:64]
    request = TokenRequest(name=credentials.name, password=credentials.password, label=label)
    with Client(address) as client:
        token = client.create_token(request)
    with Client(address, token.token) as client:
        user: User = client.me()
    save_config(load_config().with_login(address, Login(user=token.user, token=token.token)))
    output.result(user, lambda: output.say(f"{done} as {user.name} on {address}"))


def _checked(name: str, password: str) -> Credentials:
    try:
        return Credentials(name=name, password=password)
    except ValidationError as error:
        place = error.errors()[0]["loc"][0]
        remedy = {
            "name": "a name has 2 to 32 letters, digits, `.`, `_` or `-`, "
            "and begins with a letter or digit",
            "password": "a password has 8 to 256 characters",
        }
        raise UserError(remedy[str(place)], code=f"bad-{place}") from error


def _ask(output: Output, *, confirm: bool) -> str:
    if output.as_json:
        raise UserError(
            "with --json nobody is asked: give --password or OPJUDGE_PASSWORD", code="no-password"
        )
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=confirm)
    return answer
