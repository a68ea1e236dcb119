"""What `opjudge backup`, `restore` and `admin` do, as a command line of its own.

`opjudge` itself knows no database; it starts this. OPJUDGE_ variables say where the database is.
"""

import getpass
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from pydantic import ValidationError

from judge import wire
from judge.cli.output import NOT_ACCEPTED, OK, Commands, Json, make_output
from judge.errors import UserError
from leaderboard import accounts, audit, boards, canary, logs
from leaderboard.archive import Manifest
from leaderboard.backup import backup as write_backup
from leaderboard.backup import has_signing_key
from leaderboard.backup import restore as read_backup
from leaderboard.rejudging import rejudge_all
from leaderboard.services import Services, build
from leaderboard.settings import Settings

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)

File = Annotated[Path, typer.Argument()]


@app.callback()
def _root() -> None:
    """Look after a server's data."""
    logs.configure()


@app.command()
def backup(file: File, as_json: Json = False) -> None:
    """Write everything that cannot be made anew into one file, while the server runs."""
    output, services = make_output(as_json), _services()
    settings = services.settings
    manifest = write_backup(
        services.db, settings.packages_dir, settings.signing_key, file, services.clock()
    )
    rows = sum(table.rows for table in manifest.tables)
    size = file.stat().st_size
    output.result(
        {"file": str(file), "rows": rows, "bytes": size, "schema": manifest.schema_version},
        lambda: output.say(
            f"{rows} rows in {file} ({size} bytes); keep it where only you can read"
        ),
    )


@app.command()
def restore(file: File, as_json: Json = False) -> None:
    """Fill an empty database from a backup; every byte is compared with its checksum first."""
    output, services = make_output(as_json), _services()
    settings = services.settings
    manifest = read_backup(
        services.db,
        settings.packages_dir,
        settings.signing_key,
        file,
        _operator(),
        services.clock(),
    )
    rows = sum(table.rows for table in manifest.tables)
    made = f"{manifest.created_at:%Y-%m-%d %H:%M:%S} UTC"
    output.result(
        {
            "file": str(file),
            "rows": rows,
            "created_at": manifest.created_at,
            "signing_key": has_signing_key(manifest),
        },
        lambda: output.say(f"restored {rows} rows, the state of {made}; {_next(manifest)}"),
    )


def _next(manifest: Manifest) -> str:
    if has_signing_key(manifest):
        return "now start the server"
    return "no signing key is in it: put the old signing.key in place, then start the server"


@app.command()
def rebuild(as_json: Json = False) -> None:
    """Make every board anew from the judgements, while the server runs."""
    output, services = make_output(as_json), _services()
    _bring_up(services)
    now = services.clock()
    changed = boards.rebuild_all(services.db, services.catalog, now)
    names = [f"{problem}/{device}" for problem, device in changed]
    with services.db.write() as session:
        audit.record(
            session, now, _operator(), audit.Action.REBUILT, detail=f"{len(names)} were different"
        )
    output.result(
        {"boards": len(services.catalog.boards()), "different": names},
        lambda: output.say(
            f"{len(services.catalog.boards())} boards; different from before: "
            f"{', '.join(names) or 'none'}"
        ),
    )


@app.command()
def prune(
    days: Annotated[int, typer.Option("--days", min=1)] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
    as_json: Json = False,
) -> None:
    """Give up raw times that no score on a board needs, expired tokens, unused packages."""
    from leaderboard.pruning import prune as give_up

    output, services = make_output(as_json), _services()
    _bring_up(services)
    before = services.clock() - timedelta(days=days)
    pruned = give_up(services, before, _operator(), dry_run=dry_run)
    verb = "would be given up" if dry_run else "given up"
    output.result(
        pruned,
        lambda: output.say(
            f"{verb}: raw times of {pruned.samples} judgements, {pruned.tokens} expired tokens, "
            f"{pruned.packages} packages"
        ),
    )


@app.command()
def rejudge(submissions: Annotated[list[UUID], typer.Argument()], as_json: Json = False) -> None:
    """Judge submissions again, by the version of their problem that is on offer now."""
    output, services = make_output(as_json), _services()
    _bring_up(services)
    # All or none: a list with a mistake in it changes nothing.
    rejudge_all(services, submissions, _operator())
    output.result(
        {"rejudged": [str(submission) for submission in submissions]},
        lambda: output.say(f"{len(submissions)} submissions wait to be judged again"),
    )


@app.command()
def password(name: str, as_json: Json = False) -> None:
    """Set somebody's password, to OPJUDGE_PASSWORD or a new one; all their sessions end."""
    output, services = make_output(as_json), _services()
    _bring_up(services)
    given = os.environ.get("OPJUDGE_PASSWORD")
    secret = given or secrets.token_urlsafe(12)
    try:
        credentials = wire.Credentials(name=name, password=secret)
    except ValidationError as error:
        place = error.errors()[0]["loc"][0]
        raise UserError(f"that is no {place} anybody can have here", code=f"bad-{place}") from error
    ended = accounts.set_password(
        services.db, services.passwords, credentials, _operator(), services.clock()
    )
    shown = None if given else secret
    said = f"the new password is {shown}" if shown else "the password is set"
    output.result(
        {"name": name, "password": shown, "tokens_ended": ended},
        lambda: output.say(f"{said}; {ended} sessions and tokens of {name} have ended"),
    )


@app.command("audit")
def trail(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50, as_json: Json = False
) -> None:
    """Who did what, newest first."""
    output, services = make_output(as_json), _services()
    _bring_up(services)
    with services.db.read() as session:
        lines = audit.latest(session, limit)

    def show() -> None:
        for line in lines:
            moment = f"{line.at:%Y-%m-%d %H:%M:%S}"
            output.say(f"{moment}  {line.actor}  {line.action}  {line.subject}  {line.detail}")

    output.result(lines, show)


@app.command("canary")
def attack(now: Annotated[bool, typer.Option("--now")] = False, as_json: Json = False) -> None:
    """What came of the known programs of the last day, or hand every one of them in now."""
    output, services = make_output(as_json), _services()
    _bring_up(services)
    moment = services.clock()
    handed_in = 0
    for control in canary.controls(services) if now else ():
        canary.hand_in(services, control, moment)
        handed_in += 1
    if now:
        with services.db.write() as session:
            told = f"{handed_in} known programs"
            audit.record(session, moment, _operator(), audit.Action.CANARY, detail=told)
    status, surprises = canary.status(services, moment), canary.surprises(services, moment)

    def show() -> None:
        if now:
            output.say(f"{handed_in} known programs handed in; look again when they are judged")
        output.say(
            f"within a day {status.succeeded} of {status.attacks} cheats succeeded, and "
            f"{status.surprises} of {status.attacks + status.controls} programs were a surprise"
        )
        for one in surprises:
            output.say(f"{one.problem}/{one.device}/{one.path}: {one.complaint}")

    document = {"handed_in": handed_in, "status": status, "surprises": surprises}
    output.result(document, show)
    raise typer.Exit(NOT_ACCEPTED if surprises else OK)


def _services() -> Services:
    return build(Settings())


def _bring_up(services: Services) -> None:
    # Like the server at its start, but for the workers' token, which is the server's to admit.
    services.db.migrate()
    services.catalog.publish(services.db, services.clock())


def _operator() -> str:
    """Whom the audit trail names: an account of this machine, told from the people by its form."""
    return f"operator:{getpass.getuser()}"


if __name__ == "__main__":
    app()
