"""A folder of pictures, local or on an object store, in either of two layouts.

- `path/<label>/*`, with an optional `captions.csv`: title, caption, price, creator, ...; the rest of its
  columns become attributes.
- Hugging Face's `imagefolder`: the same, or with a folder for each split above the labels
  (`train/<label>/*`), or without folders for the labels; `metadata.csv` or `metadata.jsonl` beside the
  pictures or above them. The name of the split's folder is kept as the attribute `split_given`; our own
  splits are made later, by group.

A label is the value of `label_by`, else of the metadata's column `label`, else the name of the folder. A file
unchanged in size and not modified since the last scrape is not read again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

from pinflow.errors import ScrapeError
from pinflow.scraping.job import MAX_PICTURE_BYTES
from pinflow.scraping.pages.rows import Columns
from pinflow.scraping.pin import Pin
from pinflow.scraping.sources.base import Listing, Task
from pinflow.scraping.sources.described import CAPTIONS, METADATA
from pinflow.scraping.sources.feed import remember
from pinflow.scraping.sources.layout import Layout, readable


def listing(task: Task) -> Listing:
    """The files of one label, read into the spool. Raises `ScrapeError` for an unreadable folder."""
    counts: Counter[str] = Counter()
    layout = Layout(task.source, counts)
    reasons: list[str] = []
    task.spool.begin_listing()
    exhaustive = True
    for name in layout.files(task.query):
        if task.full:
            exhaustive = False
            break
        pin, invalid = _pin(layout, name)
        counts.update(f"invalid_{field}" for field in invalid)
        task.take(pin)
        if task.spool.has_pin(pin.id):
            reasons += _fetch(task, layout, name, counts)
    # A row of the metadata that nobody can read may be what gave a file this label.
    return Listing(reasons, counts, exhaustive and not counts["bad_rows"])


def labels(task: Task) -> list[str]:
    """The labels that the folder has, in the order of its files. Raises `ScrapeError` where it has none."""
    found: dict[str, str] = {}
    for label in Layout(task.source, Counter()).labels():
        remember(found, label)
    if not found:
        raise ScrapeError(
            f"{task.source.path} has no labels: make a folder for each, or name a column of its "
            f"{CAPTIONS} or {METADATA[1]} in `label_by:`"
        )
    return list(found.values())


def _pin(layout: Layout, name: str) -> tuple[Pin, list[str]]:
    """The pin of a file: its id is its name in the folder, so it stays when the folder moves."""
    described, split = layout.described(name), layout.split(name)
    columns, row = (described.columns, described.row) if described else (Columns([]), {})
    pin, invalid = columns.pin(row, key=name)
    assert pin is not None
    attributes = pin.attributes | ({"split_given": split} if split else {})
    return replace(pin, pictures=(layout.address(name),), attributes=attributes), invalid


def _fetch(task: Task, layout: Layout, name: str, counts: Counter[str]) -> list[str]:
    """Read a file into the spool, unless the last scrape has it as it is; why it could not be read."""
    entry, url, spool = layout.entries[name], layout.address(name), task.spool
    if entry["size"] > MAX_PICTURE_BYTES:
        spool.add_failure(url, f"larger than {MAX_PICTURE_BYTES // 2**20} MiB")
        return []
    if _unchanged(task, entry, url):
        return []
    try:
        with readable(url):
            body = layout.fs.cat_file(entry["name"])
    except ScrapeError as error:
        spool.add_failure(url, "cannot be read")
        return [str(error)]
    if not body:
        spool.add_failure(url, "empty file")
        return []
    old = task.previous.by_url.get(url)
    if old is None or old["sha256"] != hashlib.sha256(body).hexdigest():
        spool.add_picture(url, body)
        counts["fetched"] += 1
        counts["bytes"] += len(body)
    return []


def _unchanged(task: Task, entry: dict[str, Any], url: str) -> bool:
    known = task.previous_time(url)
    changed = entry.get("mtime", entry.get("LastModified"))
    stamp = changed.timestamp() if isinstance(changed, datetime) else changed
    return known is not None and stamp is not None and (entry["size"], True) == (known[0], stamp < known[1])
