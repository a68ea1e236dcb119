"""A problem package: read from disk with every fault named, packed for workers and contestants."""

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from judge.archive import digest, read_zip, strip_top_folder, write_zip
from judge.errors import ProblemError, SubmissionError
from judge.expected import Expectation, read_expectations
from judge.layout import (
    PACKAGE_LIMITS,
    check_function,
    read_statements,
    read_text,
    read_tree,
)
from judge.problem import Operator, Problem
from judge.signature import (
    generated_baseline,
    name_faults,
    parameters,
    prepare_parameters,
    reference_parameters,
)
from judge.source import from_files
from judge.tolerance import Check
from judge.wire import SourceFile
from judge.yamlfile import Location, dump_yaml, parse_yaml

__all__ = [
    "Expectation",
    "Package",
    "bundled_problems",
    "expectations",
    "load_all",
    "load_package",
    "pack",
    "pack_public",
    "unpack",
]

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Package:
    """A valid problem package.

    Attributes:
        slug: the folder's name.
        statements: language to markdown; English is always there.
        reference: source of reference.py.
        baseline: source of baseline.py, None if the reference itself is timed.
        hash: sha256 in hex over paths and contents of everything but submissions/ and the
            certificate.
    """

    slug: str
    root: Path
    problem: Problem
    statements: dict[str, str]
    reference: str
    baseline: str | None
    hash: str

    def baseline_source(self) -> str:
        """What speed-ups are measured against, as a Python submission in one file."""
        if self.baseline is not None:
            return self.baseline
        return generated_baseline(self.problem.operator, self.reference)


def load_package(root: Path) -> Package:
    """Reads and checks a package; imports and runs nothing of it.

    Raises:
        ProblemError: with file, line, key and remedy.
    """
    root = Path(os.path.abspath(root))  # not resolve(): a link must stay visible to be refused
    slug = root.name
    if not _SLUG.fullmatch(slug):
        raise ProblemError(
            f"{slug!r} cannot be a problem: the folder's name is its slug, "
            "lower-case letters, digits and `_`, a letter first, at most 64"
        )
    files = read_tree(root)
    read_text(slug, "problem.yaml", files)
    file = parse_yaml(f"{slug}/problem.yaml", files["problem.yaml"])
    problem = file.validate(Problem)
    for place, fault in _faults(problem):
        raise file.error(place, fault)
    reference = read_text(slug, "reference.py", files)
    check_function(
        f"{slug}/reference.py", reference, "reference", reference_parameters(problem.operator)
    )
    if isinstance(problem.tolerance, Check):
        arguments = ("inputs", "outputs", "truth", "attributes")
        check_function(f"{slug}/reference.py", reference, "check", arguments)
    baseline = read_text(slug, "baseline.py", files) if "baseline.py" in files else None
    if baseline is not None:
        _check_baseline(slug, baseline, problem.operator)
    return Package(
        slug=slug,
        root=root,
        problem=problem,
        statements=read_statements(slug, files),
        reference=reference,
        baseline=baseline,
        hash=digest(files),
    )


def load_all(folder: Path) -> dict[str, Package]:
    """Every package in a folder, by slug. Hidden folders and loose files are left alone.

    Raises:
        ProblemError: no such folder, an invalid package, or two with one uuid.
    """
    if not folder.is_dir():
        raise ProblemError(f"there is no problem folder {folder}")
    packages: dict[str, Package] = {}
    owners: dict[str, str] = {}
    for root in sorted(folder.iterdir()):
        if not root.is_dir() or root.name.startswith((".", "__")):
            continue
        package = load_package(root)
        owner = owners.setdefault(package.problem.uuid, package.slug)
        if owner != package.slug:
            raise ProblemError(f"{package.slug} and {owner} have the same uuid; give it a new one")
        packages[package.slug] = package
    return packages


def bundled_problems() -> Path:
    """The problems that come with opjudge: of a checkout, or of an installed wheel.

    Raises:
        ProblemError: neither is there.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "bundled_problems", here.parent / "problems"):
        if folder.is_dir():
            return folder
    raise ProblemError("this installation carries no problems; name a folder of your own")


def expectations(package: Package) -> tuple[Expectation, ...]:
    """What the package's own submissions must get. Raises ProblemError on a malformed listing."""
    return read_expectations(package.root)


