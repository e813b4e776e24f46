"""A pin as a source lists it, before its picture is fetched. Text from the net is cleaned here alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TEXT_LIMIT = 20_000  # characters; a longer description is cut
ID_LIMIT = 512  # characters; a longer id is not an id


@dataclass(frozen=True)
class Pin:
    """One listed item. `pictures` are the addresses of the same picture, best first."""

    id: str
    pictures: tuple[str, ...] = ()
    page_url: str | None = None
    title: str | None = None
    caption: str | None = None
    price: float | None = None
    currency: str | None = None
    creator: str | None = None
    licence: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    origin_keys: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The pin as JSON types, sharing what it holds; `from_json` is its inverse."""
        return vars(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Pin:
        """The pin that `as_json` wrote."""
        lists = {key: tuple(value[key]) for key in ("pictures", "origin_keys")}
        return cls(**{**value, **lists})


def clean(value: object) -> str | None:
    """Text as it may enter a table: stripped, valid Unicode, at most `TEXT_LIMIT` characters; None if empty.

    Numbers become their text; anything else (objects, lists, booleans) is no text.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    # JSON may carry lone surrogates, which no UTF-8 column can hold.
    text = str(value).encode("utf-8", "replace").decode("utf-8").strip()
    return text[:TEXT_LIMIT] or None


def identifier(value: object) -> str | None:
    """An id as an opaque string, or None where there is none to use."""
    text = clean(value)
    return text if text is not None and len(text) <= ID_LIMIT else None


def web_address(value: object) -> str | None:
    """The text if it is an http(s) address with a host, else None."""
    text = clean(value)
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.hostname else None


def link_key(link: str | None) -> tuple[str, ...]:
    """The origin key of an outgoing link. A bare home page identifies no item, so it gives none."""
    if link is None:
        return ()
    parts = urlsplit(link)
    return (f"link:{link}",) if parts.path.strip("/") or parts.query else ()
