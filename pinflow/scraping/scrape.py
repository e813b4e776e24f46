"""The door of the room: scrape one label, or list the labels that a source has.

What each source does stands in `sources/`; this module makes one `Scrape` out of it. What is expected to
fail in daily life (a site down, a refusal, an empty label) never raises from `scrape`: it comes back as an
incomplete scrape that says why and keeps what was known.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.sources import feed, folder, pinterest
from pinflow.scraping.sources.base import Listing, Task
from pinflow.scraping.spool import Spool
from pinflow.scraping.table import Previous, assemble

_LISTINGS: dict[str, Callable[[Task], Listing]] = {
    "pinterest": pinterest.listing,
    "feed": feed.listing,
    "folder": folder.listing,
}
_LABELS: dict[str, Callable[[Task], list[str]]] = {"feed": feed.labels, "folder": folder.labels}


@dataclass(frozen=True)
class Scrape:
    """What came of one label. `reason` is None exactly when it is `complete`."""

    pins: pa.Table  # schema.PINS; pins of the last scrape in their old order, then new ones as listed
    files: Mapping[str, Path]  # sha256 -> file in `work`: the pictures that the last scrape did not have
    complete: bool
    reason: str | None
    stats: dict[
        str, int | float
    ]  # listed, fetched, reused, failed, bytes, requests, seconds, status_<code>, ...


def scrape(
    source: Source,
    query: str,
    *,
    work: Path,
    previous: pa.Table | None = None,
    crawler: Crawler | None = None,
) -> Scrape:
    """The pins that `source` has for `query`, and the bytes of the pictures that `previous` does not have.

    `work` is a folder of this label's own. What is fetched stands there at once, so that after a kill the
    same call continues and fetches nothing twice; remove it after storing `files`. Without `crawler` a
    process-wide one is used. A source that has not changed since `previous` gives an equal table.

    Raises `OSError` where `work` cannot be written, and nothing that a source may cause.
    """
    started = time.monotonic()
    spool = Spool(work)
    old = Previous(previous)
    try:
        listing = _listing(source.kind)(Task(source, query, spool, old, crawler))
    except ScrapeError as error:
        listing = Listing([], [str(error)])
    reasons = list(listing.reasons)
    if not listing.pins and not reasons:
        reasons.append(f"no pins found for {query!r}")
    pins, files, counts = assemble(listing.pins, listing.related, spool, old, complete=not reasons)
    reasons += _silent_losses(pins, len(listing.pins), reasons)
    if reasons and old.table is not None:
        pins, files, counts = assemble(listing.pins, listing.related, spool, old, complete=False)
    stats = _stats(listing, counts, time.monotonic() - started)
    return Scrape(pins, files, not reasons, "; ".join(reasons) or None, stats)


def list_labels(source: Source, *, work: Path, crawler: Crawler | None = None) -> list[str]:
    """The distinct labels of a source that has them (`labels: all`), in first-seen order.

    Values that cannot be labels are left out. Raises `ScrapeError` where the source cannot be read or has no
    labels of its own.
    """
    if source.kind not in _LABELS:
        raise ScrapeError(f"source kind {source.kind!r} does not list its labels: write them under `labels:`")
    return _LABELS[source.kind](Task(source, "", Spool(work), Previous(None), crawler))


def _listing(kind: str) -> Callable[[Task], Listing]:
    if kind not in _LISTINGS:
        raise ScrapeError(f"source kind {kind!r} comes in a later version; today: {', '.join(_LISTINGS)}")
    return _LISTINGS[kind]


def _silent_losses(pins: pa.Table, listed: int, reasons: list[str]) -> list[str]:
    """What would otherwise look complete: pictures nobody asked for, or not one picture of a whole label."""
    if reasons or not listed:
        return []
    errors = Counter(pins.column("error").drop_null().to_pylist())
    if errors["not fetched"]:
        return [f"{errors['not fetched']} pictures were not fetched"]
    if pins.column("sha256").null_count == pins.num_rows:
        return [f"not one of {listed} pictures came: {errors.most_common(1)[0][0]}"]
    return []


def _stats(listing: Listing, counts: Counter[str], seconds: float) -> dict[str, int | float]:
    always = dict.fromkeys(("fetched", "bytes", "requests"), 0)
    found: dict[str, int | float] = {**always, **listing.stats, "listed": len(listing.pins)}
    found |= {"reused": counts["reused"], "failed": counts["failed"], "seconds": round(seconds, 3)}
    return found | {name: n for name, n in sorted(counts.items()) if name.startswith("missing_")}
