"""The laws of the board, for any submissions, and the board over HTTP."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge import ranking as rule
from judge import wire
from judge.ranking import MARGIN, tied
from judge.verdict import Language, Mode, Verdict
from leaderboard.standings import Candidate, Placed, best, eligible, placed
from tests.fixtures import write_package
from tests.leaderboard.conftest import MakeWorld
from tests.leaderboard.world import PROBLEM, World, assert_problem, zip_of

VERSION = "1.0.0"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def board(candidates: list[Candidate], version: str = VERSION) -> list[Placed | None]:
    """A whole board from what was judged; None is the baseline."""
    users = {c.user for c in candidates}
    entries = [best([c for c in candidates if c.user == user], version) for user in users]
    return list(placed(sorted((e for e in entries if e), key=lambda entry: entry.order)))


def ranking(candidates: list[Candidate], version: str = VERSION) -> list[Placed]:
    """The people on it."""
    return [item for item in board(candidates, version) if item is not None]


def places(candidates: list[Candidate]) -> list[tuple[int, int]]:
    """Rank and submission of each of them."""
    return [(item.rank, item.entry.number) for item in ranking(candidates)]


def interval(value: float, spread: float = 0.0) -> wire.Interval:
    return wire.Interval(value=value, low=value - spread, high=value + spread)


def candidate(number: int, user: str, score: wire.Interval | None) -> Candidate:
    return Candidate(
        submission_id=UUID(int=number),
        number=number,
        user=user,
        mode=Mode.RANKED,
        language=Language.PYTHON,
        verdict=Verdict.AC,
        version="1.0.0",
        artifact=f"artifact {number}",
        score=score,
        latency_ns=1e6,
        baseline_ns=2e6,
        submitted_at=NOON + timedelta(seconds=number),
        judged_at=NOON + timedelta(seconds=number + 60),
    )


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        value = draw(st.floats(0.1, 10.0))
        spread = value * draw(st.sampled_from([0.0, 0.001, 0.05, 0.5]))
        made = candidate(number, draw(st.sampled_from("abcd")), interval(value, spread))
        found.append(
            replace(
                made,
                mode=draw(st.sampled_from([Mode.RANKED, Mode.RANKED, Mode.TEST])),
                verdict=draw(st.sampled_from([Verdict.AC, Verdict.AC, Verdict.WA])),
                version=draw(st.sampled_from(["1.0.0", "1.0.0", "0.9.0"])),
                artifact=draw(st.sampled_from(["x", "y", f"only {number}"])),
            )
        )
    return found


# --- laws ---------------------------------------------------------------------------------


@given(candidate_lists(), st.randoms(use_true_random=False))
def test_order_of_the_input_changes_nothing(found: list[Candidate], rng: random.Random) -> None:
    shuffled = list(found)
    rng.shuffle(shuffled)

    assert board(shuffled) == board(found)


@given(candidate_lists())
def test_everybody_eligible_is_there_once_and_nobody_else(found: list[Candidate]) -> None:
    names = [p.entry.user for p in ranking(found)]

    assert len(names) == len(set(names))
    assert set(names) == {c.user for c in found if eligible(c, VERSION)}


@given(candidate_lists())
def test_ranks_begin_at_one_and_skip_what_ties_fill(found: list[Candidate]) -> None:
    ranks = [p.rank for p in ranking(found)]

    for place, rank in enumerate(ranks, 1):
        assert rank == place or rank == ranks[place - 2]
    assert ranks == sorted(ranks)


@given(candidate_lists())
def test_a_better_rank_is_a_better_score_and_earlier_comes_first(found: list[Candidate]) -> None:
    placed = ranking(found)

    for upper, lower in pairwise(placed):
        if upper.rank == lower.rank:
            assert upper.entry.number < lower.entry.number
        else:
            assert upper.entry.score.value > lower.entry.score.value


@given(candidate_lists())
def test_a_group_ties_with_its_leader_and_the_next_group_does_not(found: list[Candidate]) -> None:
    placed = ranking(found)
    groups: dict[int, list[wire.Interval]] = {}
    for entry in placed:
        groups.setdefault(entry.rank, []).append(entry.entry.score)
    leaders = {rank: max(g, key=lambda s: s.value) for rank, g in groups.items()}

    for rank, group in groups.items():
        assert all(tied(leaders[rank], score) for score in group)
    for upper, lower in pairwise(leaders.values()):
        assert not tied(upper, lower)


@given(candidate_lists())
def test_anybody_can_rank_the_scores_again(found: list[Candidate]) -> None:
    """`opjudge verify-record --board` knows no database, and must come to the same ranks."""
    best_first = sorted(ranking(found), key=lambda p: p.entry.order)
    assert rule.ranks([p.entry.score for p in best_first]) == [p.rank for p in best_first]


@given(candidate_lists())
def test_nobody_shows_less_than_their_best_or_more(found: list[Candidate]) -> None:
    for entry in ranking(found):
        own = [c for c in found if c.user == entry.entry.user and eligible(c, VERSION)]
        pools: dict[str, list[float]] = {}
        for made in own:
            if made.score is not None:
                pools.setdefault(made.artifact, []).append(made.score.value)
        best = max(geometric_mean(pool) for pool in pools.values())
        assert entry.entry.score.value == pytest.approx(best)


@given(candidate_lists(), st.floats(0.1, 10.0))
def test_handing_the_same_in_again_gains_no_more_than_its_share(
    found: list[Candidate], value: float
) -> None:
    """However lucky the new judgings are, nobody's score leaves the span of what was judged."""
    again = [
        replace(c, number=100 + c.number, submission_id=UUID(int=100 + c.number))
        for c in found
        if eligible(c, VERSION)
    ]
    lucky = [replace(c, score=interval(value)) for c in again]
    before = {p.entry.user: p.entry.score.value for p in ranking(found)}
    after = {p.entry.user: p.entry.score.value for p in ranking([*found, *lucky])}

    assert before.keys() == after.keys()
    for user, score in before.items():
        assert after[user] <= max(score, (score * value) ** 0.5) * (1 + 1e-9)


