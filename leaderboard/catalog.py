"""The problems on offer: loaded once from their folder, every version kept for the workers."""

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from sqlmodel import Session, select

from judge import wire
from judge.certified import certified, view
from judge.errors import ApiError
from judge.hints import did_you_mean
from judge.package import Package, pack, pack_public
from judge.problem import Workload
from judge.signature import cpp_signature, python_signature, starter
from judge.verdict import Language
from leaderboard.db import Database
from leaderboard.models import Problem, ProblemVersion

_HASH = re.compile(r"[0-9a-f]{64}")


class Catalog:
    """The problems of this server.

    Args:
        packages: by slug.
        store: folder of the packed versions.
        compile_command: how C++ submissions are compiled, for the problem page.
        certificates: whether only problems with a certificate may be on offer.

    Raises ProblemError if one has none, or one that tells of too small a gap.
    """

    def __init__(
        self,
        packages: Mapping[str, Package],
        store: Path,
        compile_command: str = "",
        *,
        certificates: bool = True,
    ) -> None:
        self._packages = dict(packages)
        self._certificates = {
            slug: certified(package, required=certificates) for slug, package in packages.items()
        }
        self._store = store
        self._compile_command = compile_command

    def package(self, slug: str) -> Package:
        """Raises ApiError 404 ``unknown-problem``, with the nearest name."""
        package = self._packages.get(slug)
        if package is None:
            raise ApiError(
                f"there is no problem {slug[:64]!r}{did_you_mean(slug[:64], self._packages)}",
                status=404,
                code="unknown-problem",
            )
        return package

    def board(self, slug: str, device: str) -> Package:
        """The problem of a board. Raises ApiError 404, also where it is not for that device."""
        package = self.package(slug)
        if device not in package.problem.devices:
            raise ApiError(
                f"{slug} has no board for the device {device[:32]!r}"
                f"{did_you_mean(device[:32], package.problem.devices)}",
                status=404,
                code="unknown-device",
            )
        return package

    def boards(self) -> dict[tuple[str, str], str]:
        """Problem and device of every board, and the version whose scores are on it."""
        return {
            (slug, device): package.problem.version
            for slug, package in self._packages.items()
            for device in package.problem.devices
        }

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device class some problem is judged on."""
        return tuple(sorted({d for p in self._packages.values() for d in p.problem.devices}))

    def summaries(self) -> tuple[wire.ProblemSummary, ...]:
        return tuple(wire.ProblemSummary(**_summary(p)) for p in self._packages.values())

    def detail(self, slug: str) -> wire.ProblemDetail:
        """A problem page's content. Raises ApiError 404."""
        package = self.package(slug)
        problem = package.problem
        visible = [w for w in problem.workloads if not w.hidden]
        certificate = self._certificates[slug]
        return wire.ProblemDetail(
            **_summary(package),
            statement=package.statements,
            signature={
                Language.PYTHON.value: python_signature(problem.operator),
                Language.CPP.value: cpp_signature(problem.operator),
            },
            starters=tuple(starter(slug, problem, language) for language in Language),
            reference=package.reference,
            baseline=package.baseline_source(),
            workloads=tuple(_view(w, problem.attributes_of(w)) for w in visible),
            hidden_workloads=len(problem.workloads) - len(visible),
            limits=problem.limits.model_dump(),
            tolerance=problem.rules(),
            certificate=view(certificate, package) if certificate else None,
            compile_command=self._compile_command,
        )

    def hidden_workloads(self, slug: str) -> frozenset[str]:
        """Names of the workloads nobody may see; none for a problem that is gone."""
        package = self._packages.get(slug)
        workloads = package.problem.workloads if package else ()
        return frozenset(w.name for w in workloads if w.hidden)

    def floors(self, slug: str, package_hash: str) -> wire.Floors:
        """What the certificate says of this version; nothing of one that is not on offer."""
        package, certificate = self._packages.get(slug), self._certificates.get(slug)
        if package is None or certificate is None or package.hash != package_hash:
            return {}
        return certificate.floors

    def published(self, slug: str) -> frozenset[tuple[object, ...]]:
        """Name, dims and attributes of the workloads the version on offer shows to everybody."""
        package = self._packages.get(slug)
        workloads = package.problem.workloads if package else ()
        return frozenset(
            (w.name, _pairs(w.dims), _pairs(package.problem.attributes_of(w)))
            for w in workloads
            if package and not w.hidden
        )

    def public_package(self, slug: str) -> Path:
        """The zip for contestants. Raises ApiError 404."""
        return self._store / f"{self.package(slug).hash}.public.zip"

    def stored_package(self, package_hash: str) -> Path:
        """The zip for workers, of any version that was ever on offer. Raises ApiError 404."""
        path = self._store / f"{package_hash}.zip"
        # Hashes only: the text comes from a URL and becomes a path.
        if not _HASH.fullmatch(package_hash) or not path.is_file():
            raise ApiError("there is no such package", status=404, code="unknown-package")
        return path

    def publish(self, db: Database, now: datetime) -> None:
        """Store the packages and record them as the versions on offer."""
        for package in self._packages.values():
            _store(self._store / f"{package.hash}.zip", pack(package))
            _store(self._store / f"{package.hash}.public.zip", pack_public(package))
        with db.write() as session:
            for known in session.exec(select(Problem)).all():
                known.listed = known.slug in self._packages
                session.add(known)
            _record(session, self._packages.values(), self._certificates, now)


def _record(
    session: Session,
    packages: Iterable[Package],
    certificates: Mapping[str, wire.Certificate | None],
    now: datetime,
) -> None:
    for package in packages:
        problem = session.get(Problem, package.slug)
        if problem is None:
            problem = Problem(
                slug=package.slug, uuid=package.problem.uuid, package_hash=package.hash
            )
        problem.uuid = package.problem.uuid
        problem.package_hash = package.hash
        session.add(problem)
        session.flush()
        version = session.get(ProblemVersion, (package.slug, package.hash)) or ProblemVersion(
            problem=package.slug,
            package_hash=package.hash,
            version=package.problem.version,
            created_at=now,
        )
        if (certificate := certificates[package.slug]) is not None:
            version.certificate = certificate.model_dump_json()
        session.add(version)


def _store(path: Path, data: bytes) -> None:
    """Whole or not at all: another process may be serving this folder."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    with open(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)
    Path(draft).replace(path)


def _summary(package: Package) -> dict[str, object]:
    problem = package.problem
    return {
        "slug": package.slug,
        "name": problem.name,
        "version": problem.version,
        "package_hash": package.hash,
        "devices": problem.devices,
        "keywords": problem.keywords,
    }


def _pairs(values: Mapping[str, int | float]) -> tuple[tuple[str, int | float], ...]:
    return tuple(sorted(values.items()))


def _view(workload: Workload, attributes: dict[str, int | float]) -> wire.WorkloadView:
    return wire.WorkloadView(
        name=workload.name,
        dims=workload.dims,
        attributes=attributes,
        sample=workload.sample,
        timed=workload.timed,
        weight=workload.weight,
        cache=workload.cache,
    )
