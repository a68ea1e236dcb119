"""A contest in one command: every example submission judged, every verdict checked.

Everything goes through the front door: `opjudge up` as a child, then `opjudge register` and
`opjudge submit` as contestants would, and the API to look on.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judge.client import Client
from judge.defaults import SandboxName
from judge.errors import UserError
from judge.package import Expectation, bundled_problems, expectations, load_all
from judge.processes import die_with_parent
from judge.wire import Standings, SubmissionDetail

NAMES = ("ada", "grace", "alan", "edsger", "barbara", "donald", "radia", "ken")

_CLI = (sys.executable, "-m", "judge.cli")
_AT_ONCE = 2  # command lines sending in at the same time: the judge needs the cores
_LOOK_EVERY_S = 1.0
_PATIENCE_S = 600.0
_STOP_S = 40.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo can be told.

    Attributes:
        problems: only these; all if empty.
        leave: stop when all is judged instead of staying up.
        problems_dir: None for the bundled problems.
        data_dir: None for one that is thrown away.
        port: 0 for any free one.
    """

    problems: tuple[str, ...] = ()
    leave: bool = False
    problems_dir: Path | None = None
    data_dir: Path | None = None
    port: int = 0
    sandbox: SandboxName = "bubblewrap"


@dataclass(slots=True)
class Entry:
    """One example submission on its way through the demo.

    Attributes:
        home: configuration folder of the person who sends it in.
        detail: as last seen; None until it is sent in.
    """

    problem: str
    device: str
    expectation: Expectation
    user: str
    home: Path
    detail: SubmissionDetail | None = None

    @property
    def done(self) -> bool:
        return self.detail is not None and self.detail.status.final

    @property
    def complaint(self) -> str:
        """What is not as the package expects; empty if all is well or not known yet."""
        if self.detail is None or not self.done:
            return ""
        verdict = self.detail.verdict
        if verdict in self.expectation.permitted:
            return ""
        return f"got {verdict}, expected {' or '.join(sorted(self.expectation.permitted))}"


def make_entries(options: DemoOptions, data_dir: Path) -> list[Entry]:
    """Every example submission of these problems, each given to somebody.

    Raises UserError if there is no such problem, or no example at all.
    """
    packages = load_all(options.problems_dir or bundled_problems())
    unknown = sorted(set(options.problems) - set(packages))
    if unknown:
        raise UserError(
            f"there is no problem {unknown[0]!r}; there are {', '.join(packages)}",
            code="unknown-problem",
        )
    entries = []
    for slug in options.problems or tuple(packages):
        package = packages[slug]
        for i, expectation in enumerate(expectations(package)):
            user = NAMES[i % len(NAMES)]
            home = data_dir / "demo" / user
            device = package.problem.devices[0]
            entries.append(Entry(slug, device, expectation, user, home))
    if not entries:
        raise UserError("these problems have no example submissions", code="no-examples")
    return entries


@contextlib.contextmanager
def running(options: DemoOptions, data_dir: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """`opjudge up` as a child.

    Yields its URL and what waits for its end. Raises UserError if it does not come up.
    """
    argv = [*_CLI, "up", "--json", "--data-dir", str(data_dir), "--port", str(options.port)]
    argv += ["--sandbox", options.sandbox]
    if options.problems_dir is not None:
        argv += ["--problems-dir", str(options.problems_dir)]
    parent = os.getpid()
    child = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(parent),
    )
    with child:
        try:
            document = _first_document(child)
            if "url" not in document:
                raise UserError(document.get("detail", "`opjudge up` did not come up"))
            yield document["url"], child.wait
        finally:
            child.terminate()
            try:
                child.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()


def _first_document(child: "subprocess.Popen[str]") -> dict[str, Any]:
    text = ""
    for line in child.stdout or ():
        text += line
        with contextlib.suppress(json.JSONDecodeError):
            document: dict[str, Any] = json.loads(text)
            return document
    return {}


