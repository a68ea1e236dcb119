"""Random faults under load, for minutes; then every accepted submission has exactly one end.

The judging is brief: the real worker (dispatcher, RQ, leases, hygiene, spool) and the real
bubblewrap sandbox, but what runs inside only waits. So a thousand submissions fit into minutes on a
small machine, and every fault hits the parts that have to bear it.
"""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from judge.processes import adopt_orphans
from tests.chaos.invariants import UNFINISHED, broken_promises
from tests.chaos.parts import QUICK, Installation, Pace, installed, kill_horse
from tests.chaos.people import Person, Piece, make_piece, write_problems

_PATIENCE_S = 120.0
_ENDS = {"AC": 0.86, "WA": 0.08, "fail": 0.04, "kill": 0.02}
_CANCELLED = 0.03
_EXPECTED: Mapping[str, frozenset[str]] = {
    # JE: two workers may have died over a submission that could do nothing for it.
    "AC": frozenset({"AC", "JE", "cancelled"}),
    "WA": frozenset({"WA", "JE", "cancelled"}),
    "fail": frozenset({"JE", "cancelled"}),
    "kill": frozenset({"JE", "cancelled"}),
}


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    submissions: int
    seconds: float
    webs: int
    workers: int
    people: int
    pace: Pace


FULL = Size(submissions=1000, seconds=300, webs=2, workers=3, people=20, pace=Pace())
SMALL = Size(submissions=60, seconds=20, webs=1, workers=2, people=5, pace=QUICK)


class Faults:
    """What can go wrong, one at a time, and put right by itself after a while."""

    def __init__(self, installation: Installation, rng: random.Random) -> None:
        self._at = installation
        self._rng = rng
        self.count: Counter[str] = Counter()
        self._kinds: dict[str, tuple[int, Callable[[], object]]] = {
            "worker parent killed": (5, lambda: self._rng.choice(self._at.workers).kill()),
            "work-horse killed": (5, self._kill_horse),
            "web server killed": (2, lambda: self._rng.choice(self._at.webs).kill()),
            "network stalled": (4, partial(self._cut, "stall")),
            "network reset": (4, partial(self._cut, "reset")),
            "cable pulled": (4 if installation.links else 0, self._pull),
            "valkey wiped": (3, self._wipe),
            "valkey killed": (2, self._kill_valkey),
            "postgresql killed": (1, self._kill_postgres),
        }

    def strike(self) -> None:
        """One fault."""
        names = list(self._kinds)
        weights = [self._kinds[name][0] for name in names]
        (name,) = self._rng.choices(names, weights)
        print(f"{datetime.now(UTC):%H:%M:%S}  {name}", file=sys.stderr, flush=True)
        if self._kinds[name][1]() is not False:
            self.count[name] += 1

    def _kill_horse(self) -> bool:
        # Waited for a little: a fault that hits nobody is none.
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            if any(kill_horse(w) for w in self._rng.sample(self._at.workers, k=1) if w.alive()):
                return True
            time.sleep(0.02)
        return False

    def _cut(self, how: str) -> None:
        network = self._rng.choice(list(self._at.networks.values()))
        getattr(network, how)()
        time.sleep(self._rng.uniform(0.2, 4.0))
        network.heal()

    def _pull(self) -> None:
        link = self._rng.choice(self._at.links)
        link.pull()
        time.sleep(self._rng.uniform(0.2, 4.0))
        link.heal()

    def _wipe(self) -> None:
        self._at.valkey.wipe()

    def _kill_valkey(self) -> None:
        self._at.valkey.kill()
        time.sleep(self._rng.uniform(0.1, 3.0))
        self._at.valkey.start()

    def _kill_postgres(self) -> None:
        self._at.postgres.kill()
        time.sleep(self._rng.uniform(0.1, 2.0))
        self._at.postgres.start()


