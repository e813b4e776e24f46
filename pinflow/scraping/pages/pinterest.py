"""Pinterest's resource API: the addresses to ask, and its answers as pins.

The shapes are those that gallery-dl and pinterest-dl read. Ids are opaque (`e1_...` too). Rows stand in
`resource_response.data`, a list or a mapping with `results`; the cursor in `resource.options.bookmarks`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.price import parse_price
from pinflow.scraping.pin import Pin, clean, identifier, link_key, web_address

SITE = "https://www.pinterest.com"
PAGE_SIZE = 50  # the most that the site gives
_SIZES = ("orig", "736x", "564x", "474x", "236x")
_CANDIDATES = 2  # originals may be refused (403) where the next size is given


@dataclass(frozen=True)
class Page:
    """One page of a listing. `ids` are all ids on it, also of the rows that are no pins for us."""

    pins: list[Pin]
    ids: list[str]
    bookmark: str | None
    skipped: Counter[str]


def headers(csrf: str, handler: str) -> dict[str, str]:
    """What the API asks of every request; without them it answers 403."""
    return {
        "Accept": "application/json, text/javascript, */*, q=0.01",
        "X-Requested-With": "XMLHttpRequest",
        "X-Pinterest-AppState": "active",
        "X-Pinterest-PWS-Handler": handler,
        "X-CSRFToken": csrf,
        "Cookie": f"csrftoken={csrf}",
    }


SEARCH_HANDLER = "www/search/[scope].js"
RELATED_HANDLER = "www/pin/[id].js"


def search_url(site: str, query: str, bookmark: str | None, stamp_ms: int) -> str:
    """One page of the search for `query`; `bookmark` is the cursor that the page before gave."""
    options: dict[str, Any] = {"query": query, "scope": "pins", "rs": "typed", "page_size": PAGE_SIZE}
    if bookmark:
        options["bookmarks"] = [bookmark]
    return _resource(site, "BaseSearch", f"/search/pins/?q={quote(query)}&rs=typed", options, stamp_ms)


def related_url(site: str, pin: str, stamp_ms: int) -> str:
    """The first page of what the site shows beside a pin."""
    options = {"pin": pin, "add_vase": True, "pins_only": True}
    return _resource(site, "RelatedPinFeed", f"/pin/{quote(pin, safe='')}/", options, stamp_ms)


def _resource(site: str, name: str, source_url: str, options: dict[str, Any], stamp_ms: int) -> str:
    data = json.dumps({"options": options, "context": {}}, separators=(",", ":"))
    query = urlencode({"source_url": source_url, "data": data, "_": stamp_ms})
    return f"{site.rstrip('/')}/resource/{name}Resource/get/?{query}"


def listing(answer: object, site: str = SITE) -> Page:
    """A search or related-pins answer as pins, in the order given.

    Videos, stories, promoted pins and rows that are no pins (boards, users, guides) are counted in
    `skipped`. Raises `ScrapeError` for an answer of another shape, with the site's own message if any.
    """
    response = _mapping(answer, "resource_response")
    data = response.get("data")
    rows = data.get("results") if isinstance(data, Mapping) else data
    if not isinstance(rows, list):
        said = clean(_mapping(response, "error").get("message")) or clean(response.get("message"))
        raise ScrapeError(f"unknown answer: no list of pins in it{f'; it says {said!r}' if said else ''}")
    pins: list[Pin] = []
    ids: list[str] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        key = identifier(row.get("id")) if isinstance(row, Mapping) else None
        if key is None:
            skipped["other"] += 1
            continue
        ids.append(key)
        kind = _not_a_picture(row)
        if kind:
            skipped[kind] += 1
        else:
            pins.append(_pin(key, row, site))
    return Page(pins, ids, _bookmark(answer, response), skipped)


def is_end(bookmark: str | None) -> bool:
    """True where a cursor says that no page follows: none, `-end-`, or base 64 of `b":None"`."""
    return not bookmark or bookmark == "-end-" or bookmark.startswith("Y2JOb25lO")


def _bookmark(answer: object, response: Mapping[str, Any]) -> str | None:
    marks = _mapping(_mapping(answer, "resource"), "options").get("bookmarks")
    first = marks[0] if isinstance(marks, list) and marks else marks or response.get("bookmark")
    return first if isinstance(first, str) else None


def _not_a_picture(row: Mapping[str, Any]) -> str | None:
    if row.get("type") not in (None, "pin"):
        return "other"
    if row.get("is_promoted"):
        return "promoted"
    if row.get("videos"):
        return "video"
    if row.get("story_pin_data") or row.get("story_pin_data_id"):
        return "story"
    return None


def _pin(key: str, row: Mapping[str, Any], site: str) -> Pin:
    link = web_address(row.get("link"))
    price, currency = _price(row)
    return Pin(
        id=key,
        pictures=_pictures(row),
        page_url=f"{site.rstrip('/')}/pin/{quote(key, safe='')}/",
        title=clean(row.get("title")) or clean(row.get("grid_title")),
        caption=clean(row.get("description")) or clean(row.get("auto_alt_text")),
        price=price,
        currency=currency,
        creator=_creator(row),
        attributes=_attributes(row, link),
        origin_keys=_origin_keys(row, link),
    )


def _pictures(row: Mapping[str, Any]) -> tuple[str, ...]:
    images = _mapping(row, "images")
    found = [web_address(_mapping(images, size).get("url")) for size in _SIZES]
    return tuple(dict.fromkeys(url for url in found if url))[:_CANDIDATES]


def _creator(row: Mapping[str, Any]) -> str | None:
    author = clean(_mapping(row, "attribution").get("author_name"))
    people = [_mapping(row, "native_creator"), _mapping(row, "pinner")]
    names = [clean(person.get(key)) for person in people for key in ("full_name", "username")]
    return author or next((name for name in names if name), None)


def _price(row: Mapping[str, Any]) -> tuple[float | None, str | None]:
    for key in ("rich_summary", "rich_metadata"):
        products = _mapping(row, key).get("products")
        for product in products if isinstance(products, list) else []:
            offer = _mapping(product, "offer_summary")
            text = clean(offer.get("price"))
            if text:
                return parse_price(text, clean(offer.get("currency")))
    return None, None


def _attributes(row: Mapping[str, Any], link: str | None) -> dict[str, str]:
    # Counters such as saves are left out: they move every day and say nothing about the picture.
    board = _mapping(row, "board")
    found = {
        "board": clean(board.get("name")),
        "board_id": identifier(board.get("id")),
        "created_at": clean(row.get("created_at")),
        "domain": clean(row.get("domain")),
        "dominant_color": clean(row.get("dominant_color")),
        "link": link,
    }
    return {key: value for key, value in found.items() if value}


def _origin_keys(row: Mapping[str, Any], link: str | None) -> tuple[str, ...]:
    aggregated = identifier(_mapping(row, "aggregated_pin_data").get("id"))
    signature = identifier(row.get("image_signature"))
    keys = [f"aggregated:{aggregated}"] if aggregated else []
    keys += [f"signature:{signature}"] if signature else []
    return (*keys, *link_key(link))


def _mapping(value: object, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
