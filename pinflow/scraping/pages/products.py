"""What feeds say of a product in words and numbers of their own: availability, article numbers, addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pinflow.scraping.pin import web_address

# Words of Google Shopping, schema.org and eBay, letters only. eBay's temporarily unavailable comes back, but
# nobody can buy it now.
_AVAILABILITY = {
    "in_stock": (
        *("instock", "available", "availablefororder", "limitedavailability", "limitedstock", "lowstock"),
        *("onlineonly", "instoreonly"),
    ),
    "out_of_stock": ("outofstock", "unavailable", "temporarilyunavailable", "soldout", "discontinued"),
    "preorder": ("preorder", "presale"),
    "backorder": ("backorder", "backordered"),
}
_BY_WORD = {word: state for state, words in _AVAILABILITY.items() for word in words}
# What sellers write where there is no number; eBay asks for the first of them.
_NO_NUMBER = {"doesnotapply", "na", "none", "null", "no", "unknown", "notapplicable", "tbd", ""}
_GTIN_LENGTHS = (8, 12, 13, 14)


def availability(text: str) -> str | None:
    """`in_stock`, `out_of_stock`, `preorder` or `backorder`; None for words that nobody knows."""
    word = re.sub(r"^https?://schema\.org/", "", text.strip().lower())
    return _BY_WORD.get(re.sub(r"[^a-z]", "", word))


def gtin(text: str) -> str | None:
    """A GTIN, EAN or UPC as its 14 digits. None where the check digit is wrong: it names no item then.

    The check digit is that of the GS1 General Specifications.
    """
    digits = re.sub(r"[\s-]", "", text)
    if not (digits.isascii() and digits.isdigit()) or len(digits) not in _GTIN_LENGTHS or not int(digits):
        return None
    digits = digits.zfill(14)
    return digits if sum(int(d) * (3, 1)[n % 2] for n, d in enumerate(digits)) % 10 == 0 else None


def addresses(text: str | None) -> tuple[list[str], bool]:
    """The http(s) addresses in a cell, in order, each once; and whether something else is there too.

    They are parted by a comma, a semicolon, a bar or space, whatever the shop took: one that belongs to an
    address is never followed by the next address.
    """
    parts = [part.strip(" ,;|") for part in re.split(r"[,;|\s]+(?=https?://)", text or "")]
    found = [part for part in parts if web_address(part)]
    return list(dict.fromkeys(found)), any(part and not web_address(part) for part in parts)


def identities(numbers: Mapping[str, str | None]) -> tuple[str, ...]:
    """Origin keys from the article numbers of a product, by our names of them.

    A GTIN and eBay's product number name an item anywhere, a maker's number only beside the brand, and
    `item_group_id` the variants that share their pictures.
    """
    group, code, part = numbers.get("item_group_id"), gtin(numbers.get("gtin") or ""), numbers.get("mpn")
    brand, epid = numbers.get("brand"), numbers.get("epid")
    return (
        *([f"item_group:{group}"] if is_number(group) else []),
        *([f"gtin:{code}"] if code else []),
        *([f"mpn:{_one(brand)}:{_one(part)}"] if brand and part and is_number(part) else []),
        *([f"epid:{epid}"] if is_number(epid) else []),
    )


def is_number(text: str | None) -> bool:
    """False for what sellers write where they have no article number."""
    return re.sub(r"[^a-z0-9]", "", (text or "").lower()) not in _NO_NUMBER


def _one(text: str) -> str:
    return " ".join(text.split()).casefold()
