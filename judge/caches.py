"""What a processor's caches hold when a call begins."""

import re
from pathlib import Path

import numpy as np

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_USUAL_BYTES = 64 << 20
_MOST_BYTES = 512 << 20
_UNITS = {"K": 10, "M": 20, "G": 30}


def largest_bytes(caches: Path = _CACHES) -> int:
    """Size of the largest cache of a core; 64 MiB where the kernel does not tell."""
    found = [re.fullmatch(r"(\d+)([KMG])", path.read_text().strip()) for path in _sizes(caches)]
    return max((int(m[1]) << _UNITS[m[2]] for m in found if m), default=_USUAL_BYTES)


def _sizes(caches: Path) -> list[Path]:
    return sorted(caches.glob("index*/size"))


class Caches:
    """Empties the caches of this core, and those it shares, of what others use.

    By changing twice as much memory as the largest holds; the first time makes that memory.
    """

    def __init__(self) -> None:
        self._other: np.ndarray[tuple[int], np.dtype[np.uint64]] | None = None

    def flush(self) -> None:
        """From here on nothing but our own is in them."""
        if self._other is None:
            size = min(2 * largest_bytes(), _MOST_BYTES)
            self._other = np.zeros(size // 8, np.uint64)
        self._other += np.uint64(1)
