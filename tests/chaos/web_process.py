"""The web server, which can be made to stand still in the middle of a named transition.

python -m tests.chaos.web_process FOLDER

A file `point` in the folder names transition and moment, e.g. `claim before` (its UPDATE is done,
its transaction is not committed) or `record after` (committed, and nobody has been told). Whoever
comes there first renames the file to `reached` and waits until it is gone. Production code knows
nothing of this: the state machine is wrapped before the server starts.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlmodel import Session

from leaderboard import machine
from leaderboard.db import Database
from leaderboard.serve import serve

_LONGEST_S = 60.0


class Points:
    """Where to stand still."""

    def __init__(self, folder: Path) -> None:
        self._point, self._reached = folder / "point", folder / "reached"
        self._moved = threading.local()

    def install(self) -> None:
        update, make, write = machine._update, machine.make, Database.write

        def slow_update(session: Session, transition: machine.Transition, *rest: Any) -> int:
            rows = update(session, transition, *rest)
            if rows:
                self._note(transition.name)
            return rows

        def slow_make(session: Session, *rest: Any, **values: Any) -> Any:
            made = make(session, *rest, **values)
            self._note(machine.ENQUEUE.name)
            return made

        @contextmanager
        def slow_write(database: Database) -> Iterator[Session]:
            self._moved.names = []
            with write(database) as session:
                yield session
            for name in self._moved.names:
                self._stand(f"{name} after")

        for owner, name, wrapped in (
            (machine, "_update", slow_update),
            (machine, "make", slow_make),
            (Database, "write", slow_write),
        ):
            setattr(owner, name, wrapped)

    def _note(self, name: str) -> None:
        self._moved.names.append(name)
        self._stand(f"{name} before")

    def _stand(self, here: str) -> None:
        try:
            if self._point.read_text() != here:
                return
            self._point.rename(self._reached)
        except FileNotFoundError:
            return
        deadline = time.monotonic() + _LONGEST_S
        while self._reached.exists() and time.monotonic() < deadline:
            time.sleep(0.01)


if __name__ == "__main__":
    Points(Path(sys.argv[1])).install()
    serve()
