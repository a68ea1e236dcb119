"""How programs are scheduled in tests that switch a defence off."""

import pytest

from judge.cores import Cores, favour


def like_others(patch: pytest.MonkeyPatch) -> None:
    """A program that is not stopped would keep the judge, and its own threads, from their core."""
    patch.setattr(Cores, "favour", lambda _self, thread: favour(thread))
