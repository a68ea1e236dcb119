"""The table of attacks, put together from one module a subject."""

from tests.escapes.attack import Attack
from tests.escapes.attacks import (
    compiling,
    files,
    kernel,
    memory,
    network,
    output,
    pages,
    processes,
    secret,
    signals,
)

_MODULES = (
    processes, signals, memory, files, secret, network, kernel, output, pages, compiling,
)  # fmt: skip

ATTACKS: dict[str, Attack] = {a.name: a for module in _MODULES for a in module.ATTACKS}
"""By name."""
