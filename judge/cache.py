"""Problem packages from the service, kept on disk by their hash."""

import shutil
from collections.abc import Callable
from pathlib import Path

from judge.errors import InfrastructureError
from judge.package import Package, load_package, unpack


class PackageCache:
    """A folder of unpacked packages. Several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def whole(self, slug: str, package_hash: str, fetch: Callable[[], bytes]) -> Package:
        """The whole package with this hash, fetched only if it is not here yet.

        Raises InfrastructureError if it has another hash, be it damaged here or wrong there.
        """
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
