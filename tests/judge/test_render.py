"""What a terminal says of a judgement beyond its verdict and its table."""

import io
from typing import Any

from rich.console import Console

from judge.cli.render import show_result
from judge.wire import CpuUse
from tests.judge.samples import make_result


def shown(**changes: Any) -> str:
    console = Console(file=io.StringIO(), record=True, width=200)
    show_result(console, make_result(**changes), "a title")
    return console.export_text()


def test_the_program_is_told_what_was_counted_of_it() -> None:
    use = CpuUse(inside_ns=1_500_000_000, outside_ns=0, charged_ns=1_600_000_000)
    assert "CPU time 1.50 s in its calls, 0 ns outside\n" in shown(cpu=use)
    use = use.model_copy(update={"instructions": 12_300_000, "cycles": 4_560_000})
    assert "outside; 1.23e+07 instructions in 4.56e+06 cycles" in shown(cpu=use)
    assert "CPU time" not in shown()


def test_why_there_is_no_rank() -> None:
    held = {"quarantine": ("large",), "score": None}
    assert "large took less time than this device needs" in shown(**held)
    use = CpuUse(inside_ns=1, outside_ns=10**9, charged_ns=1)
    told = shown(**held, cpu=use)
    assert "the program did more than its clock has seen" in told
    assert "1.00 s outside" in told
