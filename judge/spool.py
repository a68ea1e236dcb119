"""Results that could not be delivered yet, kept on disk until the service can be reached."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from judge.wire import JudgementResult, Wire


class Undelivered(Wire):
    """A result with what is needed to hand it in."""

    judgement_id: UUID
    lease_token: str
    result: JudgementResult


class Spool:
    """A folder of undelivered results, one file each, owned by one worker at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, undelivered: Undelivered) -> None:
        """Keep a result. When this returns it is on disk, whole.

        Raises OSError if the disk is full, and leaves nothing on it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(undelivered.judgement_id)
        draft = path.with_suffix(".draft")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(undelivered.model_dump_json())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def remove(self, judgement_id: UUID) -> None:
        self._path(judgement_id).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Undelivered]:
        """Everything kept; unreadable files are set aside under `.bad` for a person to look at."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield Undelivered.model_validate_json(path.read_bytes())
            except ValidationError:
                path.replace(path.with_suffix(".bad"))

    def _path(self, judgement_id: UUID) -> Path:
        return self._folder / f"{judgement_id}.json"
