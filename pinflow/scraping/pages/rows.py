"""A row of a table that somebody keeps (a product feed, a `captions.csv`) as a pin.

Column names are met half-way: Google Shopping's and other usual names are known, case, spaces and a `g:`
prefix do not matter, and `columns:` of the collection file renames the rest.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.price import parse_price
from pinflow.scraping.pin import Pin, clean, identifier, link_key, web_address

# Ours, then the names that are understood as it, best first.
NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "sku", "item_id", "product_id"),
    "title": ("title", "name", "product_name"),
    "caption": ("caption", "description", "alt", "alt_text"),
    "price": ("price",),
    "currency": ("currency", "price_currency"),
    "picture_url": ("image_link", "picture_url", "image_url", "image", "picture"),
    "page_url": ("link", "page_url", "product_url", "url"),
    "creator": ("creator", "author", "artist", "brand"),
    "licence": ("licence", "license"),
    "label": ("label", "category", "product_type"),
    "file": ("file", "file_name", "filename"),
}
# They describe the item too, so they stay among its attributes.
_ALSO_ATTRIBUTES = {"label", "category", "product_type", "brand"}
_ORIGIN = {"item_group_id": "item_group", "gtin": "gtin"}


class Columns:
    """Which column of a table means what. Made once a header, used for every row."""

    def __init__(
        self, header: Sequence[str], renamed: Mapping[str, str] | None = None, label_by: str | None = None
    ) -> None:
        """Raises `ScrapeError` where `renamed` or `label_by` name a column that is not there."""
        self.header = list(header)
        self._by_key = {_key(column): column for column in reversed(self.header)}
        self._where: dict[str, str] = {}
        self._rename: dict[str, str] = {}
        for ours, theirs in (renamed or {}).items():
            column = self._find(theirs, f"`columns: {{{ours}: {theirs}}}`")
            field = _field(ours)
            if field:
                self._where[field] = column
            else:
                self._rename[column] = ours
        taken = set(self._where.values())
        for field, names in NAMES.items():
            free = [self._by_key[n] for n in names if n in self._by_key and self._by_key[n] not in taken]
            if field not in self._where and free:
                self._where[field] = free[0]
        if label_by:
            renamed_to = {ours: column for column, ours in self._rename.items()}
            self._where["label"] = renamed_to.get(label_by) or self._find(label_by, f"`label_by: {label_by}`")

    def _find(self, name: str, asked: str) -> str:
        if name in self.header:
            return name
        if _key(name) in self._by_key:
            return self._by_key[_key(name)]
        near = difflib.get_close_matches(name, self.header, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(self.header)}"
        raise ScrapeError(f"{asked}: no such column; {hint}")

    def has(self, field: str) -> bool:
        """True where the table has a column for `field` of `NAMES`."""
        return field in self._where

    def value(self, row: Mapping[str, str], field: str) -> str | None:
        """What the row says for `field` of `NAMES`, cleaned."""
        return clean(row.get(self._where[field])) if field in self._where else None

    def pin(self, row: Mapping[str, str], key: str | None = None) -> tuple[Pin | None, list[str]]:
        """The row as a pin (None without an id), and the fields whose text could not be understood.

        `key` is the id where the table does not give it, as in a folder of files.
        """
        found = key or identifier(self.value(row, "id"))
        if found is None:
            return None, ["id"]
        price_text = self.value(row, "price")
        price, currency = parse_price(price_text or "", self.value(row, "currency"))
        picture, page = self.value(row, "picture_url"), self.value(row, "page_url")
        link = web_address(page)
        invalid = [
            *(["price"] if price_text and price is None else []),
            *(["picture_url"] if picture and not web_address(picture) else []),
            *(["page_url"] if page and not link else []),
        ]
        pin = Pin(
            id=found,
            pictures=(picture,) if picture else (),
            page_url=link,
            title=self.value(row, "title"),
            caption=self.value(row, "caption"),
            price=price,
            currency=currency,
            creator=self.value(row, "creator"),
            licence=self.value(row, "licence"),
            attributes=self._attributes(row),
            origin_keys=(*self._origins(row), *link_key(link)),
        )
        return pin, invalid

    def _attributes(self, row: Mapping[str, str]) -> dict[str, str]:
        described = {column for field, column in self._where.items() if field != "label"}
        found: dict[str, str] = {}
        for column in self.header:
            name = self._rename.get(column, column.strip())
            text = clean(row.get(column))
            if text and name and (column not in described or _key(column) in _ALSO_ATTRIBUTES):
                found[name] = text
        return found

    def _origins(self, row: Mapping[str, str]) -> tuple[str, ...]:
        texts = {name: clean(row.get(self._by_key.get(column, ""))) for column, name in _ORIGIN.items()}
        return tuple(f"{name}:{text}" for name, text in texts.items() if text)


def _key(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().lower()).removeprefix("g:")


def _field(name: str) -> str | None:
    if name in NAMES:
        return name
    return next((field for field, names in NAMES.items() if name in names and name != "brand"), None)
