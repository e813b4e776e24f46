"""The shop on the sample site: its product feeds and the few HTML pages people would look at.

One shop, told in every format that feeds come in: Google Shopping's names in CSV, TSV, JSON lines and RSS,
and eBay's in TSV. A further format is one more function in `FEEDS`.
"""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote
from xml.sax.saxutils import escape

from pinflow.sample.pins import Pin
from pinflow.sample.samples import Sample, SampleSet

Product = dict[str, str]

# Google Shopping's names; `category` is the shop's own, which Google would call `product_type`.
FEED_COLUMNS = (
    "id",
    "title",
    "description",
    "link",
    "image_link",
    "price",
    "availability",
    "condition",
    "brand",
    "category",
    "color",
)
# The columns of eBay's item feed (Buy Feed API) that a shop of this kind can fill.
EBAY_COLUMNS = (
    "ItemId",
    "Title",
    "Description",
    "ImageUrl",
    "Category",
    "CategoryId",
    "PriceValue",
    "PriceCurrency",
    "Availability",
    "Condition",
    "Brand",
    "ItemWebUrl",
)


def picture_name(sample: Sample) -> str:
    """The last part of the picture's address under `/products/`."""
    return sample.file.rpartition("/")[2]


def feed(shop: SampleSet, base_url: str, name: str = "feed.csv") -> bytes:
    """The product feed of that name (of `FEEDS`, with `.gz` or without), UTF-8; prices as `249.00 USD`."""
    plain = name.removesuffix(".gz")
    body = FEEDS[plain][1]([_product(sample, base_url) for sample in shop.rows], base_url)
    # Without a time stamp in it, so that the same shop gives the same bytes.
    return body if plain == name else gzip.compress(body, mtime=0)


def feed_type(name: str) -> str | None:
    """The content type of the feed of that name; None where there is no such feed."""
    if name.endswith(".gz") and name.removesuffix(".gz") in FEEDS:
        return "application/gzip"
    return FEEDS[name][0] if name in FEEDS else None


def _product(sample: Sample, base_url: str) -> Product:
    return {
        "id": sample.item,
        "title": sample.title,
        "description": sample.caption,
        "link": f"{base_url}/products/{quote(sample.item)}",
        "image_link": f"{base_url}/products/{quote(picture_name(sample))}",
        "price": _price(sample),
        "availability": "in_stock",
        "condition": "new",
        "brand": sample.extra.get("brand", ""),
        "category": sample.label,
        "color": sample.extra.get("color", ""),
    }


def _csv(products: Sequence[Product], _: str) -> bytes:
    return _table(FEED_COLUMNS, ([product[name] for name in FEED_COLUMNS] for product in products), ",")


def _tsv(products: Sequence[Product], _: str) -> bytes:
    return _table(FEED_COLUMNS, ([product[name] for name in FEED_COLUMNS] for product in products), "\t")


def _json_lines(products: Sequence[Product], _: str) -> bytes:
    return "".join(f"{json.dumps(product, ensure_ascii=False)}\n" for product in products).encode()


def _rss(products: Sequence[Product], base_url: str) -> bytes:
    items = "".join(f"<item>{_elements(product)}</item>\n" for product in products)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>\n'
        f"<title>Sample shop</title><link>{escape(base_url)}</link><description>All products</description>\n"
        f"{items}</channel></rss>\n"
    ).encode()


def _elements(product: Product) -> str:
    # RSS has these itself; whatever else is Google's.
    own = {"title", "description", "link"}
    names = {"category": "product_type"}
    tags = {name: name if name in own else f"g:{names.get(name, name)}" for name in product}
    return "".join(f"<{tags[name]}>{escape(text)}</{tags[name]}>" for name, text in product.items() if text)


def _ebay(products: Sequence[Product], _: str) -> bytes:
    numbers = {label: str(n + 1) for n, label in enumerate(dict.fromkeys(p["category"] for p in products))}
    out = io.StringIO()
    # eBay escapes quotes and backslashes with a backslash.
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", doublequote=False, escapechar="\\")
    writer.writerow(EBAY_COLUMNS)
    for product in products:
        amount, _, currency = product["price"].partition(" ")
        texts = (product["id"], product["title"], product["description"], product["image_link"])
        category = (product["category"], numbers[product["category"]])
        rest = ("AVAILABLE", "New", product["brand"], product["link"])
        writer.writerow([*texts, *category, amount, currency, *rest])
    return out.getvalue().encode()


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


FEEDS: dict[str, tuple[str, Callable[[Sequence[Product], str], bytes]]] = {
    "feed.csv": ("text/csv; charset=utf-8", _csv),
    "feed.tsv": ("text/tab-separated-values; charset=utf-8", _tsv),
    "feed.jsonl": ("application/jsonl; charset=utf-8", _json_lines),
    "feed.xml": ("application/rss+xml; charset=utf-8", _rss),
    "feed-ebay.tsv": ("text/tab-separated-values; charset=utf-8", _ebay),
}


def _price(sample: Sample) -> str:
    return "" if sample.price is None else f"{sample.price:.2f} {sample.currency}"


def product_page(sample: Sample) -> bytes:
    """The product's page."""
    picture = f"/products/{quote(picture_name(sample))}"
    return page(sample.title, sample.caption, picture, _price(sample))


def pin_page(pin: Pin) -> bytes:
    """The pin's page."""
    return page(pin.sample.title, pin.sample.caption, pin.address("736x"), "")


def page(title: str, text: str, picture: str = "", note: str = "") -> bytes:
    """A small HTML page."""
    image = f'<img src="{html.escape(picture)}" alt="{html.escape(title)}">' if picture else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>{image}"
        f"<p>{html.escape(text)}</p><p>{html.escape(note)}</p></html>"
    ).encode()