def pack(package: Package) -> bytes:
    """What a worker needs, as a canonical zip: everything but submissions/.

    Raises:
        ProblemError: the folder is no longer what was loaded.
    """
    return write_zip(_unchanged(package))


def pack_public(package: Package) -> bytes:
    """What a contestant may have: the same, without the hidden workloads.

    problem.yaml is written anew rather than cut, since comments could tell.

    Raises:
        ProblemError: the folder is no longer what was loaded.
    """
    files = _unchanged(package)
    data = parse_yaml("problem.yaml", files["problem.yaml"]).data
    data["workloads"] = [w for w in data["workloads"] if not w.get("hidden", False)]
    return write_zip({**files, "problem.yaml": dump_yaml(data)})


def unpack(data: bytes, into: Path, slug: str) -> Package:
    """Writes a packed problem to `into`/`slug` and loads it; all of it or nothing appears there.

    Unpacking the same package again is harmless; another one in its place is an error.

    Raises:
        ProblemError: not a safe archive (see `judge.archive.read_zip`), not a valid package, or
            `package-exists`.
    """
    if not _SLUG.fullmatch(slug):
        raise ProblemError(f"{slug!r} cannot be the slug of a problem")
    files = strip_top_folder(read_zip(data, PACKAGE_LIMITS, ProblemError))
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=into) as folder:
        root = Path(folder) / slug
        for path, content in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        package = load_package(root)
        return _settle(package, Path(os.path.abspath(into)) / slug)


def _settle(package: Package, place: Path) -> Package:
    """Moves a freshly unpacked package to its place, unless it is there already."""
    try:
        package.root.rename(place)
    except OSError as error:  # something is there; a second worker may have just been faster
        if not place.is_dir() or load_package(place).hash != package.hash:
            raise ProblemError(
                f"{place} exists and is something else; remove it first", code="package-exists"
            ) from error
    return replace(package, root=place)


def _unchanged(package: Package) -> dict[str, bytes]:
    files = read_tree(package.root)
    if digest(files) != package.hash:
        raise ProblemError(f"{package.slug} was edited since it was loaded; load it again")
    return files


def _check_baseline(slug: str, baseline: str, operator: Operator) -> None:
    place = f"{slug}/baseline.py"
    check_function(place, baseline, "solve", parameters(operator))
    check_function(place, baseline, "prepare", prepare_parameters(operator), optional=True)
    try:
        from_files([SourceFile(path="baseline.py", content=baseline.encode())])
    except SubmissionError as error:
        raise ProblemError(f"{place}: {error.message}") from error


def _faults(problem: Problem) -> Iterator[tuple[Location, str]]:
    """What the model itself does not look at, each with its place in problem.yaml."""
    yield from name_faults(problem.operator)
    yield from _shape_faults(problem.operator)
    yield from _attribute_faults(problem)
    if not any(w.timed and not w.hidden for w in problem.workloads):
        yield ("workloads",), "at least one `timed` workload must not be `hidden`"


def _shape_faults(operator: Operator) -> Iterator[tuple[Location, str]]:
    for group in ("inputs", "outputs"):
        for i, tensor in enumerate(getattr(operator, group)):
            for j, size in enumerate(tensor.shape):
                if isinstance(size, int) and size < 1:
                    yield ("operator", group, i, "shape", j), f"a size must be positive, not {size}"


def _attribute_faults(problem: Problem) -> Iterator[tuple[Location, str]]:
    whole = set()
    for i, attribute in enumerate(problem.operator.attributes):
        if attribute.type == "int":
            whole.add(attribute.name)
            if not isinstance(attribute.default, int):
                place: Location = ("operator", "attributes", i, "default")
                yield place, f"{attribute.name!r} is an int, {attribute.default} is not"
    for i, workload in enumerate(problem.workloads):
        for name in sorted(whole & set(workload.attributes)):
            value = workload.attributes[name]
            if not isinstance(value, int):
                yield ("workloads", i, "attributes", name), f"{name!r} is an int, {value} is not"
