"""Which core runs what."""

import os
import select
import subprocess
import sys

import pytest

from judge.cores import Cores, favour, may_go_first, scheduling_restored, share_out
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


REAL_TIME = pytest.mark.skipif(not may_go_first(), reason="real-time threads are not permitted")


def scheduling(thread: int = 0) -> tuple[int, int]:
    """Policy and real-time priority."""
    return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority


@REAL_TIME
def test_cores_policy_and_priority_are_given_back() -> None:
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0), scheduling()
    with scheduling_restored():
        share_out().leave()
        favour(0)
        assert scheduling() == (os.SCHED_FIFO, 2)
    after = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0), scheduling()
    assert after == before


def during_a_call(cores: Cores, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How the program is scheduled, then the judge: before a call, in it, and afterwards."""
    with (
        scheduling_restored(),
        Party(Dummy(), Limits(wall_s=60), "none", arena_bytes=1 << 20) as party,
    ):
        party.ready()
        party.pin(cores)
        seen = [scheduling(party.resident.pid), scheduling()]
        resume = party.resident.resume

        def spied() -> None:
            seen.append(scheduling())
            resume()

        monkeypatch.setattr(party.resident, "resume", spied)
        assert party.request(Op.PREPARE, protocol.encode([7]), 10.0).absent
        return [*seen, scheduling()]


@REAL_TIME
def test_nothing_ordinary_keeps_a_call_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the judge, for all of a judging, takes a core from nobody."""
    cores = share_out()
    ordinary = os.SCHED_OTHER, 0
    assert during_a_call(cores, monkeypatch) == [
        (os.SCHED_RR, 1), ordinary, (os.SCHED_FIFO, 2), ordinary
    ]  # fmt: skip


def test_on_the_only_core_the_judge_would_wait_for_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only = min(os.sched_getaffinity(0))
    ordinary = os.SCHED_OTHER, 0
    assert during_a_call(Cores(only, (only,)), monkeypatch) == [ordinary] * 4


def test_where_it_is_not_permitted_all_goes_on_as_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not may_go_first()
    assert during_a_call(share_out(), monkeypatch) == [(os.SCHED_OTHER, 0)] * 4


def test_asking_changes_nothing() -> None:
    before = scheduling()
    may_go_first()
    assert scheduling() == before


HOLDS = """
import sys
from judge.cores import Cores
cores = Cores(int(sys.argv[1]), (int(sys.argv[2]),))
with cores.held():
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(watch: int, party: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(watch), str(party)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("dies", [False, True])
def test_two_judgings_on_one_core_take_turns(dies: bool) -> None:
    """The numbers are of cores that no machine has, so that no judging is in the way."""
    with holder(90001, 90002) as first, holder(90003, 90004) as other:
        assert (said(first), said(other)) == ("held", "held")
        with holder(90004, 90001) as second:
            assert second.poll() is None
            assert second.stdout is not None
            assert not select.select([second.stdout], [], [], 0.5)[0]
            for process in (first, other):
                process.kill() if dies else process.communicate("\n")
            assert said(second) == "held"
            second.communicate("\n")