class Storm:
    """One storm over one installation."""

    def __init__(self, installation: Installation, size: Size, seed: int) -> None:
        self._at, self._size = installation, size
        self._rng = random.Random(seed)
        self._accepted: dict[str, Piece] = {}
        self._refused: list[str] = []
        self._over = threading.Event()

    def blow(self) -> dict[str, Any]:
        """Everything, and what came of it."""
        urls = [web.url for web in self._at.webs]
        people = [Person(f"person{i}", urls) for i in range(self._size.people)]
        faults = Faults(self._at, random.Random(self._rng.random()))
        keeping = threading.Thread(target=self._keep_alive)
        handing_in = threading.Thread(target=self._hand_in, args=(people,))
        keeping.start()
        handing_in.start()
        try:
            end = time.monotonic() + self._size.seconds
            while time.monotonic() < end:
                time.sleep(self._rng.uniform(0.2, 0.8) * self._size.seconds / 40)
                faults.strike()
            last_fault = datetime.now(UTC)
            # Who hands in is not hurried: on a slow machine that takes longer than the storm.
            handing_in.join()
            self._await_end(last_fault)
        finally:
            self._over.set()
            keeping.join()
        return self._result(faults, last_fault)

    def _keep_alive(self) -> None:
        """What systemd or a container platform does."""
        while not self._over.wait(0.2):
            for part in self._at.parts:
                if not part.alive():
                    part.start()

    def _hand_in(self, people: list[Person]) -> None:
        rng = random.Random(self._rng.random())
        begun, count = time.monotonic(), self._size.submissions
        for i in range(count):
            (ends,) = rng.choices(list(_ENDS), list(_ENDS.values()))
            piece = make_piece(rng.uniform(0.01, 0.3), ends, score=rng.uniform(1.0, 4.0))
            person = rng.choice(people)
            try:
                person.submit(piece)
                self._accepted[piece.id.hex] = piece
                if rng.random() < _CANCELLED:
                    person.cancel(piece)
            except AssertionError as error:
                self._refused.append(str(error))
            due = begun + 0.9 * self._size.seconds * (i + 1) / count
            time.sleep(max(0.0, due - time.monotonic()))

    # --- what came of it ------------------------------------------------------------------

    def _pending(self) -> int:
        try:
            return len(self._at.postgres.query(UNFINISHED))
        except psycopg.OperationalError:
            return -1

    def _await_end(self, last_fault: datetime) -> None:
        """Until nothing is pending, or nothing moves any more."""
        moved, before = time.monotonic(), self._pending()
        while before and time.monotonic() - moved < _PATIENCE_S:
            time.sleep(0.2)
            now = self._pending()
            if now != before:
                moved, before = time.monotonic(), now

    def _result(self, faults: Faults, last_fault: datetime) -> dict[str, Any]:
        broken = broken_promises(self._at.postgres.url, final=True)
        longest_s = self._longest_stuck_s(last_fault)
        outcomes = self._outcomes()
        wrong = [
            f"{piece.ends} became {outcomes[id]}"
            for id, piece in self._accepted.items()
            if id in outcomes and outcomes[id] not in _EXPECTED[piece.ends] | {"pending"}
        ]
        return {
            "accepted": len(self._accepted),
            "lost": len(self._accepted.keys() - outcomes.keys()),
            "double": self._double(),
            "stuck": sum(outcome == "pending" for outcome in outcomes.values()),
            "longest_stuck_s": round(longest_s, 1),
            "faults": faults.count.total(),
            "faults_by_kind": dict(sorted(faults.count.items())),
            "refused": len(self._refused),
            "outcomes": dict(sorted(Counter(outcomes.values()).items())),
            "innocent_je": sum(
                outcomes.get(id) == "JE" and piece.ends in ("AC", "WA")
                for id, piece in self._accepted.items()
            ),
            "quarantined": [
                str(path) for path in self._at.folder.glob("worker*/worker/quarantine")
            ],
            "wrong": wrong,
            "broken": broken,
        }

    def _outcomes(self) -> dict[str, str]:
        """Of each submission that is there."""
        rows = self._at.postgres.query(
            "SELECT submission_id, state, verdict FROM judgement WHERE is_current"
        )
        return {
            id.hex: verdict if state == "judged" else state if state == "cancelled" else "pending"
            for id, state, verdict in rows
        }

    def _double(self) -> int:
        """Submissions with two ends, of which at most one may be there."""
        return len(
            self._at.postgres.query(
                "SELECT submission_id FROM judgement WHERE state IN ('judged', 'cancelled')"
                " AND (failure IS NULL OR is_current) GROUP BY submission_id HAVING COUNT(*) > 1"
            )
        )

    def _longest_stuck_s(self, last_fault: datetime) -> float:
        """The longest time after the last fault in which something that could move did not.

        Either one judgement was with a worker, alive or dead; or, while any waited, none ended.
        Submissions that kill their workers go on doing so, and count like the others.
        """
        struck = f"'{last_fault.isoformat()}'::timestamptz"
        later = f"(ended_at IS NULL OR ended_at > {struck})"
        held = self._at.postgres.query(
            "SELECT EXTRACT(EPOCH FROM COALESCE(ended_at, now()) - GREATEST(claimed_at, "
            f"{struck})) FROM judgement WHERE claimed_at IS NOT NULL AND {later}"
        )
        ends = self._at.postgres.query(
            f"SELECT EXTRACT(EPOCH FROM COALESCE(ended_at, now())) FROM judgement WHERE {later}"
        )
        moments = sorted(float(moment) for (moment,) in ends)
        before = [last_fault.timestamp(), *moments]
        gaps = [after - then for then, after in zip(before, moments, strict=False)]
        return max([*gaps, *(float(seconds) for (seconds,) in held)], default=0.0)


def run(*, quick: bool, seed: int | None = None) -> dict[str, Any]:
    """A storm, and all that is left of it."""
    adopt_orphans()
    size = SMALL if quick else FULL
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    with installed(write_problems, size.webs, size.workers, size.pace) as installation:
        result = Storm(installation, size, seed).blow()
        left = installation.stop()
        if left or result["stuck"] or result["wrong"] or result["broken"]:
            installation.show_logs()
    return {**result, "leaked_sandboxes": len(left), "left": left, "seed": seed}


def broke_a_promise(result: Mapping[str, Any]) -> bool:
    """Whether anything is not as it should be."""
    none = (
        *("lost", "double", "stuck", "leaked_sandboxes"),
        *("refused", "quarantined", "wrong", "broken"),
    )
    return any(result[name] for name in none) or result["longest_stuck_s"] > 60
