"""What every source adapter is given, and what it gives back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pinflow.collection import Source
from pinflow.scraping.crawler import Crawler, shared
from pinflow.scraping.job import FetchDocument, FetchPictures, Job, Report, SearchPins
from pinflow.scraping.pin import Pin
from pinflow.scraping.spool import Spool
from pinflow.scraping.table import Previous


@dataclass(frozen=True)
class Listing:
    """What a source listed. Its pictures are in the spool by now; `reasons` say what is missing."""

    pins: Sequence[Pin]
    reasons: Sequence[str] = ()
    stats: Mapping[str, int] = field(default_factory=dict)
    related: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True)
class Task:
    """One label to scrape."""

    source: Source
    query: str
    spool: Spool
    previous: Previous
    crawler: Crawler | None
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    def crawl(self, task: SearchPins | FetchPictures | FetchDocument) -> Report:
        """Have the worker process do it. Pictures of the last scrape are not fetched again."""
        wanted: list[str] = []
        if not isinstance(task, FetchDocument):
            wanted = list(self.previous.by_url)
        job = Job(
            run=self.run,
            work=self.spool.work.absolute(),
            own_url=self.source.base_url,
            pictures_known=wanted,
            task=task,
        )
        return (self.crawler or shared()).run(job)

    def previous_time(self, url: str) -> tuple[int, float] | None:
        """Size in bytes and time of fetching (seconds since 1970) of a picture that the last scrape has."""
        row = self.previous.by_url.get(url)
        return (row["bytes"], row["fetched_at"].timestamp()) if row and row["fetched_at"] else None
