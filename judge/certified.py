"""The mutation certificate on disk, beside the problem that it vouches for.

`opjudge problem verify` computes it and writes `certificate.json` into the package; the service
reads it when the problem is published. The service has no torch and runs no problem's code, so it
takes the margins on the organizer's word, as it takes the reference and the tolerance: whoever can
forge the one can rewrite the other. What it checks is that the certificate is for this very
problem, that every output of every timed workload was tried, and every gap.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from judge.errors import ProblemError
from judge.layout import CERTIFICATE
from judge.package import Package
from judge.wire import Certificate, CertificateView, Floors

GAP = 4.0
"""How much worse the best mutant must be than the worst honest output."""

_MOST_BYTES = 16 << 20
_NAMED = 3


def rules_hash(package: Package) -> str:
    """SHA-256 in hex of what decides which outputs are right.

    That is operator, timed workloads, tolerances and reference: a corrected statement or another
    limit leaves a certificate good.
    """
    problem = package.problem
    rules = {
        "operator": problem.operator.model_dump(mode="json", exclude_defaults=True),
        "workloads": [
            [w.name, w.dims, problem.attributes_of(w)] for w in problem.workloads if w.timed
        ],
        "tolerance": problem.tolerance.model_dump(mode="json"),
        "tolerances": {n: t.model_dump(mode="json") for n, t in problem.tolerances.items()},
        "reference": package.reference,
    }
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def write_certificate(certificate: Certificate, root: Path) -> Path:
    """Put it into the package. Raises ProblemError if the folder cannot be written."""
    place = root / CERTIFICATE
    try:
        handle, draft = tempfile.mkstemp(dir=root, prefix=".certificate-")
        with open(handle, "w", encoding="utf-8") as file:
            file.write(certificate.model_dump_json(indent=1) + "\n")
        Path(draft).chmod(0o644)
        os.replace(draft, place)
    except OSError as error:
        raise ProblemError(f"cannot write {place}: {error.strerror}") from error
    return place


def read_certificate(root: Path) -> Certificate | None:
    """The package's certificate, None if it has none. Raises ProblemError if it is damaged."""
    place = root / CERTIFICATE
    try:
        if place.stat().st_size > _MOST_BYTES:
            raise ProblemError(f"{root.name}/{CERTIFICATE} is larger than any certificate")
        return Certificate.model_validate_json(place.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ProblemError(
            f"{root.name}/{CERTIFICATE} cannot be read; have it made again: "
            f"opjudge problem verify {root}"
        ) from error


def floors_of(package: Package) -> Floors:
    """Those of the package's own certificate; none if it has none, or one of other rules."""
    try:
        certificate = read_certificate(package.root)
    except ProblemError:
        return {}
    if certificate is None or certificate.rules_hash != rules_hash(package):
        return {}
    return certificate.floors


def certified(package: Package, *, required: bool = True) -> Certificate | None:
    """The certificate of a package that may be published; None if it has none and needs none.

    Args:
        required: whether a problem without a certificate that is its own may be published.

    Raises:
        ProblemError: it is missing, another problem's, or a mutant comes too near what is honest:
            each with what to do.
    """
    certificate = read_certificate(package.root)
    again = f"run: opjudge problem verify {package.root}"
    if certificate is None or certificate.rules_hash != rules_hash(package):
        if not required:
            return None
        why = (
            "has no certificate that its tolerance stops wrong outputs"
            if certificate is None
            else f"has changed since its {CERTIFICATE} was made (operator, timed workloads, "
            "tolerance or reference)"
        )
        raise ProblemError(
            f"{package.slug} {why}; {again} "
            "(to offer it without one: OPJUDGE_REQUIRE_CERTIFICATE=false)",
            code="not-certified",
        )
    faults = [*certificate.complaints, *_faults(certificate, package)]
    if faults:
        named = "; ".join(faults[:_NAMED])
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise ProblemError(
            f"{package.slug} cannot be published: {named}{more}. Then {again}",
            code="not-certified",
        )
    return certificate


def _faults(certificate: Certificate, package: Package) -> Iterator[str]:
    """What its own complaints should have said."""
    problem = package.problem
    tried = {(t.workload, t.output) for t in certificate.trials if not t.skipped}
    for workload in problem.workloads:
        for spec in problem.operator.outputs if workload.timed else ():
            if (workload.name, spec.name) not in tried:
                yield f"no mutant of {spec.name!r} was tried on {workload.name!r}"
    if certificate.complaints:
        return
    for trial in certificate.trials:
        if not trial.skipped and not trial.size >= GAP:
            yield (
                f"mutant {trial.mutant!r} of {trial.output or 'all outputs'!r} on "
                f"{trial.workload!r} has a gap of {trial.size:.2g}, {GAP:g} are needed"
            )


def view(certificate: Certificate, package: Package) -> CertificateView:
    """What everybody may see of it: hidden workloads count, and are not named."""
    visible = {w.name for w in package.problem.workloads if not w.hidden}
    tried = [t for t in certificate.trials if not t.skipped]
    gaps: dict[str, float | None] = {}
    for name in sorted(visible & {t.workload for t in tried}):
        gap = min(t.size for t in tried if t.workload == name)
        gaps[name] = gap if gap < float("inf") else None
    return CertificateView(gap=certificate.gap, tried=len(tried), workloads=gaps)
