"""Which listing of Pinterest a label means.

    marine fish                          what a search for it finds
    board:asha/marine-fish               the pins of a board; board:asha/marine-fish/spring of a section of it
    recommended:asha/marine-fish         what the site recommends for a board
    pin:123456789                        a pin and what the site shows beside it

and the address of a search, a board (with `#related`: what is recommended for it) or a pin on the site.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.pinterest import (
    SITE,
    PinterestBoard,
    PinterestListing,
    PinterestPin,
    PinterestRecommended,
    PinterestSearch,
    is_real,
)

_WRITTEN = re.compile(r"(board|recommended|pin):(\S+)", re.IGNORECASE)
_NAMED = re.compile(r".*--(\d+)")  # an address may hold the pin's title before its id
_FORMS = "write `board:user/slug`, `recommended:user/slug`, `pin:id`, or words to search for"


def target(query: str, site: str = SITE) -> PinterestListing:
    """The listing that a label names. Raises `ScrapeError` for one that names none."""
    written = _WRITTEN.fullmatch(query)
    if written:
        return _written(written[1].lower(), written[2], site)
    return _linked(query, site) or PinterestSearch(site=site, query=query)


def _written(kind: str, name: str, site: str) -> PinterestListing:
    parts = name.strip("/").split("/")
    if not all(parts):
        raise ScrapeError(f"`{kind}:{name}` names nothing: {_FORMS}")
    match kind, parts:
        case "pin", [pin]:
            return PinterestPin(site=site, pin=pin)
        case "board", [user, slug]:
            return PinterestBoard(site=site, user=user, slug=slug)
        case "board", [user, slug, section]:
            return PinterestBoard(site=site, user=user, slug=slug, section=section)
        case "recommended", [user, slug]:
            return PinterestRecommended(site=site, user=user, slug=slug)
    raise ScrapeError(f"`{kind}:{name}` is not understood: {_FORMS}")


def _linked(query: str, site: str) -> PinterestListing | None:
    """What a link to the site names; None for words."""
    if " " in query or "/" not in query:
        return None
    try:
        link = urlsplit(query if "://" in query else f"//{query}")
        ours = urlsplit(site)
        host = link.hostname
        same = (host, link.port or ours.port) == (ours.hostname, ours.port)
    except ValueError:
        return None
    if not (same or (is_real(host) and is_real(ours.hostname))):
        if link.scheme:
            raise ScrapeError(f"{query} is no link to {site}: {_FORMS}")
        return None
    parts = [unquote(part) for part in link.path.split("/") if part]
    words = parse_qs(link.query).get("q")
    match parts:
        case ["search", *_]:
            if words:
                return PinterestSearch(site=site, query=words[0])
        case ["pin", *rest]:
            if rest:
                named = _NAMED.fullmatch(rest[0])
                return PinterestPin(site=site, pin=named[1] if named else rest[0])
        case [user, slug] if link.fragment == "related":
            return PinterestRecommended(site=site, user=user, slug=slug)
        case [user, slug]:
            return PinterestBoard(site=site, user=user, slug=slug)
        case [user, slug, section]:
            return PinterestBoard(site=site, user=user, slug=slug, section=section)
    raise ScrapeError(f"{query} is neither a search, a board nor a pin: {_FORMS}")
