"""The state machine: who may do what, and that nobody goes past it."""

import ast
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

import leaderboard
from judge.errors import InfrastructureError
from leaderboard import machine
from leaderboard.machine import Actor, Transition, move
from leaderboard.models import PENDING, Judgement, State
from tests.leaderboard.world import World

SOURCES = sorted(Path(leaderboard.__file__).parent.rglob("*.py"))


def test_only_the_machine_writes_judgements() -> None:
    """No other module makes one, updates the table, or sets a column of one."""
    writers = {
        path.name
        for path in SOURCES
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if _writes(node)
    }
    assert writers == {"machine.py"}


def _writes(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        first = node.args[0] if node.args else None
        updates = node.func.id in ("update", "insert", "delete")
        return node.func.id == "Judgement" or (
            updates and isinstance(first, ast.Name) and first.id == "Judgement"
        )
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(
            isinstance(t, ast.Attribute) and t.attr in ("state", "is_current", "lease_until")
            and isinstance(t.value, ast.Name) and t.value.id == "judgement"
            for t in targets
        )  # fmt: skip
    return False


def test_what_has_ended_is_where_nothing_leads_out_of() -> None:
    for transition in machine.TRANSITIONS:
        if transition is not machine.REPLACE:
            assert not set(transition.sources) & set(machine.ENDED), transition.name
        assert set(transition.sources) | set(transition.targets) <= set(State)
    assert set(machine.ENDED) | set(PENDING) == set(State)


def test_every_state_is_reached_and_every_pending_one_left() -> None:
    reached = {state for t in machine.TRANSITIONS for state in t.targets}
    left = {state for t in machine.TRANSITIONS if t.targets for state in t.sources}
    assert reached == set(State)
    assert left == set(PENDING)


@pytest.mark.parametrize("transition", machine.TRANSITIONS, ids=lambda t: t.name)
def test_a_move_is_for_its_actors_alone(world: World, transition: Transition) -> None:
    world.submit(world.person("alice"))
    with world.services.db.write() as session:
        for actor in set(Actor) - set(transition.actors):
            with pytest.raises(InfrastructureError, match="not for the"):
                attempt(session, transition, actor)


def test_a_move_leads_nowhere_else(world: World) -> None:
    world.submit(world.person("alice"))
    with world.services.db.write() as session:
        for state in set(State) - {State.BUILDING}:
            with pytest.raises(InfrastructureError, match="does not lead to"):
                attempt(session, machine.CLAIM, Actor.WORKER, state)
        with pytest.raises(InfrastructureError, match="does not lead to None"):
            attempt(session, machine.CLAIM, Actor.WORKER)


def test_a_move_that_hits_several_moves_none(world: World) -> None:
    alice = world.person("alice")
    submissions = [world.submit(alice), world.submit(alice)]
    everywhere, now = (col(Judgement.ended_at).is_(None),), world.clock()

    def cancel_all() -> None:
        with world.services.db.write() as session:
            move(session, machine.CANCEL, Actor.OWNER, everywhere, now, State.CANCELLED)

    with pytest.raises(InfrastructureError, match="hit 2"):
        cancel_all()
    assert all(world.detail(s).status == "queued" for s in submissions)


def attempt(
    session: Session, transition: Transition, actor: Actor, state: State | None = None
) -> bool:
    judgement = session.exec(select(Judgement)).one()
    this = (Judgement.id == judgement.id,)
    return move(session, transition, actor, this, judgement.since, state)
