"""finals: the best measured again, against each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from judge.cli.options import Sandbox
from judge.cli.output import NOT_ACCEPTED, OK, Json, Output, make_output, needs
from judge.cli.render import ratio
from judge.errors import UserError

if TYPE_CHECKING:
    from judge.finals import Final

_SOURCE_LIMIT_BYTES = 16 << 20

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The problem's package.")]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="The finalists; named after their files.")
]
Blocks = Annotated[
    int, typer.Option("--blocks", min=3, max=100, help="So often each of them is judged.")
]


def finals(
    folder: Folder,
    files: Files,
    blocks: Blocks = 5,
    sandbox: Sandbox = "bubblewrap",
    as_json: Json = False,
) -> None:
    """Measure finalists against each other, interleaved, on new secret inputs.

    Exit code 3 if one of them failed.
    """
    from judge.package import load_package
    from judge.source import read_source

    output = make_output(as_json)
    package = load_package(folder)
    with needs("worker"):
        from judge.backend import make_sandbox, warmed
        from judge.finals import Finalist, hold
    finalists = [
        Finalist(file.name, read_source(file, limit_bytes=_SOURCE_LIMIT_BYTES)) for file in files
    ]
    if len({finalist.name for finalist in finalists}) < len(finalists):
        raise UserError("two finalists have the same file name; rename one", code="same-name")
    said: set[tuple[int, str]] = set()

    def tell(block: int, name: str, _progress: object) -> None:
        if (block, name) not in said:
            said.add((block, name))
            output.say(f"block {block + 1} of {blocks}: {name}")

    with warmed(make_sandbox(sandbox)) as ready:
        final = hold(package, finalists, ready, blocks=blocks, report=tell)
    output.result(final, lambda: _show(output, final))
    raise typer.Exit(NOT_ACCEPTED if any(p.failed for p in final.placings) else OK)


def _show(output: Output, final: "Final") -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "finalist", "speed-up (95 %)", "behind the first of its group or before it"):
        table.add_column(name)
    for placing in final.placings:
        rank = "" if placing.rank is None else str(placing.rank)
        table.add_row(rank, placing.name, placing.failed or ratio(placing.score),
                      ratio(placing.behind))  # fmt: skip
    output.console.print(table)
