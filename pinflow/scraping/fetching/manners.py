"""How we behave on somebody else's site, as numbers. Nobody may lower them: a test watches.

The one exception is a site of your own on loopback: no delay, some requests at once.
"""

from __future__ import annotations

from pinflow import __version__

DELAY_SECONDS = 1.0  # between two requests to a host, from the end of one to the start of the next
REQUESTS_AT_ONCE = 1  # a host
OWN_REQUESTS_AT_ONCE = 8
TIMEOUT_SECONDS = 60.0  # one answer, from the first byte asked to the last read
SILENCE_SECONDS = 20.0  # to connect, and between two reads
RETRIES = 2
BACKOFF_SECONDS = 2.0  # doubled each time
OWN_BACKOFF_SECONDS = 0.05
PATIENCE_SECONDS = (
    60.0  # who asks us to wait longer (Retry-After, Crawl-delay) is not asked again by this crawl
)
REDIRECTS = 5
ROBOT = "pinflow"  # what a robots.txt calls us
DEFAULT_CONTACT = "robots.txt: pinflow"


def user_agent(contact: str | None) -> str:
    """Who we are and how to reach or refuse us; never a browser's name."""
    return f"{ROBOT}/{__version__} (+{contact or DEFAULT_CONTACT})"
