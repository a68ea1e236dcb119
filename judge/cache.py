"""Problem packages from the service, kept on disk by their hash."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from judge.errors import InfrastructureError, ProblemError
from judge.package import Package, load_package, unpack

_AHEAD = 32


class PackageCache:
    """A folder of unpacked packages. Several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Package] = {}

    def read_ahead(self) -> None:
        """Read the packages that came last: a worker's children need not read them again."""
        kept: dict[str, Package] = {}
        for place in self._last(_AHEAD):
            if place.name in self._read:
                kept[place.name] = self._read[place.name]
                continue
            with contextlib.suppress(OSError, ProblemError):
                kept |= {p.hash: p for p in map(load_package, place.iterdir())}
        self._read = kept

    def _last(self, count: int) -> list[Path]:
        try:
            places = [p for p in self._folder.iterdir() if not p.name.startswith(".")]
            return sorted(places, key=lambda place: place.stat().st_mtime)[-count:]
        except OSError:
            return []

    def whole(self, slug: str, package_hash: str, fetch: Callable[[], bytes]) -> Package:
        """The whole package with this hash, fetched only if it is not here yet.

        Raises InfrastructureError if it has another hash, be it damaged here or wrong there.
        """
        known = self._read.get(package_hash)
        if known is not None and known.slug == slug:
            return known
        package = self.public(slug, package_hash, fetch)
        if package.hash != package_hash:
            shutil.rmtree(self._folder / package_hash)
            raise InfrastructureError(
                f"package {slug!r} should have hash {package_hash} but has {package.hash}"
            )
        return package

    def public(self, slug: str, package_hash: str, fetch: Callable[[], bytes]) -> Package:
        """The public part of the package with this hash; its own hash is another."""
        place = self._folder / package_hash / slug
        if place.is_dir():
            return load_package(place)
        return unpack(fetch(), place.parent, slug)
