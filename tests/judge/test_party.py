"""One side of a judging: the clock around a program."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from judge.building import PYTHON_ENTRY, canonical_zip
from judge.cores import scheduling_restored, share_out
from judge.errors import InfrastructureError
from judge.party import Party, Reply
from judge.problem import DType, TensorSpec
from judge.verdict import Language, Verdict
from sandbox.base import SandboxError
from sandbox.bubblewrap import Bubblewrap
from sandbox.harness import protocol
from sandbox.harness.protocol import DONE, Op
from sandbox.limits import Limits
from sandbox.outcome import Status

BUSY = b"""\
import time

def solve(n):
    end = time.monotonic() + n / 1000
    while time.monotonic() < end:
        pass
"""


@pytest.fixture
def party() -> Iterator[Party]:
    with Party(Bubblewrap(), Limits(wall_s=60), "none", arena_bytes=1 << 20) as party:
        party.ready()
        program = canonical_zip({PYTHON_ENTRY: BUSY})
        assert party.load(program, Language.PYTHON, {}, 10.0).failure is None
        yield party


@pytest.mark.parametrize("polled", [True, False])
def test_limits_that_nobody_else_sees_to_are_looked_after_during_a_call(
    polled: bool, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = []
    monkeypatch.setattr(party.resident, "polled", polled)
    monkeypatch.setattr(
        party.resident, "check", lambda: during.append(party._words[DONE] != party._sequence)
    )
    assert party.request(Op.CALL, protocol.encode([300]), 10.0).failure is None
    assert any(during) == polled


def test_a_favoured_program_goes_before_others(party: Party) -> None:
    """So do the threads that it starts from then on: they inherit it."""
    usual = os.getpriority(os.PRIO_PROCESS, party.resident.pid)
    party.favour()
    favoured = os.getpriority(os.PRIO_PROCESS, party.resident.pid)
    assert favoured < usual or os.geteuid() != 0


@pytest.mark.parametrize(("ms", "patient", "least", "most"), [
    (15, False, 0.5, 1.1), (600, False, 0.0, 0.7), (600, True, 0.0, 0.4)
])  # fmt: skip
def test_a_long_call_leaves_the_judges_core_to_others(
    ms: int, patient: bool, least: float, most: float, party: Party
) -> None:
    """To whatever else there is on a small machine: judge and program have all of its cores."""
    call, waited, worked = protocol.encode([ms]), 0.0, 0.0
    with scheduling_restored():
        party.pin(share_out())
        for _ in range(600 // ms):
            began, used = time.perf_counter(), time.thread_time()
            assert party.request(Op.CALL, call, 10.0, patient=patient).failure is None
            waited += time.perf_counter() - began
            worked += time.thread_time() - used
    assert least < worked / waited < most


GROWING = b"""\
import os
print("loaded")
calls = 0

def solve(y):
    global calls
    calls += 1
    y[0] = calls
    os.makedirs(f"/tmp/call-{calls}")
"""


def test_a_restart_leaves_nothing_of_the_last_process() -> None:
    """Not in memory, not in files, not in the shared pages; the buffers stay where they are."""
    spec = TensorSpec(name="y", dtype=DType.INT64, shape=(1,))
    with Party(Bubblewrap(), Limits(wall_s=60), "numpy", arena_bytes=1 << 20) as party:
        party.ready()
        program = canonical_zip({PYTHON_ENTRY: GROWING})
        assert party.load(program, Language.PYTHON, {"arrays": "numpy"}, 10.0).failure is None
        placement = party.arena.place((), (spec,), {}, np.random.default_rng(1))
        (buffer,) = placement.outputs
        call = protocol.encode([buffer.argument()])
        for process in range(3):
            for expected in (1, 2):
                assert party.request(Op.CALL, call, 10.0).failure is None
                assert party.arena.take(buffer) == [expected], process
            last = party.resident.pid
            party.renew()
            assert party.reload().failure is None
            assert party.resident.pid != last
            assert party.arena.take(buffer) == [0]
            assert party.arena.guards_intact(placement)
        assert party.end().stdout == b"loaded\n" * 4


def test_a_program_that_loads_only_once_fails_at_the_restart() -> None:
    with Party(Bubblewrap(), Limits(wall_s=60), "none", arena_bytes=1 << 20) as party:
        party.ready()
        party.renew()
        with pytest.raises(ValueError, match="nothing was loaded"):
            party.reload()
        party.ready()
        moody = canonical_zip({PYTHON_ENTRY: b"import time\ntime.sleep(0.5)\ndef solve(): ...\n"})
        assert party.load(moody, Language.PYTHON, {}, 20.0).failure is None
        party._artifact = replace(party._artifact, limit_s=0.1)  # type: ignore[type-var]
        party.renew()
        assert party.reload().failure is Verdict.TLE


def test_a_sandbox_that_does_not_start_again_is_nobodys_fault_but_ours(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(party, "ready", lambda: Reply(0, failure=Verdict.RTE, message="no room"))
    party.renew()
    with pytest.raises(InfrastructureError, match="no room"):
        party.reload()


def test_a_party_that_never_started_ends_as_well() -> None:
    party = Party(Bubblewrap(), Limits(wall_s=60), "none", arena_bytes=1 << 20)
    with pytest.raises(ValueError, match="has not been started"):
        _ = party.resident
    party.kill()
    assert party.end().status is Status.OK


def test_one_whose_sandbox_cannot_be_made_ends_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise SandboxError("no room")

    monkeypatch.setattr(Bubblewrap, "start", refuse)
    with (
        Party(Bubblewrap(), Limits(wall_s=60), "none", arena_bytes=1 << 20) as party,
        pytest.raises(SandboxError, match="no room"),
    ):
        party.ready()


def test_a_killed_party_is_gone_at_its_end(party: Party) -> None:
    pid = party.resident.pid
    party.kill()
    party.end()
    party.kill()
    assert not Path(f"/proc/{pid}").exists()
