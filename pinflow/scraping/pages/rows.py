"""A row of a table that somebody keeps (a product feed, a `captions.csv`) as a pin.

Column names are met half-way: those of Google Shopping, of eBay's feeds and other usual ones are known; case,
spaces, capitals inside (`ItemId`) and a `g:` prefix do not matter, and `columns:` of the collection file
renames the rest.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.price import parse_price, to_pay
from pinflow.scraping.pages.products import addresses, availability, gtin, identities, is_number
from pinflow.scraping.pin import Pin, clean, identifier, link_key, web_address

# Ours, then the names that are understood as it, best first: where one is empty in a row, the next counts.
NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "sku", "item_id", "product_id", "offer_id", "guid"),
    "title": ("title", "name", "product_name"),
    "caption": ("caption", "description", "alt", "alt_text", "summary", "content", "text"),
    "price": ("price", "price_value"),
    "currency": ("currency", "price_currency"),
    "sale_price": ("sale_price",),
    "sale_period": ("sale_price_effective_date",),
    "picture_url": ("image_link", "picture_url", "image_url", "image", "picture"),
    "more_pictures": (
        *("additional_image_link", "additional_image_links"),
        *("additional_image_urls", "additional_image_url"),
    ),
    "page_url": ("link", "page_url", "product_url", "url", "item_web_url", "item_affiliate_web_url"),
    "creator": ("creator", "author", "artist"),
    "licence": ("licence", "license"),
    "label": ("label", "category", "product_type", "product_types", "google_product_category"),
    "availability": ("availability", "estimated_availability_status"),
    "brand": ("brand",),
    "gtin": ("gtin", "ean", "upc"),
    "mpn": ("mpn",),
    "epid": ("epid",),
    "item_group_id": ("item_group_id", "primary_item_group_id"),
    "condition": ("condition",),
    "color": ("color",),
    "file": ("file", "file_name", "filename"),
}
# They describe the item too: they stay among its attributes, under the name that stands here.
_ATTRIBUTES = ("brand", "gtin", "mpn", "epid", "item_group_id", "condition", "color")
_LABELS = {"label", "category", "product_type", "google_product_category"}
# Two columns that both may hold one would mix ids, or files, of two kinds.
_FIRST_ONLY = {"id", "file"}
_READ = ("title", "caption", "picture_url", "page_url", "creator", "licence")


class Columns:
    """Which column of a table means what. Made once a header, used for every row."""

    def __init__(
        self,
        header: Sequence[str],
        renamed: Mapping[str, str] | None = None,
        label_by: str | None = None,
        now: datetime | None = None,
    ) -> None:
        """`now` is the time at which a sale price must hold. Raises `ScrapeError` where `renamed` or
        `label_by` name a column that is not there."""
        self.header = list(header)
        self._now = now or datetime.now(UTC)
        self._by_key = {column_key(column): column for column in reversed(self.header)}
        self._where: dict[str, tuple[str, ...]] = {}
        self._rename: dict[str, str] = {}
        for ours, theirs in (renamed or {}).items():
            column = self._find(theirs, f"`columns: {{{ours}: {theirs}}}`")
            field = _field(ours)
            if field:
                self._where[field] = (column,)
            else:
                self._rename[column] = ours
        taken = {column for columns in self._where.values() for column in columns}
        for field, names in NAMES.items():
            free = [self._by_key[n] for n in names if n in self._by_key and self._by_key[n] not in taken]
            if field not in self._where and free:
                self._where[field] = tuple(free[:1] if field in _FIRST_ONLY else free)
        if label_by:
            renamed_to = {ours: column for column, ours in self._rename.items()}
            column = renamed_to.get(label_by) or self._find(label_by, f"`label_by: {label_by}`")
            self._where["label"] = (column,)
        self._shown = {column: self._attribute(column) for column in self.header}

    def _find(self, name: str, asked: str) -> str:
        if name in self.header:
            return name
        if column_key(name) in self._by_key:
            return self._by_key[column_key(name)]
        near = difflib.get_close_matches(name, self.header, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(self.header)}"
        raise ScrapeError(f"{asked}: no such column; {hint}")

    def _attribute(self, column: str) -> str:
        if column in self._rename:
            return self._rename[column]
        named = [field for field in _ATTRIBUTES if column in self._where.get(field, ())]
        key = column_key(column)
        return named[0] if named else key if key in _LABELS else column.strip()

    def has(self, field: str) -> bool:
        """True where the table has a column for `field` of `NAMES`."""
        return field in self._where

    def value(self, row: Mapping[str, str], field: str) -> str | None:
        """What the row says for `field` of `NAMES`, cleaned."""
        return self._cell(row, field)[1]

    def _cell(self, row: Mapping[str, str], field: str) -> tuple[str | None, str | None]:
        for column in self._where.get(field, ()):
            text = clean(row.get(column))
            if text is not None:
                return column, text
        return None, None

    def pin(self, row: Mapping[str, str], key: str | None = None) -> tuple[Pin | None, list[str]]:
        """The row as a pin (None without an id), and the fields whose text could not be understood.

        `key` is the id where the table does not give it, as in a folder of files. The price is what a buyer
        pays now: the sale price while there is one, and then the attribute `regular_price` keeps the other.
        The first picture is the pin's; further ones are kept in the attribute `additional_image_link`,
        addresses with a space between, because each shows something else.
        """
        found = key or identifier(self.value(row, "id"))
        if found is None:
            return None, ["id"]
        texts = {field: self.value(row, field) for field in NAMES}
        price = parse_price(texts["price"] or "", texts["currency"])
        sale = parse_price(texts["sale_price"] or "", texts["currency"])
        paid = to_pay(price, sale, texts["sale_period"], self._now)
        link = web_address(texts["page_url"])
        pictures, strange = addresses(texts["picture_url"])
        more, more_strange = addresses(texts["more_pictures"])
        stock = availability(texts["availability"] or "")
        invalid = {
            "price": texts["price"] and price[0] is None,
            "sale_price": texts["sale_price"] and sale[0] is None,
            "picture_url": strange,
            "additional_image_link": more_strange,
            "page_url": texts["page_url"] and not link,
            "availability": texts["availability"] and not stock,
            "gtin": is_number(texts["gtin"]) and not gtin(texts["gtin"] or ""),
        }
        # What is no address is kept as the picture: the pin then says why nothing came from it.
        first = pictures[:1] or [text for text in [texts["picture_url"]] if text]
        further = [url for url in dict.fromkeys([*pictures[1:], *more]) if url not in first]
        attributes = self._attributes(row, on_sale=paid != price)
        attributes |= {"availability": stock} if stock else {}
        attributes |= {"additional_image_link": " ".join(further)} if further else {}
        pin = Pin(
            id=found,
            pictures=tuple(first),
            page_url=link,
            title=texts["title"],
            caption=texts["caption"],
            price=paid[0],
            currency=paid[1],
            creator=texts["creator"] or texts["brand"],
            licence=texts["licence"],
            attributes=attributes,
            origin_keys=(*identities(texts), *link_key(link)),
        )
        return pin, [field for field, is_so in invalid.items() if is_so]

    def _attributes(self, row: Mapping[str, str], on_sale: bool) -> dict[str, str]:
        said = {self._cell(row, field)[0] for field in _READ}
        prices = ("price", "currency", *(("sale_price", "sale_period") if on_sale else ()))
        for field in (*prices, "availability", "more_pictures", *_FIRST_ONLY):
            said.update(self._where.get(field, ()))
        found: dict[str, str] = {}
        for column, name in self._shown.items():
            text = clean(row.get(column))
            if text and name and column not in said:
                found[name] = text
        regular = self.value(row, "price")
        if on_sale and regular:
            found["regular_price"] = regular
        return found


def column_key(column: str) -> str:
    """A column's name as it is compared: lower case with `_` between words, without `g:`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", "_", column.strip())
    return re.sub(r"[\s-]+", "_", words.lower()).removeprefix("g:")


def _field(name: str) -> str | None:
    if name in NAMES:
        return name
    return next((field for field, names in NAMES.items() if name in names), None)
