"""Fair share: whose turn it is, and how much of the queue Redis gets to see."""

from uuid import UUID

from sqlmodel import col, select

from judge.verdict import Verdict
from leaderboard import queueing
from leaderboard.models import Judgement
from tests.leaderboard.world import Person, World


def run_for(world: World, person: Person, seconds: float) -> None:
    """Use the device for a while."""
    world.submit(person)
    claim = world.claim()
    # Heartbeats are not needed: nothing expires by itself.
    world.clock.advance(seconds)
    assert world.finish(claim).status_code == 200


def order(world: World, count: int) -> list[UUID]:
    """Who is claimed in which order, each finishing in no time."""
    claimed = []
    for _ in range(count):
        claim = world.claim()
        claimed.append(claim.submission_id)
        world.finish(claim, verdict=Verdict.WA)
    return claimed


def test_among_equals_the_oldest_comes_first(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    made = [world.submit(p) for p in (bob, alice, alice, bob)]

    assert order(world, 4) == made


def test_who_used_the_device_least_comes_first(world: World) -> None:
    alice, bob, carol = (world.person(n) for n in ("alice", "bob", "carol"))
    run_for(world, alice, 100)
    run_for(world, bob, 10)
    of_alice, of_bob, of_carol = (world.submit(p) for p in (alice, bob, carol))

    assert order(world, 3) == [of_carol, of_bob, of_alice]


def test_a_flood_does_not_push_others_back(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    flood = [world.submit(alice) for _ in range(4)]
    one = world.submit(bob)

    first = world.claim()
    world.clock.advance(5)
    assert first.submission_id == flood[0]
    assert world.claim("w2").submission_id == one, "what runs now counts as well"


def test_use_is_forgotten_after_an_hour(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    run_for(world, alice, 100)
    of_alice, of_bob = world.submit(alice), world.submit(bob)
    with world.services.db.read() as session:
        assert list(queueing.device_time_s(session, "cpu", world.clock()).values()) == [100.0]

    world.clock.advance(3601)

    assert order(world, 2) == [of_alice, of_bob]


def test_cancelling_does_not_erase_use(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    running = world.submit(alice)
    world.claim()
    world.clock.advance(60)
    world.cancel(running, alice)
    of_alice, of_bob = world.submit(alice), world.submit(bob)

    assert order(world, 2) == [of_bob, of_alice]


def test_redis_gets_a_few_by_fair_share(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    flood = [world.submit(alice) for _ in range(4)]
    one = world.submit(bob)

    def take(depth: int) -> list[UUID]:
        with world.services.db.write() as session:
            taken = queueing.take_for_redis(session, "cpu", world.clock(), depth)
            return [
                next(s for s in (*flood, one) if _current(world, s) == judgement)
                for judgement, attempt in taken
                if attempt == 1
            ]

    assert take(2) == [flood[0], one], "one of each before a second of anybody"
    assert take(2) == [], "the queue is deep enough"
    with world.services.db.read() as session:
        assert queueing.sent(session, "cpu") == 2
        assert queueing.sent(session, "npu") == 0
    assert take(4) == flood[1:3]
    world.claim()
    assert take(4) == [flood[3]], "one left, one follows"
    assert take(100) == []


def _current(world: World, submission: UUID) -> UUID:
    with world.services.db.read() as session:
        return session.exec(
            select(Judgement.id).where(
                Judgement.submission_id == submission, col(Judgement.is_current)
            )
        ).one()
