"""robots.txt as RFC 9309 has it, and failing closed: no rules (4xx) is a yes, no answer is a no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from protego import Protego

from pinflow.scraping.fetching import manners, signals
from pinflow.scraping.fetching.errors import RobotsRefused, RobotsUnreadable, UseRefused
from pinflow.scraping.fetching.signals import Signals

MAX_BYTES = 512 * 1024  # RFC 9309, section 2.5: at least 500 KiB must be read


@dataclass(frozen=True)
class Robots:
    """The rules of one host for us."""

    usage: Sequence[tuple[str, str]]  # its Content-Usage and Content-Signal rules
    rules: Protego

    @classmethod
    def of(cls, status: int, body: bytes, url: str) -> Robots:
        """From the answer to a request for robots.txt. Raises `RobotsUnreadable`."""
        if status == 429 or status >= 500:
            raise RobotsUnreadable(f"{url} could not be read (HTTP {status})")
        content = body.decode("utf-8", "replace") if status < 400 else ""
        return cls(signals.rules(content), Protego.parse(content))

    @cached_property
    def delay(self) -> float:
        """Seconds that the host wants between two requests; 0 where it does not say."""
        rate = self.rules.request_rate(manners.ROBOT)
        asked = rate.seconds / rate.requests if rate and rate.requests else 0.0
        return max(self.rules.crawl_delay(manners.ROBOT) or 0.0, asked)

    def check(self, url: str) -> Signals:
        """What robots.txt says about the use of `url`. Raises `RobotsRefused` where it may not be asked for,
        `UseRefused` where what is there may not be learned from."""
        parts = urlsplit(url)
        where = url.partition("?")[0]
        if not self.rules.can_fetch(url, manners.ROBOT):
            raise RobotsRefused(f"refused by robots.txt: {where}")
        if self.delay > manners.PATIENCE_SECONDS:
            raise RobotsRefused(
                f"refused by robots.txt: {parts.hostname} wants {self.delay:.0f} s between requests"
            )
        said = signals.of_rules(self.usage, parts.path or "/")
        if said.against_listings:
            raise UseRefused(f"refused by robots.txt: {said.against_listings} ({where})")
        return said


def address(url: str) -> str:
    """Where the robots.txt for `url` stands."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"
