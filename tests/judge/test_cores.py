"""Which core runs what."""

import os

import pytest

from judge.cores import Cores, favour, scheduling_restored, share_out
from judge.party import Party
from sandbox.dummy import Dummy
from sandbox.harness import protocol
from sandbox.harness.protocol import Op
from sandbox.limits import Limits


@pytest.mark.parametrize(
    ("available", "watch", "party"),
    [([4], 4, (4,)), ([3, 1], 1, (3,)), ([0, 1, 2, 3], 0, (1, 2, 3))],
)
def test_one_core_watches_and_the_rest_run(
    available: list[int], watch: int, party: tuple[int, ...]
) -> None:
    cores = share_out(available)
    assert (cores.watch, cores.party) == (watch, party)
    assert cores.shared == (len(available) == 1)


def where_the_judge_is(cores: Cores, monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """Before, during and after one request."""
    seen = []
    with (
        scheduling_restored(),
        Party(Dummy(), Limits(wall_s=60), "none", arena_bytes=1 << 20) as party,
    ):
        party.ready()
        party.pin(cores)
        resume = party.resident.resume

        def spied() -> None:
            seen.append(os.sched_getaffinity(0))
            resume()

        monkeypatch.setattr(party.resident, "resume", spied)
        cores.work()
        seen.append(os.sched_getaffinity(0))
        # Nothing is loaded: the answer is that there is no such function.
        assert party.request(Op.PREPARE, protocol.encode([7]), 10.0).absent
        seen.append(os.sched_getaffinity(0))
    return seen


def test_the_judge_leaves_the_programs_core_for_the_call_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = share_out()
    if cores.shared:
        pytest.skip("one core")
    working, watching = {cores.party[0]}, {cores.watch}
    assert where_the_judge_is(cores, monkeypatch) == [working, watching, working]


def test_with_one_core_for_all_there_is_nowhere_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    only = min(os.sched_getaffinity(0))
    assert where_the_judge_is(Cores(only, (only,)), monkeypatch) == [{only}] * 3


def test_cores_and_priority_are_given_back() -> None:
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    with scheduling_restored():
        share_out().work()
        favour(0)
    assert (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)) == before
