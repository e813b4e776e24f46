"""How the pages show what releases and the database hold: numbers, days, addresses. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from markupsafe import Markup

from pinflow.retrieval.query import Pin

# What the page's address calls the parts of a search; static/state.js reads the same names.
_EXAMPLES = {("positive", "id"): "id", ("negative", "id"): "not", ("positive", "url"): "url"}
_WORDS = {"positive": "q", "negative": "without"}
_PLAIN = {
    "label": "label",
    "style": "style",
    "min_score": "score",
    "diversity": "variety",
    "colour": "colour",
}
_FILTERS = {"price_min": "min", "price_max": "max"}


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def day(time: str) -> str:
    """`2 Nov 2026` of an ISO 8601 time."""
    return f"{datetime.fromisoformat(time):%-d %b %Y}"


def price(pin: Pin) -> str:
    """`12.50 EUR`; empty without a price."""
    return "" if pin.price is None else f"{pin.price:,.2f} {pin.currency or ''}".strip()


def icon(name: str) -> Markup:
    """An icon that says nothing to a screen reader: the text beside it, or its button's label, does."""
    return Markup('<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#{}"/></svg>').format(
        name
    )


def pin_path(collection: str, id: str) -> str:
    """Address of a pin's own page."""
    return f"/c/{collection}/pins/{quote(id, safe='')}"


def web_address(address: str | None) -> str | None:
    """The address if it leads to the web, else None: a scraped page may call itself `javascript:`."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return address if parts.scheme in ("http", "https") and parts.netloc else None


def search_path(collection: str, query: Mapping[str, Any]) -> str:
    """Address of the search page that asks `query` (a `Query` as JSON) again."""
    asked = [(name, query[key]) for key, name in _PLAIN.items() if query.get(key)]
    narrowed = query.get("filter", {})
    asked += [(name, f"{narrowed[key]:g}") for key, name in _FILTERS.items() if narrowed.get(key) is not None]
    asked += [(name, words(query, side)) for side, name in _WORDS.items()]
    for (side, kind), name in _EXAMPLES.items():
        asked += [(name, one[kind]) for one in query.get(side, []) if one.get(kind)]
    asked += [("colour", narrowed.get("colour"))]
    asked += [("each", "1")] if query.get("mix") == "interleave" else []
    asked += [("licence", one) for one in narrowed.get("licence") or []]
    asked += [("has", pair) for pair in _attributes(narrowed)]
    asked += [("local", "1")] if query.get("space") == "local" else []
    text = urlencode([(name, value) for name, value in asked if value])
    return f"/c/{collection}?{text}" if text else f"/c/{collection}"


def words(query: Mapping[str, Any], side: str = "positive") -> str:
    """The words on one side of a kept search."""
    return " ".join(one["text"] for one in query.get(side, []) if one.get("text"))


def facts(query: Mapping[str, Any]) -> list[str]:
    """What narrows a kept search, in words."""
    asked, narrowed = query.get("filter", {}), []
    if query.get("label"):
        narrowed.append(str(query["label"]))
    if avoided := len(query.get("negative", [])):
        narrowed.append(f"without {avoided}")
    for key, text in (("price_min", "from {:g}"), ("price_max", "up to {:g}")):
        if asked.get(key) is not None:
            narrowed.append(text.format(asked[key]))
    return narrowed + [value for _, _, value in (pair.partition("=") for pair in _attributes(asked))]


def _attributes(narrowed: Mapping[str, Any]) -> list[str]:
    """The attributes of a filter as they stand in an address: `name=value`."""
    return [
        f"{name}={value}"
        for name, wanted in narrowed.get("attributes", {}).items()
        for value in ([wanted] if isinstance(wanted, str) else wanted)
    ]
