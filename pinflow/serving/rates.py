"""How often one may ask for work: a moving window a token, or an address where there is none.

`limits` keeps the windows; it is what Flask-Limiter and slowapi are made of, and is maintained by itself.
"""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.types import Scope

from pinflow.errors import PinflowError

DEFAULT = "1200/minute"
OFF = "off"
_FREE = ("GET", "HEAD", "OPTIONS", "DELETE")


class Rates:
    """Counts what costs: everything with a body, and explanations. Pages and thumbnails are free."""

    def __init__(self, limit: str | None) -> None:
        """`limit`: such as `20/second`; None is the default, which leaves this machine alone. Raises
        `PinflowError` for what is no limit."""
        self._spare_this_machine = limit is None
        self._item: RateLimitItem | None = None
        if limit != OFF:
            try:
                self._item = parse(limit or DEFAULT)
            except ValueError as error:
                raise PinflowError(
                    f"PINFLOW_RATE_LIMIT: {limit!r} is no limit; write 20/second, 1200/minute, or off"
                ) from error
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def __str__(self) -> str:
        return str(self._item)

    def wait(self, scope: Scope, token: str | None) -> int | None:
        """Seconds to wait, or None where the request may go on, which counts it."""
        costs = scope["method"] not in _FREE or scope["path"].endswith("/why")
        address = scope["client"][0] if scope.get("client") else ""
        if self._item is None or not costs or (self._spare_this_machine and _is_loopback(address)):
            return None
        who = token or address
        if self._windows.hit(self._item, who):
            return None
        return max(1, math.ceil(self._windows.get_window_stats(self._item, who).reset_time - time.time()))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
