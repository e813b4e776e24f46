"""What every source adapter is given, and what it gives back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.scraping.crawler import Crawler, shared
from pinflow.scraping.job import FetchDocument, FetchPictures, Job, ListPins, Report
from pinflow.scraping.optout import OptOuts
from pinflow.scraping.pages.listing import ListingParameters
from pinflow.scraping.pin import Pin
from pinflow.scraping.previous import Previous
from pinflow.scraping.spool import Spool

_KINDS = ("ids", "addresses", "domains", "creators", "pictures")  # of `OptOuts`


@dataclass(frozen=True)
class Listing:
    """How it went: what is listed stands in the spool by now, with its pictures; `reasons` say what is
    missing. `exhaustive`: the source shows all that it has, so that what it does not show is not there."""

    reasons: Sequence[str] = ()
    stats: Mapping[str, int] = field(default_factory=dict)
    exhaustive: bool = True


@dataclass(frozen=True)
class Task:
    """One label to scrape."""

    source: Source
    query: str
    spool: Spool
    previous: Previous
    crawler: Crawler | None
    opt_outs: OptOuts = field(default_factory=OptOuts)
    token: str | None = None  # of the official API

    def crawl(self, task: ListPins | FetchPictures | FetchDocument) -> Report:
        """Have the worker process do it."""
        job = Job(
            work=self.spool.work.absolute(),
            own_url=self.source.base_url,
            opt_outs={kind: getattr(self.opt_outs, kind) for kind in _KINDS},
            task=task,
        )
        return (self.crawler or shared()).run(job)

    def follow(self, listing: ListingParameters, *, exhaustive: bool, related: bool = False) -> Listing:
        """List what `listing` shows, page by page, with its pictures."""
        report = self.crawl(
            ListPins(
                listing=listing,
                per_label=self.source.per_label,
                related=related,
                check_unlisted=not exhaustive,
            )
        )
        # A full label was cut off, so what it lacks may still be there.
        whole = exhaustive and self.spool.pin_count < self.source.per_label
        return Listing(report.reasons, report.stats, whole)

    def take(self, pin: Pin) -> bool:
        """Put a pin into the spool, unless it was removed for good or wants to be left out. False where its
        id is there already."""
        return self.refuses(pin) or self.spool.add_pin(pin)

    def refuses(self, pin: Pin) -> bool:
        """Whether the pin was removed for good or wants to be left out; the spool notes it if so."""
        return self.spool.refuses(pin, self.opt_outs)

    @property
    def full(self) -> bool:
        """Whether the label has as many pins as it may."""
        return self.spool.pin_count >= self.source.per_label

    def document(self, url: str) -> Path:
        """Where a document on the web lies once the crawler fetched it: beside the labels of the collection,
        which read the same one, and fetched again only when the site has another. Raises `ScrapeError`."""
        name = hashlib.sha256(url.encode()).hexdigest()[:24]
        to = self.spool.work.absolute().parent / ".documents" / name
        report = self.crawl(FetchDocument(url=url, to=to))
        if report.reasons:
            raise ScrapeError(report.reasons[0])
        return to

    def previous_time(self, url: str) -> tuple[int, float] | None:
        """Size in bytes and time of fetching (seconds since 1970) of a picture that the last scrape has."""
        row = self.previous.by_url.get(url)
        return (row["bytes"], row["fetched_at"].timestamp()) if row and row["fetched_at"] else None


Lister = Callable[[Task], Listing]
Labels = Callable[[Task], Iterable[str]]
