"""Why something did not come. `later` says whether another try may bring it."""

from __future__ import annotations

from pinflow.errors import ScrapeError


class FetchError(ScrapeError):
    """No answer: the host is down, slow, unknown, or cut the line."""

    later = True


class RobotsUnreadable(FetchError):
    """robots.txt could not be had, which counts as a no until it can (RFC 9309, section 2.3.1.4)."""


class HostResting(FetchError):
    """The host asked for a longer pause than one crawl waits."""


class Refused(FetchError):
    """Our own rules say no: not asked, or not read to its end."""

    later = False


class AddressRefused(Refused):
    """The host's address is not a public one, and the collection does not name the host as its own."""


class RobotsRefused(Refused):
    """robots.txt says no."""


class UseRefused(Refused):
    """The site does not want what it shows to be indexed or learned from."""


class TooLarge(Refused):
    """More bytes than anybody wants."""
