"""Kill each part in the middle of each transition, and see that the submission gets its verdict."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any

from judge.processes import adopt_orphans
from tests.chaos.invariants import broken_promises
from tests.chaos.parts import QUICK, Installation, installed, kill_horse
from tests.chaos.people import Person, Piece, make_piece, write_problems
from tests.judge.machinery import until

VICTIMS = ("parent", "horse", "web", "valkey", "postgresql")
SERVERS = ("web", "valkey", "postgresql")
# Which victims there are at a transition: nobody judges before the claim.
TRANSITIONS = {
    "enqueue": SERVERS,
    "send": (*SERVERS, "parent"),
    "claim": VICTIMS,
    "progress": VICTIMS,
    "heartbeat": VICTIMS,
    "record": VICTIMS,
    "abandon": VICTIMS,
    "give-up": VICTIMS,
    "cancel": VICTIMS,
}
MOMENTS = ("before", "after")
# Place of the victim for each transition: a web server takes seconds to start, so few of them.
_QUICK = (0, 3, 4, 1, 3, 4, 0, 2, 1)
_FINAL = ("judged", "cancelled")
_EXPECTED: Mapping[str, set[tuple[str, str | None]]] = {
    "cancel": {("cancelled", None), ("judged", "AC")},
    "abandon": {("judged", "JE")},
    "give-up": {("judged", "JE")},
}
_RECOVERY_S = 60.0


@dataclass(frozen=True)
class Point:
    """Who dies, and when."""

    transition: str
    moment: str
    victim: str

    def __str__(self) -> str:
        return f"{self.victim} killed {self.moment} the commit of {self.transition}"


def points(*, quick: bool) -> Iterator[Point]:
    """All; with `quick` each transition, moment and victim at least once, and not all together."""
    for row, (transition, victims) in enumerate(TRANSITIONS.items()):
        for column, moment in enumerate(MOMENTS):
            for place, victim in enumerate(victims):
                if not quick or (column == row % 2 and place == _QUICK[row]):
                    yield Point(transition, moment, victim)


def run(*, quick: bool) -> dict[str, Any]:
    """One installation, one point after the other."""
    adopt_orphans()
    slowest_s, wrong, count = 0.0, list[str](), 0
    with installed(write_problems, webs=1, workers=1, pace=QUICK) as installation:
        person = Person("ada", [installation.webs[0].url])
        for point in points(quick=quick):
            took_s, fault = _try(installation, person, point)
            slowest_s, count = max(slowest_s, took_s), count + 1
            wrong += [f"{point}: {fault}"] if fault else []
            print(f"{took_s:5.1f} s  {point}  {fault}", file=sys.stderr, flush=True)
        left = installation.stop()
    return {
        "points": count,
        "wrong": wrong,
        "slowest_recovery_s": round(slowest_s, 1),
        "left": left,
    }


def _piece(transition: str) -> Piece:
    ends = {"abandon": "fail", "give-up": "fail"}.get(transition, "AC")
    long = {"heartbeat": 1.5, "cancel": 2.0}
    return make_piece(seconds=long.get(transition, 0.1), ends=ends)


def _try(installation: Installation, person: Person, point: Point) -> tuple[float, str]:
    """Returns how long it took from the kill to the end, and what is wrong."""
    reached = installation.folder / "reached"
    piece = _piece(point.transition)
    (installation.folder / "point").write_text(f"{point.transition} {point.moment}")
    acting = Thread(target=_act, args=(installation, person, piece, point))
    acting.start()
    until(reached.exists, f"the point of {point}")
    begun = time.monotonic()
    _kill(installation, point.victim)
    reached.unlink()
    _revive(installation)
    acting.join()
    until(partial(_final, person, piece), f"the end after {point}", _RECOVERY_S)
    took_s = time.monotonic() - begun
    return took_s, _fault(installation, person, piece, point)


def _act(installation: Installation, person: Person, piece: Piece, point: Point) -> None:
    person.submit(piece)
    if point.transition == "cancel":
        until(lambda: person.status(piece)[0] in ("checking", *_FINAL), "its judging")
        person.cancel(piece)


def _kill(installation: Installation, victim: str) -> None:
    worker = installation.workers[0]
    if victim == "horse" and not kill_horse(worker):
        # The parent itself asked for work, and has not begun to judge.
        victim = "parent"
    if victim == "parent":
        worker.kill()
    elif victim == "web":
        installation.webs[0].kill()
    elif victim == "valkey":
        installation.valkey.kill()
    elif victim == "postgresql":
        installation.postgres.kill()
        installation.postgres.start()


def _revive(installation: Installation) -> None:
    for part in (installation.valkey, *installation.parts):
        if not part.alive():
            part.start()
    until(installation.webs[0].answers, "the web server")


def _final(person: Person, piece: Piece) -> bool:
    return person.status(piece)[0] in _FINAL


def _fault(installation: Installation, person: Person, piece: Piece, point: Point) -> str:
    broken = broken_promises(installation.postgres.url, final=True)
    expected = _EXPECTED.get(point.transition, {("judged", "AC")})
    got = person.status(piece)
    if broken:
        return str(broken)
    return "" if got in expected else f"{got} instead of one of {expected}"
