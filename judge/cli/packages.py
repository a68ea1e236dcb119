"""Problems for judging at one's desk: from a folder, the server, or this installation."""

from collections.abc import Callable
from pathlib import Path

from judge.archive import write_zip
from judge.cache import PackageCache
from judge.cli.config import cache_dir, connect, load_config
from judge.cli.output import needs
from judge.client import Upload
from judge.defaults import SandboxName
from judge.errors import ApiError, UserError
from judge.package import Package, bundled_problems, load_all, load_package
from judge.signature import starter
from judge.source import Source
from judge.verdict import Language, Mode
from judge.wire import JudgementResult, Progress, Starter


def find_package(problem: str, url: str | None) -> Package:
    """The problem in that folder, else the server's if one is set, else the bundled one."""
    folder = Path(problem)
    if (folder / "problem.yaml").is_file():
        return load_package(folder)
    fetched = _from_server(problem, url)
    if fetched is not None:
        return fetched
    bundled = load_all(bundled_problems())
    if problem not in bundled:
        raise UserError(
            f"there is no problem {problem!r} here ({', '.join(bundled)}), and no server to ask; "
            "give --problem FOLDER, or --url",
            code="unknown-problem",
        )
    return bundled[problem]


def _from_server(problem: str, url: str | None) -> Package | None:
    """None if no server is set or it does not answer: then judging at one's desk goes on."""
    if url is None and load_config().url is None:
        return None
    try:
        with connect(url) as client:
            detail = client.problem(problem)
            return PackageCache(cache_dir() / "packages").public(
                problem, detail.package_hash, lambda: client.problem_package(problem)
            )
    except ApiError as error:
        if error.status == 0:
            return None
        raise


def find_starter(problem: str, language: Language, url: str | None) -> Starter:
    """A first file: from the server, or without one from the bundled problem."""
    try:
        with connect(url) as client:
            found = {s.language: s for s in client.problem(problem).starters}
    except ApiError as error:
        bundled = load_all(bundled_problems())
        if error.status != 0 or problem not in bundled:
            raise
        return starter(problem, bundled[problem].problem, language)
    if language not in found:
        raise UserError(f"{problem} has no starter in {language}", code="no-starter")
    return found[language]


def read_upload(file: Path, source: Source) -> Upload:
    """What is sent: a lone file as it is, anything else as one zip of the files that count."""
    if len(source.files) == 1 and file.is_file() and file.suffix != ".zip":
        return Upload(file.name, source.files[0].content)
    content = write_zip({f.path: f.content for f in source.files})
    return Upload(f"{file.resolve().stem}.zip", content)


def judge_here(
    package: Package,
    source: Source,
    mode: Mode,
    sandbox: SandboxName,
    report: Callable[[Progress], None],
) -> JudgementResult:
    """Judge in this process. Raises UserError if this installation cannot."""
    with needs("worker"):
        from judge.backend import make_sandbox, warmed
        from judge.judging import judge

    with warmed(make_sandbox(sandbox)) as ready:
        return judge(package, source, mode, ready, report=report)
