"""The door of the room: scrape one label, or list the labels that a source has.

What each source does stands in `sources/`; this module makes one `Scrape` out of it. What is expected to
fail in daily life (a site down, a refusal, an empty label) never raises from `scrape`: it comes back as an
incomplete scrape that says why and keeps what was known.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa

from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.optout import OptOuts
from pinflow.scraping.previous import Previous
from pinflow.scraping.sightings import Sightings
from pinflow.scraping.sources import feed, folder, openverse, pinterest, wga
from pinflow.scraping.sources.base import Labels, Lister, Listing, Task
from pinflow.scraping.spool import Spool
from pinflow.scraping.table import assemble

_LISTINGS: dict[str, Lister] = {
    "pinterest": pinterest.listing,
    "openverse": openverse.listing,
    "feed": feed.listing,
    "folder": folder.listing,
    "wga": wga.listing,
}
_LABELS: dict[str, Labels] = {
    "pinterest": pinterest.labels,
    "feed": feed.labels,
    "folder": folder.labels,
    "wga": wga.labels,
}


@dataclass(frozen=True)
class Scrape:
    """What came of one label. `reason` is None exactly when it is `complete`."""

    pins: pa.Table  # schema.PINS; pins of the last scrape in their old order, then new ones as listed
    sightings: pa.Table  # schema.SIGHTINGS: when each pin was seen, changed, missed
    files: Mapping[str, bytes]  # sha256 -> bytes in `work`: the pictures that the last scrape did not have
    complete: bool
    reason: str | None
    stats: dict[
        str, int | float
    ]  # listed, fetched, reused, failed, bytes, requests, seconds, status_<code>, ...
    gone: Sequence[str] = ()  # ids that the source has proved to be gone for good
    refused: Mapping[str, str] = field(default_factory=dict)  # id -> why: removed, or opted out


def scrape(
    source: Source,
    query: str,
    *,
    work: Path,
    previous: pa.Table | None = None,
    sightings: pa.Table | None = None,
    blocked: Iterable[str] = (),
    opt_outs: OptOuts | None = None,
    token: str | None = None,
    crawler: Crawler | None = None,
    now: datetime | None = None,
) -> Scrape:
    """The pins that `source` has for `query`, and the bytes of the pictures that `previous` does not have.

    `work` is a folder of this label's own. What is fetched stands there at once, so that after a kill the
    same call goes on where it was and fetches nothing twice; remove it after storing `files`. `previous` and
    `sightings` are what the last scrape gave; pins whose id is `blocked`, or that `opt_outs` are about, are
    not taken and their pictures not asked for. `token` is for an official API. Without `crawler` a
    process-wide one is used. A source that has not changed since `previous` gives an equal table.

    Raises `OSError` where `work` cannot be written, and nothing that a source may cause.
    """
    started = time.monotonic()
    now = now or datetime.now(UTC).replace(microsecond=0)
    old = Previous(previous, sightings)
    with Spool(work) as spool:
        order = Sightings(sightings, old.row_of, now).oldest_first(old.row_of)
        spool.remember(old.before(order), blocked)
        try:
            listing = _listing(source.kind)(
                Task(source, query, spool, old, crawler, opt_outs or OptOuts(), token)
            )
        except ScrapeError as error:
            listing = Listing([str(error)])
        reasons = list(listing.reasons)
        listed = spool.pin_count
        if not listed and not reasons and not spool.refused():
            reasons.append(f"no pins found for {query!r}")
        made = partial(
            assemble,
            spool,
            old,
            now=now,
            exhaustive=listing.exhaustive,
            related=source.related,
            per_label=source.per_label,
        )
        state = made(complete=not reasons)
        losses = _silent_losses(state.pins, listed, reasons)
        if losses and old.table is not None:
            state = made(complete=False)
        reasons += losses
        refused = spool.refused()
    stats = _stats(listing.stats, state.counts, listed, time.monotonic() - started)
    return Scrape(
        state.pins,
        state.sightings,
        state.files,
        not reasons,
        "; ".join(reasons) or None,
        stats,
        state.gone,
        refused,
    )


def list_labels(
    source: Source, *, work: Path, token: str | None = None, crawler: Crawler | None = None
) -> list[str]:
    """The distinct labels of a source that has them (`labels: all`), in first-seen order.

    Values that cannot be labels are left out. Raises `ScrapeError` where the source cannot be read or has no
    labels of its own.
    """
    if source.kind not in _LABELS:
        raise ScrapeError(f"source kind {source.kind!r} does not list its labels: write them under `labels:`")
    with Spool(work) as spool:
        return list(_LABELS[source.kind](Task(source, "", spool, Previous(None), crawler, token=token)))


def _listing(kind: str) -> Lister:
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


def _stats(
    listing: Mapping[str, int], counts: Counter[str], listed: int, seconds: float
) -> dict[str, int | float]:
    found: dict[str, int | float] = {**dict.fromkeys(("fetched", "bytes", "requests"), 0), **listing}
    found |= {name: n for name, n in sorted(counts.items()) if n or not name.startswith("missing_")}
    found |= {"listed": listed, "reused": counts["reused"], "failed": counts["failed"]}
    found |= {"seconds": round(seconds, 3)}
    if found["fetched"]:
        found["pictures_per_second"] = round(found["fetched"] / max(seconds, 1e-3), 1)
    return found
