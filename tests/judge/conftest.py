"""A small numpy problem, judged for real: fast, because nothing has to import torch inside."""

from collections.abc import Callable, Iterator

import pytest

from judge.backend import warmed
from judge.effort import Effort
from judge.judging import JudgingOptions, judge
from judge.package import Package, load_package
from judge.source import parse_upload
from judge.verdict import Mode
from judge.wire import JudgementResult
from sandbox.base import Sandbox
from sandbox.bubblewrap import Bubblewrap
from tests.fixtures import write_package

Judge = Callable[..., JudgementResult]

QUICK = JudgingOptions(
    effort=dict.fromkeys(Mode, Effort(checks=2, min_rounds=6, max_rounds=6, budget_s=30.0))
)

NUMPY_BASELINE = """\
#!OPJUDGE arrays=numpy
import numpy as np


def solve(x, y, eps):
    np.multiply(x, np.float32(1 + eps), out=y)
"""


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with warmed(Bubblewrap()) as ready:
        yield ready


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """y = x * (1 + eps), on 2x3, 512x1024 (timed) and 509x1021 (hidden, timed)."""
    root = write_package(
        tmp_path_factory.mktemp("problems") / "row_scale",
        ("cost:", "limits: {time_limit_s: 1.5, memory_mib: 256}\ncost:"),
        files={"baseline.py": NUMPY_BASELINE},
    )
    return load_package(root)


@pytest.fixture
def judged(package: Package, sandbox: Sandbox) -> Judge:
    """Judge a source text: ``judged(text, filename="s.py", mode=Mode.RANKED, package=...)``."""

    def run(
        text: str,
        filename: str = "s.py",
        mode: Mode = Mode.RANKED,
        package: Package = package,
        options: JudgingOptions = QUICK,
    ) -> JudgementResult:
        if filename.endswith(".py") and "arrays=" not in text:
            text = f"#!OPJUDGE arrays=numpy\nimport numpy as np\n{text}"
        source = parse_upload(filename, text.encode(), limit_bytes=1 << 20)
        return judge(package, source, mode, sandbox, options=options)

    return run
