"""The Web Gallery of Art: its catalogue, from the site or a file of one's own, joined with its pictures.

Labels are the values of the column `label_by`, or else of the catalogue's TYPE: landscape, portrait, ...
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256

from pinflow.errors import ScrapeError
from pinflow.scraping.pages import wga
from pinflow.scraping.pin import Pin
from pinflow.scraping.sources import fetched
from pinflow.scraping.sources.base import Listing, Task
from pinflow.scraping.sources.catalogue import open_catalogue
from pinflow.scraping.sources.feed import matches, remember


def listing(task: Task) -> Listing:
    """The works of one label, with their pictures fetched. Raises `ScrapeError` for an unreadable catalogue.

    Where the label has more than `per_label`, the choice follows from the ids: the catalogue is sorted by
    author, so the first ones would be those of a few painters, and a choice by chance would change nightly.
    """
    counts: Counter[str] = Counter()
    limit = task.source.per_label
    task.spool.begin_listing()
    numbered = enumerate(pin for pin in _pins(task, counts) if not task.refuses(pin))
    found = heapq.nsmallest(limit + 1, numbered, key=lambda one: sha256(one[1].id.encode()).digest())
    for _, pin in sorted(found[:limit], key=lambda one: one[0]):
        task.take(pin)
    # A row that nobody can read may be any work, so what is not listed may still be there.
    whole = len(found) <= limit and not counts["bad_rows"] and not counts["invalid_url"]
    return fetched.fetch(task, counts, exhaustive=whole)


def labels(task: Task) -> list[str]:
    """The distinct values of the column, in first-seen order; those that differ only in case are one."""
    found: dict[str, str] = {}
    for columns, row in _rows(task, Counter()):
        remember(found, columns.label(row))
    return list(found.values())


def _pins(task: Task, counts: Counter[str]) -> Iterator[Pin]:
    seen: set[str] = set()
    for columns, row in _rows(task, counts):
        if not matches(task.query, columns.label(row)):
            continue
        pin, invalid = columns.pin(row, task.source.base_url)
        counts.update(f"invalid_{name}" for name in invalid)
        if pin is None:
            continue
        if pin.id in seen:
            counts["duplicate_id"] += 1
            continue
        seen.add(pin.id)
        yield pin


def _rows(task: Task, counts: Counter[str]) -> Iterator[tuple[wga.Columns, dict[str, str]]]:
    """Each row with what its columns mean. Rows that cannot be read are counted as `bad_rows`.

    Raises `ScrapeError`, also where there is no row at all: that is no empty gallery.
    """
    source = task.source
    path = source.path or (source.base_url or wga.SITE).rstrip("/") + wga.CATALOGUE
    file = fetched.document(task, path, "catalogue")
    try:
        with open_catalogue(file, counts) as (header, rows):
            columns = wga.Columns(header, source.label_by)
            empty = True
            for row in rows:
                empty = False
                yield columns, row
            if empty:
                raise ScrapeError(f"a header and no rows ({counts['bad_rows']} that cannot be read)")
    except ScrapeError as error:
        raise ScrapeError(f"catalogue {path}: {error}") from error
