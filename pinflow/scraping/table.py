"""From pins, the spool and the last scrape to the table of pins: what is new, what is kept, in what order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pinflow import schema
from pinflow.scraping.pin import Pin
from pinflow.scraping.spool import Picture, Spool

_PICTURE = ("picture_url", "sha256", "bytes", "error", "fetched_at")
_WATCHED = ("page_url", "title", "caption", "price", "currency", "creator", "licence")

Row = dict[str, Any]


class Previous:
    """The last scrape of a label, by id and by picture address."""

    def __init__(self, table: pa.Table | None) -> None:
        """Raises `ValueError` for a table that is not a `schema.PINS` one."""
        self.table = schema.conform(table, schema.PINS) if table is not None else None
        rows: list[Row] = self.table.to_pylist() if self.table is not None else []
        self.by_id = {row["id"]: row for row in rows}
        self.by_url = {row["picture_url"]: row for row in rows if row["sha256"] and row["picture_url"]}

    def related_known(self) -> list[str]:
        """Ids of the pins whose related pins are known."""
        return [key for key, row in self.by_id.items() if row["related"]]


def assemble(
    pins: Iterable[Pin],
    related: Mapping[str, Sequence[str]] | None,
    spool: Spool,
    previous: Previous,
    complete: bool,
) -> tuple[pa.Table, dict[str, Path], Counter[str]]:
    """The table, the files of the pictures that are new in it, and counts (reused, failed, missing_<field>).

    `related` are ids by pin id as far as the site was asked now; None means that nobody wants them. Order:
    pins of `previous` stay where they were, new ones follow in listing order, so that a site that merely
    shuffles its listing changes nothing. An incomplete crawl keeps the pins of
    `previous` that it did not see.
    """
    came, failed = spool.pictures()
    files: dict[str, Path] = {}
    counts: Counter[str] = Counter()
    fresh: dict[str, Row] = {}
    for pin in pins:
        old = previous.by_id.get(pin.id)
        row = _described(pin, old, related)
        picture, kind = _picture(pin, old, previous, came, failed)
        row.update(picture)
        counts[kind] += 1
        counts.update(f"missing_{name}" for name in _WATCHED if row[name] is None)
        if kind == "new":
            files[row["sha256"]] = spool.path(row["sha256"])
        fresh[pin.id] = row
    kept = {key: fresh.get(key, row) for key, row in previous.by_id.items() if key in fresh or not complete}
    table = pa.Table.from_pylist(list((kept | fresh).values()), schema=schema.PINS)
    if previous.table is not None and table.equals(previous.table):
        table = previous.table
    return table, files, counts


def _described(pin: Pin, old: Row | None, related: Mapping[str, Sequence[str]] | None) -> Row:
    beside: Sequence[str] = []
    if related is not None:
        beside = related.get(pin.id) or (old["related"] if old else [])
    return {
        "id": pin.id,
        **{name: getattr(pin, name) for name in _WATCHED},
        "attributes": sorted(pin.attributes.items()),
        "related": list(beside),
        "origin_keys": list(pin.origin_keys),
    }


def _picture(
    pin: Pin,
    old: Row | None,
    previous: Previous,
    came: Mapping[str, Picture],
    failed: Mapping[str, str],
) -> tuple[Row, str]:
    """The picture columns, and where they are from: new, reused, or failed."""
    for url in pin.pictures:
        if url in came:
            picture = came[url]
            if old and (old["sha256"], old["picture_url"]) == (picture.sha256, url):
                return _columns(old), "reused"
            return {
                "picture_url": url,
                "sha256": picture.sha256,
                "bytes": picture.size,
                "error": None,
                "fetched_at": picture.fetched_at,
            }, "new"
    # The address kept may be the second choice of the listing, where the first was refused.
    if old and old["sha256"] and old["picture_url"] in pin.pictures:
        return _columns(old), "reused"
    known = next((previous.by_url[url] for url in pin.pictures if url in previous.by_url), None)
    if known:
        return _columns(known), "reused"
    if old and old["sha256"]:
        return _columns(old), "failed"
    causes = [failed[url] for url in pin.pictures if url in failed]
    error = causes[-1] if causes else ("not fetched" if pin.pictures else "no picture in the listing")
    first = pin.pictures[0] if pin.pictures else None
    return {"picture_url": first, "sha256": None, "bytes": None, "error": error, "fetched_at": None}, "failed"


def _columns(row: Row) -> Row:
    return {name: row[name] for name in _PICTURE}
