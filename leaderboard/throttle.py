"""How often one account or one address may do a thing. Counted in this process.

Several web processes count each for themselves, so that together they allow as many times more.
"""

import ipaddress
import math
import threading
import time
from collections import deque

from limits import RateLimitItem, parse

from judge.errors import ApiError, UserError
from leaderboard.settings import Settings

# Nothing is kept for longer of those who do not come back.
_SWEEP_S = 60.0
_SETTINGS = ("login_rate", "login_address_rate", "api_rate", "api_address_rate")


class TooOften(ApiError):
    """Come back later.

    Args:
        what: of which there were too many.
        limit: how often it is allowed.
        retry_after_s: when it is allowed again.
    """

    def __init__(self, what: str, limit: RateLimitItem, retry_after_s: int) -> None:
        super().__init__(
            f"too many {what}: {limit} are allowed; try again in {retry_after_s} s",
            status=429,
            code="too-often",
        )
        self.retry_after_s = retry_after_s


class Windows:
    """When who did what, as far back as it matters.

    The storage that `limits` brings starts a thread for every few hits, which looks through all it
    has; that was a tenth of what handing in costs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hits: dict[tuple[str, ...], deque[float]] = {}
        self._ends: dict[tuple[str, ...], float] = {}
        self._swept = time.monotonic()

    def hit(self, key: tuple[str, ...], amount: int, window_s: float) -> float:
        """Count one, unless there were `amount` within the last `window_s`.

        Returns:
            0, or how many seconds to wait until one is counted again.
        """
        if amount < 1:
            return window_s
        with self._lock:
            now = time.monotonic()
            if now > self._swept + _SWEEP_S:
                self._sweep(now)
            hits = self._hits.setdefault(key, deque())
            while hits and hits[0] <= now - window_s:
                hits.popleft()
            if len(hits) >= amount:
                return hits[0] + window_s - now
            hits.append(now)
            self._ends[key] = now + window_s
            return 0.0

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._hits)

    def _sweep(self, now: float) -> None:
        self._swept = now
        for key in [key for key, end in self._ends.items() if end <= now]:
            del self._hits[key], self._ends[key]


class Throttle:
    """The limits in force. Raises UserError ``bad-setting`` if one cannot be understood."""

    def __init__(self, settings: Settings) -> None:
        self._windows = Windows()
        self._limits = {name: _parsed(name, getattr(settings, name)) for name in _SETTINGS}

    def log_in(self, name: str, address: str) -> None:
        """Before a password is looked at, which takes a while. Raises TooOften.

        A name is counted together with the address, else anybody could lock anybody out.
        """
        self._count("login_rate", "attempts to log in", name.lower()[:64], _network(address))
        self.enter(address)

    def enter(self, address: str) -> None:
        """Before an account is made, or a password looked at. Raises TooOften."""
        self._count("login_address_rate", "logins and registrations from here", _network(address))

    def request(self, name: str) -> None:
        """Before a request of an account is served. Raises TooOften."""
        self._count("api_rate", f"requests by {name}", name)

    def request_from(self, address: str) -> None:
        """Before any request is served. Raises TooOften."""
        self._count("api_address_rate", "requests from here", _network(address))

    def _count(self, setting: str, what: str, *key: str) -> None:
        limit = self._limits[setting]
        if limit is None:
            return
        wait_s = self._windows.hit((setting, *key), limit.amount, limit.get_expiry())
        if wait_s > 0:
            raise TooOften(what, limit, max(1, math.ceil(wait_s)))


def _parsed(name: str, text: str) -> RateLimitItem | None:
    if text == "off":
        return None
    try:
        return parse(text)
    except ValueError:
        raise UserError(
            f"OPJUDGE_{name.upper()} is {text!r}; write it like `10/minute`, or `off`",
            code="bad-setting",
        ) from None


def _network(address: str) -> str:
    """One household: an IPv4 address, or the 64 bits of IPv6 that a provider hands out."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
