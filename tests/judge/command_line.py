"""The command line against a stub service, with a home and an environment of its own."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from judge.cli import app
from tests.judge.stub import StubApi, serving

SOURCE = "#!OPJUDGE problem=row_scale device=cpu mode=benchmark\ndef solve(x, y, eps): ...\n"


class Shell:
    """Runs commands against the stub."""

    def __init__(self, api: StubApi, url: str, folder: Path) -> None:
        self.api, self.url, self.folder = api, url, folder

    def __call__(self, *argv: str, **options: Any) -> Result:
        return CliRunner().invoke(app, list(argv), **options)

    def json(self, *argv: str, code: int = 0) -> Any:
        """Run with --json: stdout must be one document and nothing else."""
        result = self(*argv, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def source(self, text: str = SOURCE, name: str = "s.py") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@contextmanager
def make_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    api = StubApi()
    for name in [n for n in os.environ if n.startswith("OPJUDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.chdir(folder)
    with serving(api) as url:
        monkeypatch.setenv("OPJUDGE_URL", url)
        yield Shell(api, url, folder)
