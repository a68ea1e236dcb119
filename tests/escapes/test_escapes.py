"""Every attack on every back end there is: contained, and seen to bite where a defence is off."""

import os
from collections.abc import Iterator

import pytest

from sandbox import landlock
from tests.escapes.attack import MARK, Attack
from tests.escapes.attacks import ATTACKS
from tests.escapes.backends import HONEST_EVERY, Backend, registry
from tests.escapes.demonstration import succeeds
from tests.escapes.host import Host
from tests.escapes.trial import Finding, Trial

NAMES = list(ATTACKS)
BACKENDS = registry()
NATIVE = BACKENDS["bubblewrap-root" if os.geteuid() == 0 else "bubblewrap-user"]
OTHER = BACKENDS["bubblewrap-user"]
GROUPS = {a.group: a for a in reversed(ATTACKS.values())}
# Without a control group memory is counted in other ways.
COUNTED = ("memory: shared pages of its own", "memory: page tables", "pages: fill the arena")
SUBSET = (*GROUPS.values(), *(ATTACKS[name] for name in COUNTED))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as made:
        yield made


@pytest.fixture(scope="module")
def trial(host: Host) -> Iterator[Trial]:
    with Trial(host) as made:
        yield made


def available(backend: Backend) -> Backend:
    why = backend.missing()
    if why is not None:
        pytest.skip(f"{backend.name}: {why}")
    return backend


@pytest.mark.parametrize("name", NAMES)
def test_contained(name: str, trial: Trial) -> None:
    assert trial.attempt(ATTACKS[name]).faults == ()
    if NAMES.index(name) % HONEST_EVERY == 0:
        assert trial.honest().faults == ()


def test_the_judge_has_not_suffered(trial: Trial) -> None:
    assert trial.honest().faults == ()


if os.geteuid() == 0:

    @pytest.fixture(scope="module")
    def as_user() -> dict[str, Finding]:
        return {f.attack: f for f in available(OTHER).try_all(SUBSET)}

    @pytest.mark.parametrize("attack", SUBSET, ids=lambda attack: attack.name)
    def test_contained_for_another_user(attack: Attack, as_user: dict[str, Finding]) -> None:
        assert as_user[attack.name].faults == ()

    def test_the_judge_of_another_user_has_not_suffered(as_user: dict[str, Finding]) -> None:
        assert [f for name, f in as_user.items() if name.startswith("honest")] == []

    LAYERS = ["no-seccomp", "network", "unwatched", "no-drop-root", "no-rlimits"]

    @pytest.mark.parametrize("layer", [*LAYERS, *(["no-landlock"] if landlock.abi() else [])])
    def test_each_layer_is_what_stops_something(layer: str, host: Host) -> None:
        first = next(a for a in ATTACKS.values() if layer in a.seen_on)
        assert succeeds(first, layer, host)
        assert not succeeds(first, "no-harness", host)

    def test_without_dropping_root_it_gets_through_the_whole_judge(host: Host) -> None:
        from sandbox.bubblewrap import Bubblewrap, Layers

        attack = ATTACKS["files: change the mode of a device of the host"]
        with Trial(host, Bubblewrap(layers=Layers(drop_root=False))) as trial:
            assert any(MARK in fault for fault in trial.attempt(attack).faults)

    EASY = {a.seen_on[0]: a for a in reversed(ATTACKS.values()) if a.seen_on}

    @pytest.mark.parametrize("where", EASY)
    def test_an_attack_bites_where_its_defence_is_off(where: str, host: Host) -> None:
        assert succeeds(EASY[where], where, host)


def test_the_host_sees_damage(host: Host) -> None:
    """Each witness would speak up."""
    host.restore()
    assert host.damage() == []
    host.canary.write_text("changed")
    (host.open / "new").touch()
    assert host.damage() == ["the canary's text changed", "the canary's folder changed"]
    assert host.damage([os.getpid()])[-1] == f"process {os.getpid()} lives on"
    host.restore()
    assert host.damage() == []


def test_the_table_is_complete() -> None:
    assert len(NAMES) >= 70
    for attack in ATTACKS.values():
        assert attack.verdicts, attack.name
        assert bool(attack.seen_on) != bool(attack.why_unseen), attack.name
        assert MARK not in attack.text, attack.name
