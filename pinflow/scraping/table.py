"""From the spool and the last scrape to the table of pins: what is new, kept, missing, gone, its order."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import pyarrow as pa

from pinflow import schema
from pinflow.mapped import mapped
from pinflow.scraping.files import Files, span
from pinflow.scraping.pin import Pin
from pinflow.scraping.previous import Previous, Row
from pinflow.scraping.sightings import Sightings
from pinflow.scraping.spool import Picture, Spool
from pinflow.tombstones import REMOVED

T = TypeVar("T")

_PICTURE = ("picture_url", "sha256", "bytes", "error", "fetched_at", "signals")
_WATCHED = ("page_url", "title", "caption", "price", "currency", "creator", "licence")
_ROWS_AT_ONCE = 500  # as Python objects; everything else is columns


@dataclass(frozen=True)
class Assembled:
    """The state of a label after a scrape."""

    pins: pa.Table  # schema.PINS
    sightings: pa.Table  # schema.SIGHTINGS
    files: Mapping[str, bytes]  # sha256 -> bytes in the spool: pictures that the last scrape did not have
    gone: Sequence[str] = ()  # ids that are gone for good by now
    counts: Counter[str] = field(default_factory=Counter)


def assemble(
    spool: Spool,
    previous: Previous,
    *,
    now: datetime,
    complete: bool,
    exhaustive: bool,
    related: bool,
    per_label: int,
) -> Assembled:
    """The tables, the new pictures, and counts (reused, failed, added, changed, missing, missing_<field>).

    `exhaustive`: the listing shows all that there is, so that a pin it lacks is missing; what a search lacks
    is missing only where the site, asked for the pin itself, says so. An incomplete scrape proves nothing.
    A pin is kept until it is gone (`sightings.CONFIRMATIONS`) or newer ones need its place. Order: pins of
    `previous` stay where they were, new ones follow in listing order, so that a site that merely shuffles its
    listing changes nothing.
    """
    sightings = Sightings(previous.sightings, previous.row_of, now)
    counts: Counter[str] = Counter()
    new = bytearray()

    def row(pin: Pin, old: Row | None) -> Row:
        made = _row(pin, old, previous, spool, related, counts, new)
        changed = _changed(made, old)
        counts["added"] += old is None
        counts["changed"] += bool(changed)
        counts["returned"] += sightings.listed(pin.id, now, changed)
        return made

    leave, gone = _unlisted(spool, previous, sightings, now, complete, exhaustive, per_label, counts)

    def batches() -> Iterator[pa.RecordBatch]:
        for ids in _chunks(one for one in previous.row_of if one not in leave):
            pins, olds = spool.find(ids), previous.rows(ids)
            rows = [row(pins[old["id"]], old) if old["id"] in pins else old for old in olds if old]
            yield pa.RecordBatch.from_pylist(rows, schema=schema.PINS)
        for fresh in _chunks(pin for pin in spool.pins() if pin.id not in previous.row_of):
            yield pa.RecordBatch.from_pylist([row(pin, None) for pin in fresh], schema=schema.PINS)

    table = mapped(batches(), schema.PINS, spool.work)
    same = previous.table is not None and table.equals(previous.table)
    return Assembled(
        previous.table if same else table,
        sightings.table(),
        Files(spool.bodies.path, new),
        gone,
        counts,
    )


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, _ROWS_AT_ONCE)):
        yield chunk


def _unlisted(
    spool: Spool,
    previous: Previous,
    sightings: Sightings,
    now: datetime,
    complete: bool,
    exhaustive: bool,
    per_label: int,
    counts: Counter[str],
) -> tuple[set[str], list[str]]:
    """Of the pins that the listing lacks, those that leave the table, and those of them that are gone."""
    leave = {one for one in spool.refused() if one in previous.row_of}
    gone: list[str] = []
    kept: list[str] = []
    looked_up = spool.looked_up()
    for one in spool.unlisted_ids():
        proof = (True if exhaustive else looked_up.get(one)) if complete else None
        if one in leave:
            continue
        if proof and sightings.missing(one, now):
            gone.append(one)
            continue
        if proof is False:
            sightings.still_there(one, now)
        kept.append(one)
    room = max(0, per_label - spool.pin_count) if complete else len(kept)
    displaced = sightings.oldest_first(kept)[: max(0, len(kept) - room)]
    counts["missing"] = sum(1 for one in kept if (seen := sightings.get(one)) and seen.missed)
    counts["gone"], counts["displaced"] = len(gone), len(displaced)
    return leave | {*gone, *displaced}, gone


def _row(
    pin: Pin,
    old: Row | None,
    previous: Previous,
    spool: Spool,
    related: bool,
    counts: Counter[str],
    new: bytearray,
) -> Row:
    beside = (spool.related(pin.id) or (old["related"] if old else [])) if related else []
    picture, kind, came = _picture(pin, old, previous, spool)
    row = {
        "id": pin.id,
        **{name: getattr(pin, name) for name in _WATCHED},
        "attributes": sorted(pin.attributes.items()),
        "related": beside,
        "origin_keys": list(pin.origin_keys),
        **picture,
    }
    counts[kind] += 1
    counts.update(f"missing_{name}" for name in _WATCHED if row[name] is None)
    if came is not None:
        new += came
    return row


def _changed(row: Row, old: Row | None) -> list[str]:
    """What the source says otherwise than last time; what it shows beside a pin moves daily: left out."""
    names = (*_WATCHED, "attributes", "sha256") if old else ()
    return [name for name in names if old is not None and row[name] != old[name]]


def _picture(pin: Pin, old: Row | None, previous: Previous, spool: Spool) -> tuple[Row, str, bytes | None]:
    """The picture columns, where they are from (new, reused, or failed), and the `span` of a new one."""
    asked = [(url, picture) for url in pin.pictures if (picture := spool.picture(url))]
    for url, picture in asked:
        if picture.sha256 is None:
            continue
        if old and (old["sha256"], old["picture_url"]) == (picture.sha256, url):
            return _columns(old), "reused", None
        return _fetched(url, picture), "new", span(picture.sha256, picture.start or 0, picture.size or 0)
    # The address kept may be the second choice of the listing, where the first was refused. Bytes that
    # were removed under another pin are not asked for again.
    if old and (old["sha256"] or old["error"] == REMOVED) and old["picture_url"] in pin.pictures:
        return _columns(old), "reused", None
    known = next((previous.by_url[url] for url in pin.pictures if url in previous.by_url), None)
    if known:
        return _columns(known), "reused", None
    if old and old["sha256"]:
        return _columns(old), "failed", None
    first = pin.pictures[0] if pin.pictures else None
    error = asked[-1][1].error if asked else "not fetched" if first else "no picture in the listing"
    signals = next((picture.signals for _, picture in asked if picture.signals), None)
    return _fetched(first, Picture(None, None, None, None, error, signals)), "failed", None


def _fetched(url: str | None, picture: Picture) -> Row:
    return {
        "picture_url": url,
        "sha256": picture.sha256,
        "bytes": picture.size,
        "error": picture.error,
        "fetched_at": picture.fetched_at,
        "signals": picture.signals,
    }


def _columns(row: Row) -> Row:
    return {name: row[name] for name in _PICTURE}