@given(candidate_lists())
def test_what_is_not_eligible_changes_nothing_but_the_attempts(found: list[Candidate]) -> None:
    kept = [c for c in found if eligible(c, VERSION)]

    assert places(kept) == places(found)


# --- cases --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"mode": Mode.TEST},
        {"mode": Mode.BENCHMARK},
        {"verdict": Verdict.WA},
        {"verdict": Verdict.JE},
        {"verdict": None},
        {"score": None},
        {"score": interval(0.0)},
        {"score": interval(float("inf"))},
        {"score": interval(float("nan"))},
        {"version": "0.9.0"},
    ],
)
def test_what_keeps_a_submission_off_the_board(change: dict[str, object]) -> None:
    good = candidate(1, "alice", interval(2.0))

    assert eligible(good, VERSION)
    assert not eligible(replace(good, **change), VERSION)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("leader", "other", "expected"),
    [
        (interval(2.0), interval(2.0), True),
        (interval(2.0), interval(2.0 / (1 + MARGIN / 2)), True),
        (interval(2.0), interval(1.9), False),
        (interval(2.0, 0.2), interval(1.7, 0.05), False),
        (interval(2.0, 0.2), interval(1.7, 0.15), True),
        (interval(2.0, 0.001), interval(1.0, 1.5), True),
    ],
)
def test_what_is_a_tie(leader: wire.Interval, other: wire.Interval, expected: bool) -> None:
    assert tied(leader, other) is expected


def test_a_tie_shares_a_rank_and_the_next_is_skipped() -> None:
    found = [
        candidate(1, "dora", interval(1.5)),
        candidate(2, "alice", interval(2.0)),
        candidate(3, "bob", interval(2.01)),
        candidate(4, "carol", interval(3.0)),
    ]

    placed = [(p.rank, p.entry.user) for p in ranking(found)]

    assert placed == [(1, "carol"), (2, "alice"), (2, "bob"), (4, "dora")]


def test_the_baseline_stands_where_it_belongs_without_a_rank() -> None:
    found = [candidate(i, name, interval(v)) for i, (name, v) in enumerate(BOARD)]

    rows = [(item.rank, item.entry.user) if item else None for item in board(found)]

    assert rows == [(1, "fast"), (2, "equal"), None, (3, "slow")]


@given(candidate_lists())
def test_the_baseline_is_there_once_below_everybody_as_fast(found: list[Candidate]) -> None:
    rows = board(found)

    [at] = [i for i, item in enumerate(rows) if item is None]
    assert all(item.entry.score.value < 1.0 for item in rows[at + 1 :] if item)
    above = rows[at - 1] if at else None
    assert above is None or above.entry.score.value >= 1.0


