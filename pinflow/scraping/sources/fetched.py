"""What a source that reads a table has fetched for it: the table itself, and the pictures of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pinflow.errors import ScrapeError
from pinflow.scraping.job import FetchPictures
from pinflow.scraping.pin import Pin
from pinflow.scraping.sources.base import Listing, Task


def document(task: Task, path: str, what: str) -> str:
    """A path that fsspec can open: `path` itself, or where the crawler put it if it is on the web.

    Raises `ScrapeError`, naming `what`, where it does not come.
    """
    if not path.startswith(("http://", "https://")):
        return path
    try:
        return str(task.document(path))
    except ScrapeError as error:
        raise ScrapeError(f"{what} {error}") from error


def pictures(task: Task, pins: Iterable[Pin], counts: Counter[str]) -> Listing:
    """The listing of `pins`, read as they come until the label is full, with their pictures fetched."""
    task.spool.begin_listing()
    exhaustive = True
    for pin in pins:
        if task.full:
            exhaustive = False
            break
        if not task.take(pin):
            counts["duplicate_id"] += 1
    return fetch(task, counts, exhaustive=exhaustive)


def fetch(task: Task, counts: Counter[str], *, exhaustive: bool) -> Listing:
    """The listing that stands in the spool, with its pictures fetched; nobody is asked where all are here."""
    wanted = (pin.pictures for pin in task.spool.pins() if pin.pictures)
    if all(task.spool.has_picture(*urls) for urls in wanted):
        return Listing(stats=counts, exhaustive=exhaustive)
    report = task.crawl(FetchPictures())
    counts.update(report.stats)
    return Listing(report.reasons, counts, exhaustive)
