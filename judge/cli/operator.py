"""What whoever runs a contest does: up, demo, worker, server, doctor."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from judge.cli.options import Allow, DataDir, Sandbox
from judge.cli.output import Json, Output, make_output, needs
from judge.defaults import DEFAULT_DATA_DIR
from judge.errors import UserError

Host = Annotated[str, typer.Option("--host", envvar="OPJUDGE_HOST", help="Where to listen.")]
Port = Annotated[
    int,
    typer.Option("--port", envvar="OPJUDGE_PORT", min=0, max=65535, help="0 for any free port."),
]
ProblemsDir = Annotated[
    Path | None,
    typer.Option("--problems-dir", envvar="OPJUDGE_PROBLEMS_DIR", help="Instead of the bundled."),
]
DeviceClass = Annotated[
    str, typer.Option("--device", envvar="OPJUDGE_DEVICE", help="The device class it judges for.")
]


def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    public_url: Annotated[
        str | None,
        typer.Option("--public-url", envvar="OPJUDGE_PUBLIC_URL", help="How people reach it."),
    ] = None,
    problems_dir: ProblemsDir = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            "--redis-url", envvar="OPJUDGE_REDIS_URL", help="Instead of a Valkey of its own."
        ),
    ] = None,
    device: DeviceClass = "cpu",
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Judge here, too.")] = True,
    sandbox: Sandbox = "bubblewrap",
    as_json: Json = False,
) -> None:
    """Start everything on this machine: queue, web server and worker. Ctrl-C stops it all."""
    from judge.up import Running, UpOptions
    from judge.up import up as bring_up

    output = make_output(as_json)
    options = UpOptions(
        data_dir=data_dir, host=host, port=port, problems_dir=problems_dir, public_url=public_url,
        redis_url=redis_url, device=device, worker=worker,
        sandbox=sandbox,
    )  # fmt: skip

    def ready(running: Running) -> None:
        output.result(running.document(), lambda: _welcome(output, running.url, running.data_dir))

    bring_up(options, ready, output.warn)


def _welcome(output: Output, url: str, data_dir: str) -> None:
    output.say(f"opjudge is up at [bold]{url}[/]  (data in {data_dir}; Ctrl-C stops it)")
    output.say("In another terminal:")
    output.say(f"  opjudge register NAME --url {url}")
    output.say("  opjudge problems")
    output.say("  opjudge init row_softmax")


def demo(
    problem: Annotated[
        list[str] | None, typer.Option("--problem", "-p", help="Only this one; may be repeated.")
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Stop when all is judged.")] = False,
    problems_dir: ProblemsDir = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Keep it; otherwise it is thrown away.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for any free.")] = 0,
    sandbox: Sandbox = "bubblewrap",
    as_json: Json = False,
) -> None:
    """Start everything, send in every example submission, check every verdict, show the boards."""
    from judge.cli.demo import run_demo
    from judge.demo import DemoOptions

    options = DemoOptions(
        problems=tuple(problem or ()), leave=leave, problems_dir=problems_dir, data_dir=data_dir,
        port=port, sandbox=sandbox,
    )  # fmt: skip
    raise typer.Exit(run_demo(options, make_output(as_json)))


def worker(
    device: Annotated[
        str | None, typer.Option("--device", help="The device class it judges for.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="The server it works for.")] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="Better: OPJUDGE_WORKER_TOKEN; arguments show.")
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option("--redis-url", help="Without it the worker polls.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir")] = None,
    name: Annotated[str | None, typer.Option("--name", help="How it signs its judgements.")] = None,
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Judge for a server until stopped. OPJUDGE_ variables stand in for what is not given."""
    make_output(as_json)
    given = {
        "device": device, "url": url, "worker_token": token, "redis_url": redis_url,
        "data_dir": data_dir, "name": name, "allow": allow,
    }  # fmt: skip
    with needs("worker"):
        from judge.serve import serve
    serve(_worker_settings({key: value for key, value in given.items() if value is not None}))


def _worker_settings(given: dict[str, Any]) -> Any:
    from judge.settings import WorkerSettings

    try:
        return WorkerSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"setting {field} (OPJUDGE_{field.upper()}): {first['msg']}", code="bad-setting"
        ) from error


def server(host: Host = "127.0.0.1", port: Port = 8000, as_json: Json = False) -> None:
    """Run the web server alone. OPJUDGE_ variables say where database and Redis are."""
    import importlib.util

    from judge.up import SERVER, server_environment

    make_output(as_json)
    if importlib.util.find_spec("uvicorn") is None:
        raise UserError(
            "this command needs uvicorn, which is not installed: pip install 'opjudge[server]'",
            code="missing-extra",
        )
    environment = {**os.environ, **server_environment(host, port)}
    # In place of this process: signals then reach the server itself.
    os.execve(SERVER[0], SERVER, environment)  # noqa: S606


def doctor(
    allow: Allow = None,
    redis_url: Annotated[
        str | None,
        typer.Option("--redis-url", envvar="OPJUDGE_REDIS_URL", help="Ask whether it answers."),
    ] = None,
    sandbox: Sandbox = "bubblewrap",
    as_json: Json = False,
) -> None:
    """Say what a worker needs of this machine and what is missing, and attack the sandbox.

    Exit code 0 if a worker would take jobs here, 3 if not.
    """
    from judge.cli.doctor import run_doctor

    # With the password, if it comes from a file of secrets.
    redis = _worker_settings({"redis_url": redis_url}).redis
    raise typer.Exit(run_doctor(allow or "", redis, sandbox, make_output(as_json)))


def systemd(
    part: Annotated[str, typer.Argument(metavar="PART", help="server or worker.")],
    as_json: Json = False,
) -> None:
    """Print a unit for systemd; its first lines say where it belongs and where secrets go.

    For example: opjudge systemd worker > /etc/systemd/system/opjudge-worker@.service
    """
    from judge.systemd import FILES, unit

    output = make_output(as_json)
    known = {str(name): name for name in FILES}
    if part not in known:
        raise UserError(
            f"there is no unit for {part!r}; choose {' or '.join(FILES)}", code="unknown-unit"
        )
    text = unit(known[part])
    document = {"file": FILES[known[part]], "unit": text}
    output.result(document, lambda: typer.echo(text, nl=False))
