"""The same judging, with the docker back end under it."""

import pytest

from judge.judging import judge
from judge.package import Package
from judge.source import parse_upload
from judge.verdict import Mode, Verdict
from judge.wire import JudgementResult
from sandbox.docker import Docker
from tests.docker_engine import KERNEL_APART, Engine
from tests.judge.conftest import QUICK
from tests.judge.test_judging import CPP, HONEST

# The first run makes the image.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def docker(docker_engine: Engine) -> Docker:
    return Docker(docker_engine.image, url=docker_engine.url)


def judged(package: Package, docker: Docker, filename: str, text: str) -> JudgementResult:
    if filename.endswith(".py"):
        text = f"#!OPJUDGE arrays=numpy\nimport numpy as np\n{text}"
    source = parse_upload(filename, text.encode(), limit_bytes=1 << 20)
    return judge(package, source, Mode.RANKED, docker, options=QUICK)


@pytest.mark.parametrize(("text", "filename"), [(HONEST, "s.py"), (CPP, "s.cpp")])
def test_a_correct_submission_is_accepted(
    package: Package, docker: Docker, text: str, filename: str
) -> None:
    result = judged(package, docker, filename, text)
    assert result.verdict is Verdict.AC, result
    assert result.environment.sandbox["backend"] == "docker"


def test_builds_under_a_kernel_of_their_own(package: Package, docker_engine: Engine) -> None:
    apart = Docker(docker_engine.image, url=docker_engine.url, build_runtime=KERNEL_APART)
    result = judged(package, apart, "s.cpp", CPP)
    assert result.verdict is Verdict.AC, result
    assert result.environment.sandbox["build_runtime"] == KERNEL_APART
    assert judged(package, apart, "s.cpp", "int f( {").verdict is Verdict.CE


def test_a_wrong_one_is_not(package: Package, docker: Docker) -> None:
    text = "def solve(x, y, eps):\n    y[:] = x\n"
    assert judged(package, docker, "s.py", text).verdict is Verdict.WA
