"""What is installed is what is pinned: no package comes in unnoticed, and none in another version.

Advisories are published on the internet, where continuous integration cannot go. What can be shown
without it is that the list to be audited is complete: whoever has a connection runs

    pip-audit --requirement constraints.txt --no-deps --disable-pip
"""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

REPOSITORY = Path(__file__).resolve().parent.parent
OURS = "opjudge"
# What makes a virtual environment, and is in none of ours at run time.
_TOOLS = {"pip", "wheel"}


def pinned() -> dict[str, str]:
    """Name to version, as in constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    wanted = [Requirement(line.partition("#")[0]) for line in lines if not line.startswith("#")]
    versions = {canonical(each.name): str(each.specifier) for each in wanted}
    assert len(versions) == len(wanted), "a package is pinned twice"
    assert all(re.fullmatch(r"==[^*,]+", version) for version in versions.values()), versions
    return {name: version.removeprefix("==") for name, version in versions.items()}


def installed() -> dict[str, str]:
    found = {canonical(each.name): each.version for each in metadata.distributions()}
    return {name: version for name, version in found.items() if name not in {OURS, *_TOOLS}}


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, str]]) -> set[str]:
    """Every package that one leads to; of its own extras those that are asked for."""
    found: set[str] = {canonical(name)}
    try:
        texts = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return found  # for another Python or system
    for requirement in map(Requirement, texts):
        marker = str(requirement.marker or "")
        asked = re.search(r"extra == ['\"]([^'\"]+)", marker)
        key = (canonical(requirement.name), ",".join(sorted(requirement.extras)))
        if (asked and asked[1] not in extras) or (name != OURS and key in seen):
            continue
        seen.add(key)
        found |= needed(requirement.name, frozenset(requirement.extras), seen)
    return found


def test_what_is_installed_is_what_is_pinned() -> None:
    known = pinned()
    # A build for one kind of device is of the same version: torch 2.13.0+cpu.
    strange = {
        name: version
        for name, version in installed().items()
        if known.get(name) != version.partition("+")[0]
    }
    assert strange == {}, "pin these in constraints.txt, or do without them"


def test_nothing_is_pinned_that_nothing_needs() -> None:
    reached = needed(OURS, frozenset({"all", "dev"}), set())
    assert set(pinned()) - reached == set()


def test_images_and_make_install_nothing_that_is_not_pinned() -> None:
    for name in ("Dockerfile", "Makefile"):
        text = (REPOSITORY / name).read_text().replace("\\\n", " ")
        commands = re.findall(r"pip install[^\n]*", text)
        calls = [each for line in commands for each in re.split(r"&& |\|\| ", line)]
        installs = [each for each in calls if "pip install" in each and not each.startswith("#")]
        assert len(installs) >= 2, name
        for call in installs:
            assert "--constraint constraints.txt" in call or "torch==" in call, (name, call)
