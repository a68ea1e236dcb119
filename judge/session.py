"""The stream of calls: two parties, one clock, every output verified.

There are no phases a submission could tell apart. Each pass over the workloads is a random
permutation; a timed workload gives a round (candidate and baseline on the same inputs, in random
order), another one a single call. Every call has fresh inputs, poisoned outputs and guards.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from judge import tracks
from judge.caches import Caches
from judge.effort import Effort
from judge.errors import BaselineFailed
from judge.jury import Evidence, illustrated
from judge.party import Party, Reply
from judge.problem import Problem
from judge.tolerance import Statistical
from judge.tracks import Arrays, Side, Track
from judge.verdict import Status, Verdict
from judge.wire import ErrorReport, Progress
from sandbox.harness.protocol import Op

REPORT_EVERY_S = 0.1

_CHEAP_S = 0.5
"""What starting a process may take without having to be made up for by how long it lives."""

Report = Callable[[Progress], None]


class Failed(Exception):
    """The candidate earned a verdict other than AC; raised to end the stream."""

    def __init__(self, verdict: Verdict, message: str, error: ErrorReport | None = None) -> None:
        super().__init__(message)
        self.verdict, self.message, self.error = verdict, message, error


@dataclass
class _Process:
    """The present process of either side.

    Attributes:
        until: the turn after which it has served enough.
        turns: passes over the workloads so far, earlier processes included.
        setup_s: what starting it and its `prepare` took.
    """

    until: int
    turns: int = 0
    setup_s: float = 0.0
    began_s: float = field(default_factory=time.perf_counter)

    @property
    def worn(self) -> bool:
        """Whether another one is due; a costly start has to be worth it first."""
        lived_s = time.perf_counter() - self.began_s
        return self.turns >= self.until and lived_s > 2 * (self.setup_s - _CHEAP_S)


class Session:
    """Runs the stream over the given tracks.

    Args:
        seed_rng: secret source of every random choice.
        report: told now and then how far the stream is; may raise to end the judging.
    """

    def __init__(
        self,
        problem: Problem,
        candidate: Party,
        baseline: Party,
        all_tracks: list[Track],
        effort: Effort,
        rng: np.random.Generator,
        report: Report,
    ) -> None:
        self._problem, self._effort, self._rng, self._report = problem, effort, rng, report
        self._candidate, self._baseline = candidate, baseline
        self._tracks = all_tracks
        self._reported_s = 0.0
        self._caches = Caches()
        self._process = _Process(until=self._life())
        self.null_ns: list[int] = []
        self.kernel_ns = 0
        self.prepare_ns = 0
        self.prepares = 0
        self.has_prepare = False
        self.hidden_seen = False

    def run(self) -> None:
        """Serve the whole stream. Raises Failed at the candidate's first failure."""
        for track in self._stream():
            with self._blaming(track):
                if self._process.worn:
                    self._restart()
                self._tell(track)
                started, setup_s = time.perf_counter(), self._process.setup_s
                if track.baseline is None:
                    self._single(track)
                else:
                    self._round(track, track.baseline)
                setup_s = self._process.setup_s - setup_s
                track.spent_s += time.perf_counter() - started - setup_s
        self._last_look()
        for track in self._tracks:
            track.verdict = Verdict.AC

    def _last_look(self) -> None:
        """Before the processes end: writes where or when none may be, and limits exceeded."""
        for track in self._tracks:
            with self._blaming(track):
                self._late_write(track.candidate, track.candidate.places)
                for side in track.sides:
                    self._stray_write(side, side.places)
                if (failed := self._over_limit()) is not None:
                    raise failed

    def _restart(self) -> None:
        """Go on with new processes on both sides, in new pages.

        What a process happens to get (pages, addresses) moves its times by a per cent or so, for as
        long as it lives; and no program can tell how many calls it has before it.
        """
        started = time.perf_counter()
        self._last_look()
        both = (self._baseline, self._candidate)
        for party in both:
            party.renew()
        for party in both:
            party.start()
        for party in both:
            self._reloaded(party, party.reload())
        for track in self._tracks:
            track.renew()
        self._process = _Process(
            until=self._process.turns + self._life(),
            turns=self._process.turns,
            setup_s=time.perf_counter() - started,
        )

    def _life(self) -> int:
        """How many rounds of each workload the next process gets."""
        low, high = self._effort.life
        return int(self._rng.integers(low, high + 1))

    def _reloaded(self, party: Party, reply: Reply) -> None:
        if reply.failure is None:
            return
        if party is self._baseline:
            raise BaselineFailed(f"the baseline did not load again: {reply.message}")
        raise Failed(reply.failure, f"while loading the submission again: {reply.message}")

    @contextmanager
    def _blaming(self, track: Track) -> Iterator[None]:
        try:
            yield
        except Failed as failure:
            # A program over its limits may well be wrong because of it: the limit says more.
            failed = self._over_limit() or failure
            track.verdict, track.error = failed.verdict, failed.error
            track.message = failed.message
            if failed is failure:
                raise
            raise failed from failure

    def _over_limit(self) -> Failed | None:
        reply = self._candidate.over_limit()
        if reply is None or reply.failure is None:
            return None
        return Failed(reply.failure, reply.message)

    def _stream(self) -> Iterator[Track]:
        """Tracks in the order of their calls: everything once, then on until each is done."""
        while active := [t for t in self._tracks if not self._finished(t)]:
            for i in self._rng.permutation(len(active)):
                track = active[i]
                # Checks of untimed workloads are spread over the timed rounds.
                spread = self._process.turns and track.baseline is None and self._timing()
                if spread and self._rng.random() > 0.2:
                    continue
                yield track
            self._process.turns += 1

    def _timing(self) -> bool:
        return any(t.baseline is not None and not t.done for t in self._tracks)

    def _finished(self, track: Track) -> bool:
        if not track.done:
            track.done = self._enough(track)
        return track.done

    def _enough(self, track: Track) -> bool:
        effort = self._effort
        if track.baseline is None:
            return track.calls >= effort.checks
        rounds = len(track.baseline.samples_ns)
        if track.spent_s > effort.budget_s and rounds >= max(3, effort.min_rounds // 3):
            return True
        # Width, never significance: stopping on a lucky ratio would reward luck.
        ripe, often, narrow = True, 30, effort.wide
        if rounds < effort.max_rounds:
            ripe = rounds >= effort.min_rounds and len(track.processes) >= effort.processes
            often, narrow = 5, effort.half_width
        return rounds >= effort.max_rounds * effort.patience or (
            ripe and rounds % often == 0 and track.half_width(self._rng) <= narrow
        )

    def _single(self, track: Track) -> None:
        inputs = track.inputs.fresh(track.calls)
        self._move(track)
        outputs, _ = self._call(track, track.candidate, inputs)
        track.calls += 1
        self._verify(track, track.candidate, track.jury.hear(inputs, self._rng), outputs)

    def _round(self, track: Track, baseline: Side) -> None:
        inputs = track.inputs.fresh(track.calls)
        sides = [track.candidate, baseline]
        if self._rng.random() < 0.5:
            sides.reverse()
        got: dict[int, Arrays] = {}
        self._move(track)
        for side in sides:
            got[id(side)], ns = self._call(track, side, inputs)
            side.samples_ns.append(ns)
        track.calls += 1
        self._null(track, baseline)
        mine, theirs = got[id(track.candidate)], got[id(baseline)]
        with self._verifying(track):
            if not self._quickly_right(track, inputs, mine, theirs):
                self._ask_oracle(track, inputs, mine, theirs)

    def _quickly_right(self, track: Track, inputs: Arrays, mine: Arrays, theirs: Arrays) -> bool:
        """Whether the whole truth need not be asked for: five times the work of the value alone.

        The candidate's first outputs of a workload are always held against the reference's.
        """
        if not track.agree(mine, theirs):
            return False
        if track.calls > 1 and not self._rarely(track):
            return True
        if self._rng.random() < self._effort.whole_share:
            return False
        started = time.perf_counter_ns()
        right = track.is_right(mine, track.jury.values(inputs))
        track.look_ns = time.perf_counter_ns() - started
        return right

    @contextmanager
    def _verifying(self, track: Track) -> Iterator[None]:
        """Take down how long it takes."""
        started = time.perf_counter_ns()
        yield
        track.verify_ns += time.perf_counter_ns() - started

    def _rarely(self, track: Track) -> bool:
        """At secret rounds: the more often, the less it costs beside the calls themselves."""
        least, most = self._effort.oracle_share
        affordable = self._effort.oracle_cost * track.round_ns / max(track.look_ns, 1)
        return bool(self._rng.random() < min(max(affordable, least), most))

    def _ask_oracle(self, track: Track, inputs: Arrays, mine: Arrays, theirs: Arrays) -> None:
        evidence = track.jury.hear(inputs, self._rng)
        if track.baseline is not None:
            self._verify(track, track.baseline, evidence, theirs)
        for name, truth in evidence.truths.items():
            track.learn(name, truth, self._problem)
        self._verify(track, track.candidate, evidence, mine)

    def _verify(self, track: Track, side: Side, evidence: Evidence, outputs: Arrays) -> None:
        found = track.jury.findings(evidence, outputs, side.previous)
        side.previous = self._kept(outputs)
        report = track.jury.report(evidence, outputs, found)
        if report is None:
            side.note(found)
            return
        if side.party is self._baseline:
            raise BaselineFailed(
                f"the baseline's output is wrong on workload {track.workload.name!r}: {report}"
            )
        if not track.workload.sample:
            raise Failed(Verdict.WA, "", report)
        words = "; ".join(f.words for f in found if f.words)
        raise Failed(Verdict.WA, words, illustrated(report, found))

    def _kept(self, outputs: Arrays) -> Arrays:
        """Copies of those that the next call's are compared with."""
        rule = self._problem.tolerance_of
        return {n: o.copy() for n, o in outputs.items() if isinstance(rule(n), Statistical)}

    def _call(self, track: Track, side: Side, inputs: Arrays) -> tuple[Arrays, int]:
        """One timed call of one side; its outputs, good until its next call, and nanoseconds."""
        self._prepare(track, side)
        place = side.places[track.spot]
        # The baseline is the problem's own: where it wrote is looked at before its process ends.
        suspect = side is track.candidate
        if suspect:
            with self._verifying(track):
                self._late_write(side, [place])
        arena, placement = side.party.arena, place.placement
        tracks.write_inputs(arena, placement, inputs)
        for buffer in placement.written:
            arena.poison(buffer, self._rng)
        if track.workload.cache == "cold":
            self._caches.flush()
        else:
            arena.warm(placement)
        self.hidden_seen |= track.workload.hidden
        reply = side.party.request(Op.CALL, place.descriptor, self._limit(side))
        self.kernel_ns += reply.charged_ns
        self._answer(side, reply)
        if suspect:
            with self._verifying(track):
                tracks.remember(arena, place, self._rng)
                self._stray_write(side, [place])
        return tracks.outputs_of(arena, placement), reply.charged_ns

    def _prepare(self, track: Track, side: Side) -> None:
        if side.prepared:
            return
        side.prepared = True
        args = self._problem.scalars(track.workload, with_dims=True)
        limit_s = self._problem.limits.prepare_limit_s
        reply = side.party.prepare(args, limit_s)
        self._process.setup_s += reply.charged_ns / 1e9
        self._answer(side, reply)
        if side.party is self._candidate:
            # The time counts even if it then says that it has none: that is its own word.
            self.has_prepare |= not reply.absent
            self.prepare_ns += reply.charged_ns
            self.prepares += 1

    def _move(self, track: Track) -> None:
        track.spot = int(self._rng.integers(len(track.candidate.places)))

    def _null(self, track: Track, side: Side) -> None:
        """A call of nothing, on the trusted side: the candidate's word is not asked for.

        It takes the descriptor just used, so that both find their arguments looked up already.
        """
        place = side.places[track.spot]
        reply = side.party.request(Op.NULL, place.descriptor, self._limit(side))
        self._answer(side, reply)
        self.null_ns.append(reply.charged_ns)

    def _late_write(self, side: Side, places: list[tracks.Place]) -> None:
        if not all(tracks.unchanged(side.party.arena, p) for p in places):
            self._broken(side, "late-write", "an output changed after the call had ended")

    def _stray_write(self, side: Side, places: list[tracks.Place]) -> None:
        if not all(side.party.arena.guards_intact(p.placement) for p in places):
            self._broken(side, "guards", "wrote outside its buffers")

    def _answer(self, side: Side, reply: Reply) -> None:
        if reply.failure is None:
            return
        if side.party is self._baseline:
            raise BaselineFailed(f"the baseline failed: {reply.failure}: {reply.message}")
        raise Failed(reply.failure, reply.message)

    def _broken(self, side: Side, gate: str, what: str) -> None:
        if side.party is self._baseline:
            raise BaselineFailed(f"the baseline {what}")
        raise Failed(Verdict.WA, f"the submission {what}", ErrorReport(gate=gate))

    def _limit(self, side: Side) -> float:
        limit_s = self._problem.limits.time_limit_s
        return limit_s if side.party is self._candidate else 10 * limit_s + 10

    def _tell(self, track: Track) -> None:
        now = time.perf_counter()
        if now - self._reported_s < REPORT_EVERY_S:
            return
        self._reported_s = now
        first_pass = any(t.calls == 0 for t in self._tracks)
        done, total = self._extent()
        self._report(
            Progress(
                status=Status.CHECKING if first_pass else Status.TIMING,
                workload=None if track.workload.hidden else track.workload.name,
                done=done,
                total=total,
            )
        )

    def _extent(self) -> tuple[int, int]:
        done = total = 0
        for track in self._tracks:
            wanted = self._effort.checks if track.baseline is None else self._effort.max_rounds
            done += wanted if track.done else min(track.calls, wanted)
            total += wanted
        return done, total
