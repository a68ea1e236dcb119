"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from judge.defaults import SandboxName
from judge.verdict import Language, Mode

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="OPJUDGE_URL", help="The server, if not the one you logged in to."
    ),
]
Device = Annotated[str | None, typer.Option("--device", "-d", help="Device class, e.g. cpu.")]
ModeOption = Annotated[
    Mode | None, typer.Option("--mode", "-m", help="How much the judging covers.")
]
LanguageOption = Annotated[
    Language | None, typer.Option("--lang", "-l", help="Needed only where the files leave it open.")
]
Sandbox = Annotated[SandboxName, typer.Option("--sandbox", envvar="OPJUDGE_SANDBOX", hidden=True)]
Allow = Annotated[
    str | None,
    typer.Option(
        "--allow",
        envvar="OPJUDGE_ALLOW",
        metavar="NAMES",
        help="Judge although these do not hold: layers (namespaces, seccomp, landlock, limits, "
        "user) or single probes that `opjudge doctor` lists, with commas between. What then gets "
        "through is written to every judgement.",
    ),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A source file, a folder or a zip.")]
DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="OPJUDGE_DATA_DIR", help="Where everything is kept."),
]
