"""What problem authors do: verify a package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from judge.cli.options import Sandbox
from judge.cli.output import ERROR, OK, Json, make_output, needs
from judge.cli.render import ratio, show_certificate, verdict_text

if TYPE_CHECKING:
    from judge.verify import Verified

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A problem package.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", help="A path below submissions/; may be repeated."),
]


def verify(
    folder: Folder, only: Only = None, sandbox: Sandbox = "bubblewrap", as_json: Json = False
) -> None:
    """Judge every submission in a package and compare with what the package expects.

    Without --only also try mutants: wrong outputs, all of which the tolerance must stop on every
    timed workload, four times as far off as what is honest. What comes of it is written to
    DIR/certificate.json; a server offers no problem without one.
    """
    from judge.package import load_package

    output = make_output(as_json)
    package = load_package(folder)
    with needs("worker"):
        from judge.backend import make_sandbox, warmed
        from judge.certificate import certify, honest_margins
        from judge.certified import write_certificate
        from judge.verify import Verified
        from judge.verify import verify as verify_package

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("submission", "expected", "got", "speed-up (95 %)", ""):
        table.add_column(name)

    def done(verified: Verified) -> None:
        wanted = " ".join(sorted(verified.expectation.permitted))
        mark = "[green]ok[/]" if verified.ok else f"[red]{verified.complaint}[/]"
        path, result = verified.expectation.path, verified.result
        table.add_row(path, wanted, verdict_text(result.verdict), ratio(result.score), mark)
        output.say(f"{path}: {result.verdict} {'' if verified.ok else verified.complaint}")

    def trying(workload: str) -> None:
        output.say(f"mutants on {workload}")

    with warmed(make_sandbox(sandbox)) as ready:
        verified = verify_package(package, ready, done=done, only=only or ())
        honest = honest_margins(
            v.result for v in verified if v.ok and v.expectation.path.startswith("accepted/")
        )
        certificate = None if only else certify(package, ready, honest, report=trying)
    if certificate is not None:
        output.say(f"wrote {write_certificate(certificate, package.root)}")
    ok = all(entry.ok for entry in verified) and (certificate is None or certificate.ok)
    document = {
        "problem": package.slug,
        "hash": package.hash,
        "ok": ok,
        "submissions": [_document(entry) for entry in verified],
        "certificate": certificate,
    }

    def show() -> None:
        output.console.print(table)
        if certificate is not None:
            show_certificate(output.console, certificate)

    output.result(document, show)
    raise typer.Exit(OK if ok else ERROR)


def _document(entry: "Verified") -> dict[str, object]:
    return {
        "path": entry.expectation.path,
        "permitted": sorted(entry.expectation.permitted),
        "complaint": entry.complaint,
        "result": entry.result,
    }
