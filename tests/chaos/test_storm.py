"""Short forms of what `python -m tests.chaos` does for minutes, in processes of their own."""

import json
import subprocess
import sys
from typing import Any

from tests.chaos.points import MOMENTS, TRANSITIONS, VICTIMS, points


def chaos(*arguments: str) -> dict[str, Any]:
    """The JSON object it ends with. Its exit status must say that all promises were kept."""
    command = [sys.executable, "-m", "tests.chaos", *arguments, "--quick", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-8000:] + done.stdout
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_a_short_storm_loses_nothing() -> None:
    result = chaos("storm")
    assert result["accepted"] == 60
    assert result["faults"] > 0
    promised = ("lost", "double", "stuck", "leaked_sandboxes")
    assert {name: result[name] for name in promised} == dict.fromkeys(promised, 0)
    assert result["longest_stuck_s"] <= 60


def test_a_part_killed_at_each_transition_costs_nothing() -> None:
    result = chaos("points")
    assert (result["wrong"], result["left"]) == ([], [])
    assert result["points"] == len(list(points(quick=True)))


def test_the_short_form_leaves_no_transition_moment_or_victim_out() -> None:
    quick = list(points(quick=True))
    assert {p.transition for p in quick} == set(TRANSITIONS)
    assert {p.moment for p in quick} == set(MOMENTS)
    assert {p.victim for p in quick} == set(VICTIMS)
    assert set(quick) <= set(points(quick=False))
