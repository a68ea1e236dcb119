"""What the example submissions of a package must get: `submissions/` and `submissions.yaml`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, RootModel, model_validator

from judge.archive import ignored
from judge.errors import ProblemError
from judge.hints import did_you_mean
from judge.strict import Strict
from judge.verdict import Mode, Verdict
from judge.wire import JudgementResult
from judge.yamlfile import YamlFile, parse_yaml

_FILE = "submissions.yaml"
_SUFFIXES = (".py", ".cpp", ".cc", ".cxx", ".zip")
# Folder to verdict; a cheat says itself what it may get, because some are caught and some harmless.
_FOLDERS: Mapping[str, Verdict | None] = {
    "accepted": Verdict.AC,
    "wrong_answer": Verdict.WA,
    "time_limit_exceeded": Verdict.TLE,
    "run_time_error": Verdict.RTE,
    "compile_error": Verdict.CE,
    "cheating": None,
}
_RANKED = ("accepted", "cheating")


@dataclass(frozen=True)
class Expectation:
    """What one example submission must get.

    Attributes:
        path: relative to submissions/, with forward slashes.
        files: the file or folder on disk.
        permitted: verdicts, any of which is right.
        reason: why, in words; for a cheat, what it tries and what stops it.
        min_speedup, max_speedup: bounds of the score, where it is judged for one.
    """

    path: str
    files: Path
    permitted: frozenset[Verdict]
    mode: Mode
    reason: str
    min_speedup: float | None
    max_speedup: float | None


class _Entry(Strict):
    """One value of submissions.yaml."""

    permitted: Annotated[frozenset[Verdict], Field(min_length=1)] | None = None
    mode: Mode | None = None
    reason: str = ""
    min_speedup: Annotated[float, Field(gt=0)] | None = None
    max_speedup: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_speedup and self.max_speedup and self.min_speedup > self.max_speedup:
            raise ValueError(
                f"min_speedup ({self.min_speedup}) is above max_speedup ({self.max_speedup})"
            )
        return self


class _Entries(RootModel[dict[str, _Entry]]):
    """submissions.yaml."""


def read_expectations(root: Path) -> tuple[Expectation, ...]:
    """What is in `root`/submissions, sorted by path; nothing if there is no such folder.

    Raises:
        ProblemError: unknown folders or files, keys or paths in submissions.yaml, a cheat without
            `permitted` and `reason`.
    """
    folder = root / "submissions"
    if not folder.is_dir():
        return ()
    listing = folder / _FILE
    name = f"{root.name}/submissions/{_FILE}"
    paths = sorted(_submissions(root.name, folder))
    if not listing.is_file():
        return tuple(_expect(folder, path, _Entry(), name) for path in paths)
    file = parse_yaml(name, listing.read_bytes())
    entries = file.validate(_Entries).root
    _check_paths(file, paths)
    return tuple(_expect(folder, path, entries.get(path, _Entry()), name) for path in paths)


def _submissions(slug: str, folder: Path) -> Iterator[str]:
    for kind in _visible(folder):
        if kind == _FILE:
            continue
        if kind not in _FOLDERS or not (folder / kind).is_dir():
            hint = did_you_mean(kind, [*_FOLDERS, _FILE])
            raise ProblemError(f"{slug}/submissions/{kind}: unknown name{hint}")
        for name in _visible(folder / kind):
            path = folder / kind / name
            if not path.is_dir() and path.suffix not in _SUFFIXES:
                raise ProblemError(
                    f"{slug}/submissions/{kind}/{name}: not a submission; "
                    f"a folder, or a file ending in {', '.join(_SUFFIXES)}"
                )
            yield f"{kind}/{name}"


def _visible(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not ignored(name))


def _check_paths(file: YamlFile, paths: list[str]) -> None:
    for path in file.data:
        if path not in paths:
            raise file.error((path,), f"there is no such submission{did_you_mean(path, paths)}")


def _expect(folder: Path, path: str, entry: _Entry, listing: str) -> Expectation:
    kind = path.partition("/")[0]
    usual = _FOLDERS[kind]
    permitted = entry.permitted or (frozenset({usual}) if usual else None)
    if permitted is None or (usual is None and not entry.reason.strip()):
        raise ProblemError(
            f"{listing}: `{path}` is a cheat: give it an entry with `permitted` (verdicts) "
            "and `reason` (what it tries, and what stops it)"
        )
    return Expectation(
        path=path,
        files=folder / path,
        permitted=permitted,
        mode=entry.mode or (Mode.RANKED if kind in _RANKED else Mode.TEST),
        reason=entry.reason,
        min_speedup=entry.min_speedup,
        max_speedup=entry.max_speedup,
    )


def complaint(expectation: Expectation, result: JudgementResult) -> str:
    """What of a result is not as expected, in one line; empty if nothing."""
    if result.verdict not in expectation.permitted:
        wanted = " or ".join(sorted(expectation.permitted))
        return f"got {result.verdict}, expected {wanted}: {why(result)}"
    if result.verdict is not Verdict.AC or result.score is None:
        return ""
    value = result.score.value
    if expectation.min_speedup is not None and result.score.high < expectation.min_speedup:
        return f"speed-up {value:.3f} is below the expected {expectation.min_speedup}"
    if expectation.max_speedup is not None and result.score.low > expectation.max_speedup:
        return f"speed-up {value:.3f} is above the expected {expectation.max_speedup}"
    return ""


def why(result: JudgementResult) -> str:
    """One line on the reason of a verdict."""
    for run in result.runs:
        if run.verdict not in (None, Verdict.AC):
            gate = f" ({run.error.gate} gate)" if run.error is not None else ""
            return f"workload {run.workload}{gate} {run.message.partition(chr(10))[0]}".strip()
    return (result.message or result.log).strip().rpartition("\n")[2][:200]
