"""One side of a judging: the clock around a program."""

from collections.abc import Iterator

import pytest

from judge.building import PYTHON_ENTRY, canonical_zip
from judge.party import Party
from judge.verdict import Language
from sandbox.bubblewrap import Bubblewrap
from sandbox.harness import protocol
from sandbox.harness.protocol import DONE, Op
from sandbox.limits import Limits

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
