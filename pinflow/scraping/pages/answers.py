"""JSON from the net, read without trust: what every page object needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pinflow.errors import ScrapeError

_EMPTY: Mapping[str, Any] = {}


def decode(body: bytes) -> object:
    """The JSON value in an answer. Raises `ScrapeError` for anything else, a web page among it."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        raise ScrapeError(f"unknown answer, not JSON: {body[:60]!r}") from None
    return value


def mapping(value: object, key: str) -> Mapping[str, Any]:
    """The object under `key`; an empty one where there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else _EMPTY


def sequence(value: object, key: str) -> list[Any]:
    """The list under `key`; an empty one where there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, list) else []
