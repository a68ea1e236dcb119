"""How often one account or one address may do a thing. Counted by `limits`, in this process.

Several web processes count each for themselves, so that together they allow as many times more.
"""

import ipaddress
import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from judge.errors import ApiError, UserError
from leaderboard.settings import Settings

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


class Throttle:
    """The limits in force. Raises UserError ``bad-setting`` if one cannot be understood."""

    def __init__(self, settings: Settings) -> None:
        self._counter = MovingWindowRateLimiter(MemoryStorage())
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
        if limit is not None and not self._counter.hit(limit, setting, *key):
            reset = self._counter.get_window_stats(limit, setting, *key).reset_time
            raise TooOften(what, limit, max(1, math.ceil(reset - time.time())))


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
