"""A product feed: CSV, TSV or JSON lines, local, on an object store, or on the web. Read as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pinflow.errors import LabelError, ScrapeError
from pinflow.labels import normalise, slug
from pinflow.scraping.job import FetchDocument, FetchPictures
from pinflow.scraping.pages.rows import Columns
from pinflow.scraping.pin import Pin
from pinflow.scraping.sources.base import Listing, Task
from pinflow.scraping.sources.tables import open_url, read_table


def listing(task: Task) -> Listing:
    """The rows of one label, with their pictures fetched. Raises `ScrapeError` for an unreadable feed."""
    counts: Counter[str] = Counter()
    pins: dict[str, Pin] = {}
    for columns, row in _rows(_file(task), task, counts):
        if not matches(task.query, columns.value(row, "label")):
            continue
        pin, invalid = columns.pin(row)
        counts.update(f"invalid_{name}" for name in invalid)
        if pin is None:
            continue
        if pin.id in pins:
            counts["duplicate_id"] += 1
            continue
        pins[pin.id] = pin
        if len(pins) >= task.source.per_label:
            break
    wanted = [list(pin.pictures) for pin in pins.values() if pin.pictures]
    if all(url in task.previous.by_url for urls in wanted for url in urls):
        return Listing(list(pins.values()), stats=counts)
    report = task.crawl(FetchPictures(pictures=wanted))
    counts.update(report.stats)
    return Listing(list(pins.values()), report.reasons, counts)


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
    """A path that fsspec can open; a feed on the web is fetched first, with manners."""
    path = task.source.path or ""
    if not path.startswith(("http://", "https://")):
        return path
    report = task.crawl(FetchDocument(url=path))
    if report.reasons:
        raise ScrapeError(f"feed {path}: {report.reasons[0]}")
    return str(task.spool.work / "document")


def _rows(path: str, task: Task, counts: Counter[str]) -> Iterator[tuple[Columns, dict[str, str]]]:
    """Each row with what its columns mean. Rows that cannot be read are counted as `bad_rows`."""
    name = task.source.path
    try:
        with open_url(path) as file:
            header, rows = read_table(file, counts)
            columns = _columns(header, task)
            for row in rows:
                yield columns, row
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise ScrapeError(f"feed {name} is not UTF-8 ({where}): save it as UTF-8") from error
    except OSError as error:
        raise ScrapeError(f"feed {name} cannot be read: {error}") from error


def _columns(header: Sequence[str], task: Task) -> Columns:
    columns = Columns(header, task.source.columns, task.source.label_by)
    for field, key in (("id", "columns"), ("label", "label_by")):
        if not columns.has(field):
            raise ScrapeError(
                f"feed {task.source.path} has no column for the {field}: name one in `{key}:`; "
                f"columns: {', '.join(header)}"
            )
    return columns
