"""Warm sandboxes: ready beforehand, used once, destroyed by whoever started them."""

from typing import cast

import pytest

from judge.errors import InfrastructureError
from judge.party import Party, Reply
from judge.pool import Pool
from judge.verdict import Verdict


class FakeParty:
    """Knows what was done to it."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.reply = reply or Reply(0)
        self.calls: list[str] = []
        self.living = True

    @property
    def resident(self) -> "FakeParty":
        return self

    def alive(self) -> bool:
        return self.living

    def ready(self) -> Reply:
        self.calls.append("ready")
        return self.reply

    def end(self) -> None:
        self.calls.append("end")


class Factory:
    """Hands out parties, the given ones first."""

    def __init__(self, *first: FakeParty) -> None:
        self._first = list(first)
        self.made: list[FakeParty] = []

    def __call__(self) -> Party:
        party = self._first.pop(0) if self._first else FakeParty()
        self.made.append(party)
        return cast(Party, party)


def test_filling_waits_until_the_program_is_stopped() -> None:
    factory = Factory()
    pool = Pool(factory)
    pool.fill()
    pool.fill()
    assert [p.calls for p in factory.made] == [["ready"]]


def test_each_is_lent_once_and_then_destroyed() -> None:
    factory = Factory()
    pool = Pool(factory)
    pool.fill()
    with pool.lend() as first:
        assert cast(FakeParty, first).calls == ["ready"]
    with pool.lend() as second:
        assert second is not first
    assert [p.calls for p in factory.made] == [["ready", "end"]] * 2


def test_a_judging_that_fails_does_not_keep_its_sandbox() -> None:
    factory = Factory()
    with pytest.raises(RuntimeError), Pool(factory).lend():
        raise RuntimeError
    assert factory.made[0].calls[-1] == "end"


def test_one_that_died_while_waiting_is_replaced() -> None:
    factory = Factory()
    pool = Pool(factory)
    pool.fill()
    factory.made[0].living = False
    with pool.lend() as party:
        assert cast(FakeParty, party) is factory.made[1]
    assert factory.made[0].calls == ["ready", "end"]


def test_one_that_does_not_start_is_our_fault() -> None:
    factory = Factory(FakeParty(Reply(0, Verdict.RTE, "no torch here")))
    with pytest.raises(InfrastructureError, match="no torch here"):
        Pool(factory).fill()
    assert factory.made[0].calls == ["ready", "end"]


def test_closing_twice_is_harmless() -> None:
    factory = Factory()
    pool = Pool(factory)
    pool.fill()
    pool.close()
    pool.close()
    assert factory.made[0].calls == ["ready", "end"]
