"""One row of a Pinterest listing: what kind it is, and the pin it describes.

The fields are those that gallery-dl and pinterest-dl read. A carousel stays, by its first picture, and says
how many it has; so does a story of one picture. Videos, longer stories and advertisements do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pinflow.scraping.pages.answers import mapping, sequence
from pinflow.scraping.pages.price import parse_price
from pinflow.scraping.pin import Pin, clean, identifier, link_key, web_address

_SIZES = ("orig", "736x", "564x", "474x", "236x")
_CANDIDATES = 2  # originals may be refused (403) where the next size is given


def not_a_picture(row: Mapping[str, Any]) -> str | None:
    """Why a row is no pin for us (`promoted`, `video`, `story`, `other`); None where it is one."""
    if row.get("type") not in (None, "pin"):
        return "other"
    if row.get("is_promoted"):
        return "promoted"
    if row.get("videos"):
        return "video"
    if row.get("story_pin_data"):
        return None if _one_picture(row) else "story"
    return "story" if row.get("story_pin_data_id") else None


def pin(key: str, row: Mapping[str, Any], site: str) -> Pin:
    """The pin of a row whose id is `key`."""
    link = web_address(row.get("link"))
    price, currency = _price(row)
    return Pin(
        id=key,
        pictures=_pictures(row) or next((found for slot in _slots(row) if (found := _pictures(slot))), ()),
        page_url=page_url(site, key),
        title=clean(row.get("title")) or clean(row.get("grid_title")),
        caption=clean(row.get("description")) or clean(row.get("auto_alt_text")),
        price=price,
        currency=currency,
        creator=_creator(row),
        attributes=_attributes(row, link),
        origin_keys=_origin_keys(row, link),
    )


def page_url(site: str, key: str) -> str:
    """The page that people see for a pin."""
    return f"{site.rstrip('/')}/pin/{quote(key, safe='')}/"


def _one_picture(row: Mapping[str, Any]) -> bool:
    pages = sequence(row.get("story_pin_data"), "pages")
    blocks = sequence(pages[0], "blocks") if len(pages) == 1 else []
    return (
        len(blocks) == 1
        and isinstance(blocks[0], Mapping)
        and blocks[0].get("type") == "story_pin_image_block"
    )


def _slots(row: Mapping[str, Any]) -> list[Any]:
    return sequence(row.get("carousel_data"), "carousel_slots")


def _pictures(row: object) -> tuple[str, ...]:
    images = mapping(row, "images")
    found = [web_address(mapping(images, size).get("url")) for size in _SIZES]
    return tuple(dict.fromkeys(url for url in found if url))[:_CANDIDATES]


def _creator(row: Mapping[str, Any]) -> str | None:
    author = clean(mapping(row, "attribution").get("author_name"))
    people = [mapping(row, "native_creator"), mapping(row, "pinner")]
    names = [clean(person.get(key)) for person in people for key in ("full_name", "username")]
    return author or next((name for name in names if name), None)


def _price(row: Mapping[str, Any]) -> tuple[float | None, str | None]:
    for key in ("rich_summary", "rich_metadata"):
        for product in sequence(row.get(key), "products"):
            offer = mapping(product, "offer_summary")
            text = clean(offer.get("price"))
            if text:
                return parse_price(text, clean(offer.get("currency")))
    return None, None


def _attributes(row: Mapping[str, Any], link: str | None) -> dict[str, str]:
    # Counters such as saves are left out: they move every day and say nothing about the picture.
    board = mapping(row, "board")
    found = {
        "board": clean(board.get("name")),
        "board_id": identifier(board.get("id")),
        "carousel": clean(len(_slots(row)) or None),
        "created_at": clean(row.get("created_at")),
        "domain": clean(row.get("domain")),
        "dominant_color": clean(row.get("dominant_color")),
        "link": link,
    }
    return {key: value for key, value in found.items() if value}


def _origin_keys(row: Mapping[str, Any], link: str | None) -> tuple[str, ...]:
    aggregated = identifier(mapping(row, "aggregated_pin_data").get("id"))
    signature = identifier(row.get("image_signature"))
    keys = [f"aggregated:{aggregated}"] if aggregated else []
    keys += [f"signature:{signature}"] if signature else []
    return (*keys, *link_key(link))
