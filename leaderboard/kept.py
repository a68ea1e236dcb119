"""What was worked out once and is kept for as long as it holds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

ValueT = TypeVar("ValueT")

_STRIPES = 16


class Kept:
    """Values with the stamp of what they were made from, the least recently used given up first.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, tuple[Hashable, Any]] = OrderedDict()
        self._lock = threading.Lock()
        # When a value is outdated many ask at once: one makes it while the others wait.
        self._making = tuple(threading.Lock() for _ in range(_STRIPES))

    def get(self, key: Hashable, stamp: Hashable, make: Callable[[], ValueT]) -> ValueT:
        """The value made for this stamp, now if need be."""
        with self._making[hash(key) % _STRIPES]:
            with self._lock:
                known = self._known.get(key)
                if known is not None:
                    self._known.move_to_end(key)
            if known is None or known[0] != stamp:
                known = (stamp, make())
                with self._lock:
                    self._known[key] = known
                    while len(self._known) > self._most:
                        self._known.popitem(last=False)
        return cast("ValueT", known[1])
