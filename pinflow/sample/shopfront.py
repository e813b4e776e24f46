"""The shop on the sample site: its product feed and the few HTML pages people would look at.

The feed uses the names of Google Shopping. A further feed format is one more function here.
"""

from __future__ import annotations

import csv
import html
import io
from urllib.parse import quote

from pinflow.sample.pins import Pin
from pinflow.sample.samples import Sample, SampleSet

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


def picture_name(sample: Sample) -> str:
    """The last part of the picture's address under `/products/`."""
    return sample.file.rpartition("/")[2]


def feed(shop: SampleSet, base_url: str) -> bytes:
    """The product feed as CSV, UTF-8: a line a product, prices as `249.00 USD`."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(FEED_COLUMNS)
    writer.writerows(_line(sample, base_url) for sample in shop.rows)
    return lines.getvalue().encode()


def _line(sample: Sample, base_url: str) -> list[str]:
    return [
        sample.item,
        sample.title,
        sample.caption,
        f"{base_url}/products/{quote(sample.item)}",
        f"{base_url}/products/{quote(picture_name(sample))}",
        _price(sample),
        "in_stock",
        "new",
        sample.extra.get("brand", ""),
        sample.label,
        sample.extra.get("color", ""),
    ]


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
