"""A product feed: CSV, TSV, JSON, RSS or Atom, local, on an object store, or on the web. Read as a stream.

An item that a feed lists twice is taken once, as it stands first; pins come in the order of the feed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from pinflow.errors import LabelError, ScrapeError
from pinflow.labels import normalise, slug
from pinflow.scraping.pages.rows import Columns
from pinflow.scraping.pin import Pin
from pinflow.scraping.sources import fetched
from pinflow.scraping.sources.base import Listing, Task
from pinflow.scraping.sources.tables import open_url, read_table

_MAX_COLUMNS = 1000  # Google Shopping has about 100

# What is worth having of a product and has no column of its own in the table of pins.
_WATCHED = ("availability", "brand")


def listing(task: Task) -> Listing:
    """The rows of one label, with their pictures fetched. Raises `ScrapeError` for an unreadable feed.

    Counted are `bad_rows` of the whole feed as far as it was read, and of the label's rows `duplicate_id`,
    `invalid_<field>` and those `missing_<field>` that the table of pins does not count itself.
    """
    counts: Counter[str] = Counter()
    found = fetched.pictures(task, _pins(task, counts), counts)
    counts.update(missing for pin in task.spool.pins() for missing in _missing(pin))
    # A row that nobody can read may be any pin, so what is not listed may still be there.
    unsure = counts["bad_rows"] or counts["invalid_id"]
    return replace(found, stats=counts, exhaustive=found.exhaustive and not unsure)


def _pins(task: Task, counts: Counter[str]) -> Iterator[Pin]:
    for columns, row in _rows(_file(task), task, counts):
        if not matches(task.query, columns.value(row, "label")):
            continue
        pin, invalid = columns.pin(row)
        counts.update(f"invalid_{name}" for name in invalid)
        if pin is not None:
            yield pin


def _missing(pin: Pin) -> list[str]:
    lacking = [name for name in _WATCHED if name not in pin.attributes]
    return [f"missing_{name}" for name in (*lacking, *([] if pin.pictures else ["picture_url"]))]


def labels(task: Task) -> list[str]:
    """The distinct labels in the feed, in first-seen order; those that differ only in case are one."""
    found: dict[str, str] = {}
    for columns, row in _rows(_file(task), task, Counter()):
        remember(found, columns.value(row, "label"))
    return list(found.values())


def remember(found: dict[str, str], value: str | None) -> None:
    """Add a column's value to the labels found, unless it cannot be one."""
    try:
        label = normalise(value or "")
        slug(label)
    except LabelError:
        return
    found.setdefault(label.casefold(), label)


def matches(query: str, value: str | None) -> bool:
    """True where a column's value is the label asked for; case and white space do not matter."""
    return value is not None and " ".join(value.split()).casefold() == " ".join(query.split()).casefold()


def _file(task: Task) -> str:
    return fetched.document(task, task.source.path or "", "feed")


def _rows(path: str, task: Task, counts: Counter[str]) -> Iterator[tuple[Columns, dict[str, str]]]:
    """Each row with what its columns mean. Rows that cannot be read are counted as `bad_rows`.

    Raises `ScrapeError`, also for a feed with no row at all: that is a feed gone wrong and no empty shop.
    """
    name = task.source.path
    try:
        with open_url(path) as file:
            header, rows = read_table(file, counts)
            found = False
            columns: Columns | None = None
            known = dict.fromkeys(header)
            for row in rows:
                # JSON and XML show their columns as they come.
                if columns is None or (len(known) < _MAX_COLUMNS and not row.keys() <= known.keys()):
                    known.update(dict.fromkeys(row))
                    columns = Columns([*known], task.source.columns, task.source.label_by)
                    _check(columns)
                found = True
                yield columns, row
            if not found:
                raise ScrapeError(_without_rows(header, counts["bad_rows"]))
    except ScrapeError as error:
        raise ScrapeError(f"feed {name}: {error}") from error
    except OSError as error:
        raise ScrapeError(f"feed {name} cannot be read: {error}") from error


def _check(columns: Columns) -> None:
    for field, key in (("id", "columns"), ("label", "label_by")):
        if not columns.has(field):
            raise ScrapeError(
                f"no column for the {field}: name one in `{key}:`; columns: {', '.join(columns.header)}"
            )


def _without_rows(header: list[str], bad: int) -> str:
    if bad:
        return f"not one of {bad} rows can be read; columns: {', '.join(header)[:200] or 'none'}"
    return f"a header and no rows: {', '.join(header)[:200]}" if header else "no products in it"