BOARD = [("slow", 0.5), ("fast", 2.0), ("equal", 1.0)]


# --- over HTTP ----------------------------------------------------------------------------


def test_an_empty_board_has_the_baseline_alone(world: World) -> None:
    board = world.board()

    assert [(e.kind, e.rank) for e in board.entries] == [("baseline", None)]
    assert board.updated_at is None


def test_the_board_follows_the_judgements(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    world.judge(alice, 2.0)
    best = world.judge(bob, 3.0)
    world.judge(bob, 2.5)
    world.submit(alice)
    world.finish(world.claim(), verdict=Verdict.WA)

    board = world.board()

    assert [(e.rank, e.name) for e in board.entries] == [
        (1, "bob"),
        (2, "alice"),
        (None, "baseline"),
    ]
    assert board.entries[0].submission_id == best
    assert [e.attempts for e in board.entries] == [2, 2, 0]
    assert board.entries[0].latency_ns == pytest.approx(2e6), "geometric mean of 1 and 4 ms"
    assert board.updated_at == world.clock.now


def test_only_ranked_submissions_count(world: World) -> None:
    alice = world.person("alice")
    for mode in ("test", "benchmark"):
        world.submit(alice, mode=mode)
        world.finish(world.claim())

    assert [e.kind for e in world.board().entries] == ["baseline"]


def test_the_same_artifact_is_pooled_and_not_drawn_anew(world: World) -> None:
    alice = world.person("alice")
    first = world.judge(alice, 2.0, artifact_hash="same")
    world.judge(alice, 8.0, artifact_hash="same")

    entry = world.board().entries[0]
    assert (entry.submission_id, entry.pooled) == (first, 2)
    assert entry.score.value == pytest.approx(4.0)
    assert "the mean of 2 judgings" in world.client.get(f"/boards/{PROBLEM}/cpu").text


def test_people_share_no_pool(world: World) -> None:
    world.judge(world.person("alice"), 2.0, artifact_hash="same")
    world.judge(world.person("bob"), 8.0, artifact_hash="same")

    assert [e.score.value for e in world.board().entries if e.kind == "user"] == [8.0, 2.0]
    assert {e.pooled for e in world.board().entries} == {1}


def test_without_an_artifact_the_source_decides(world: World) -> None:
    alice = world.person("alice")
    source = zip_of({"solution.py": b"x = 1\n", "more.py": b"y = 2\n"})
    for value in (2.0, 5.0):
        world.submit(alice, source)
        world.finish(world.claim(), artifact_hash="", score=interval(value))

    assert world.board().entries[0].score.value == pytest.approx(10**0.5)


def test_a_judging_error_is_no_attempt(world: World) -> None:
    alice = world.person("alice")
    world.judge(alice, 2.0)
    world.submit(alice)
    for _ in range(3):
        world.finish(world.claim(), verdict=Verdict.JE)

    assert world.board().entries[0].attempts == 1


def test_a_new_version_starts_a_new_board_and_a_corrected_statement_does_not(
    problems_dir: Path, make_world: MakeWorld
) -> None:
    world = make_world()
    world.judge(world.person("alice"), 2.0)

    write_package(problems_dir / PROBLEM, files={"statement/problem.en.md": "# Corrected\n"})
    corrected = make_world()
    assert corrected.package.hash != world.package.hash
    assert [e.name for e in corrected.board().entries] == ["alice", "baseline"]

    write_package(problems_dir / PROBLEM, ("1.0.0", "2.0.0"))
    assert [e.name for e in make_world().board().entries] == ["baseline"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/standings/row_scal/cpu", "unknown-problem"),
        (f"/standings/{PROBLEM}/cpi", "unknown-device"),
        ("/standings/%00/cpu", "unknown-problem"),
        (f"/standings/{PROBLEM}/cpi/events", "unknown-device"),
    ],
)
def test_unknown_boards(world: World, path: str, code: str) -> None:
    document = assert_problem(world.get(path), 404, code)

    assert "%" in path or "did you mean" in document.detail


def test_the_board_is_the_same_after_a_restart(make_world: MakeWorld) -> None:
    world = make_world()
    for name, value in (("alice", 2.0), ("bob", 3.0), ("carol", 2.01)):
        world.judge(world.person(name), value)

    assert make_world().board() == world.board()