def enrol(url: str, entries: Sequence[Entry]) -> None:
    """Register everybody who sends something in, unless an earlier demo here did."""
    for home in sorted({entry.home for entry in entries}):
        if not (home / "opjudge" / "config.json").exists():
            password = secrets.token_urlsafe(16)
            _cli(home, ["register", home.name, "--url", url], {"OPJUDGE_PASSWORD": password})


def send_in(url: str, entries: Sequence[Entry]) -> None:
    """Send everything in, a few at the same time."""

    def submit(entry: Entry) -> None:
        argv = ["submit", str(entry.expectation.files), "--url", url, "--no-watch"]
        argv += ["--problem", entry.problem, "--device", entry.device]
        argv += ["--mode", entry.expectation.mode]
        entry.detail = SubmissionDetail.model_validate_json(_cli(entry.home, argv))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # Consumed, so that the first error is raised here.
        list(pool.map(submit, entries))


def _cli(home: Path, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run `opjudge ... --json` as that person; returns what it printed."""
    done = subprocess.run(
        [*_CLI, *argv, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**_environment(), "XDG_CONFIG_HOME": str(home), **(environment or {})},
    )
    if done.returncode != 0:
        raise UserError(f"opjudge {argv[0]} as {home.name}: {done.stderr.strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Ours, without what would lead a command line to another server or person."""
    ours = {k: v for k, v in os.environ.items() if k not in ("OPJUDGE_TOKEN", "OPJUDGE_URL")}
    root = str(Path(__file__).resolve().parent.parent)
    path = ours.get("PYTHONPATH")
    return {
        **ours,
        "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root,
        "PYTHONSAFEPATH": "1",
    }


def look_on(url: str, entries: Sequence[Entry], show: Callable[[Entry], None]) -> None:
    """Wait until everything is judged.

    Args:
        show: called with an entry whenever it has moved.

    Raises UserError if nothing moves for a long time.
    """
    moved_s = time.monotonic()
    with Client(url) as client:
        while waiting := [entry for entry in entries if not entry.done]:
            moved = [entry for entry in _moving(client, waiting) if _refresh(client, entry)]
            for entry in moved:
                show(entry)
            if moved:
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > _PATIENCE_S:
                raise UserError(
                    f"nothing was judged for {_PATIENCE_S:.0f} s; does the worker run? "
                    "Its log is log/worker.log in the data directory",
                    code="stuck",
                )
            time.sleep(_LOOK_EVERY_S)


def _moving(client: Client, waiting: Sequence[Entry]) -> Iterator[Entry]:
    """Those with a worker now, or judged since: one list tells, instead of a request for each."""
    ours = {entry.detail.id: entry for entry in waiting if entry.detail is not None}
    before: str | None = None
    while ours:
        page = client.submissions(before=before, limit=100)
        for item in page.items:
            entry = ours.pop(item.id, None)
            if entry is not None and item.status != "queued":
                yield entry
        before = page.next
        if before is None:
            return


def _refresh(client: Client, entry: Entry) -> bool:
    """Look a submission up; whether it has moved."""
    before = entry.detail
    if before is None:
        return False
    entry.detail = client.submission(before.id)
    return (entry.detail.status, entry.detail.progress) != (before.status, before.progress)


def boards(url: str, entries: Sequence[Entry]) -> list[Standings]:
    """The board of every problem that took part."""
    with Client(url) as client:
        places = dict.fromkeys((entry.problem, entry.device) for entry in entries)
        return [client.standings(problem, device) for problem, device in places]


@contextlib.contextmanager
def workplace(options: DemoOptions) -> Iterator[Path]:
    """The data directory; SIGTERM ends the demo as Ctrl-C does, so that a borrowed one goes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.data_dir is not None:
        options.data_dir.mkdir(parents=True, exist_ok=True)
        yield options.data_dir
        return
    with tempfile.TemporaryDirectory(prefix="opjudge-demo-") as folder:
        yield Path(folder)
