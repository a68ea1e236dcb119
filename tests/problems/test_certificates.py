"""Every mutant fails on every timed workload of every bundled problem, by a clear gap."""

from collections.abc import Iterator

import pytest

from judge.backend import warmed
from judge.certificate import certify
from judge.certified import GAP, certified
from sandbox.base import Sandbox
from sandbox.bubblewrap import Bubblewrap
from tests.problems import programs
from tests.problems.programs import SLUGS


@pytest.mark.parametrize("slug", SLUGS)
def test_the_stored_certificate_is_good(slug: str) -> None:
    assert certified(programs.package(slug)) is not None, "make certificates"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with warmed(Bubblewrap()) as ready:
        yield ready


@pytest.mark.parametrize("slug", SLUGS)
def test_all_mutants_fail_clearly(slug: str, sandbox: Sandbox) -> None:
    package = programs.package(slug)
    certificate = certify(package, sandbox, {})
    print(f"{slug}: gap {certificate.gap}")
    assert certificate.complaints == ()
    timed = {w.name for w in package.problem.workloads if w.timed}
    assert {t.workload for t in certificate.trials if not t.skipped} == timed
    # Seven mutants at most do not fit an operator's shape.
    for workload in timed:
        tried = [t for t in certificate.trials if t.workload == workload and not t.skipped]
        assert len(tried) >= 19
        assert all(t.gap is None or t.gap >= GAP for t in tried)
