"""A folder of pictures, `path/<label>/*`, local or on an object store, with an optional `captions.csv`.

`captions.csv` has a column `file` (relative to the folder, or to the label's folder where `label` is given)
and any of title, caption, price, creator, ...; the rest become attributes. With `label_by` the labels are
that column's values instead of the folders' names. A file unchanged in size and not modified since the last
scrape is not read again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from pinflow.errors import LabelError, ScrapeError
from pinflow.labels import slug
from pinflow.scraping.job import MAX_PICTURE_BYTES
from pinflow.scraping.pages.rows import Columns
from pinflow.scraping.pin import Pin, clean
from pinflow.scraping.sources.base import Listing, Task
from pinflow.scraping.sources.feed import matches, remember
from pinflow.scraping.sources.tables import read_table

CAPTIONS = "captions.csv"


def listing(task: Task) -> Listing:
    """The files of one label, read into the spool. Raises `ScrapeError` for an unreadable folder."""
    folder = Folder(task)
    counts: Counter[str] = Counter()
    pins: list[Pin] = []
    for name in folder.files(task.query)[: task.source.per_label]:
        pin, invalid = folder.pin(name)
        counts.update(f"invalid_{field}" for field in invalid)
        pins.append(pin)
        folder.fetch(name, counts)
    return Listing(pins, folder.reasons, counts)


def labels(task: Task) -> list[str]:
    """The folders' names, or the values of the column `label_by`."""
    folder = Folder(task)
    found: dict[str, str] = {}
    if task.source.label_by:
        captions = folder.captions
        for name in folder.listed():
            remember(found, captions.columns.value(captions.rows.get(name, {}), "label"))
    else:
        for name in folder.folders():
            remember(found, name)
    return list(found.values())


@dataclass(frozen=True)
class Captions:
    """`captions.csv`, by file name relative to the folder."""

    columns: Columns
    rows: dict[str, dict[str, str]]


class Folder:
    """The folder of one collection, seen through fsspec; names are relative to it, with `/`."""

    def __init__(self, task: Task) -> None:
        import fsspec

        path = task.source.path or ""
        if "::" in path or path.startswith(("http://", "https://")):
            # Bytes from the web come through the crawler and its manners only.
            raise ScrapeError(
                f"folder {path}: give a local folder or an object store; for the web use `kind: feed`"
            )
        self.task = task
        self.reasons: list[str] = []
        with _readable(path):
            self.fs, self.root = fsspec.core.url_to_fs(path)
            self.fs.invalidate_cache()
            if not self.fs.isdir(self.root):
                raise ScrapeError(f"folder {path} does not exist")

    @cached_property
    def captions(self) -> Captions:
        """What `captions.csv` says; nothing where there is none."""
        source, counts = self.task.source, Counter[str]()
        path = f"{self.root}/{CAPTIONS}"
        with _readable(path):
            if not self.fs.exists(path):
                if source.label_by:
                    raise ScrapeError(f"`label_by: {source.label_by}` needs {path}, which does not exist")
                return Captions(Columns([]), {})
            with self.fs.open(path, "rb") as file:
                header, rows = read_table(file, counts)
                columns = Columns(header, source.columns, source.label_by)
                if not columns.has("file"):
                    raise ScrapeError(f"{path} has no column `file`; columns: {', '.join(header)}")
                return Captions(columns, dict(self._named(columns, rows)))

    def _named(
        self, columns: Columns, rows: Iterator[dict[str, str]]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        for row in rows:
            name, label = columns.value(row, "file"), columns.value(row, "label")
            if name:
                name = name.replace("\\", "/").removeprefix("./")
                inside = "/" in name or self.task.source.label_by or not label
                yield name if inside else f"{label}/{name}", row

    def folders(self) -> list[str]:
        """Names of the folders in it, sorted."""
        with _readable(self.root):
            entries = self.fs.ls(self.root, detail=True)
        return sorted(self._name(e) for e in entries if e["type"] == "directory" and _shown(self._name(e)))

    def listed(self) -> list[str]:
        """Names of all files in it and one folder below, sorted."""
        with _readable(self.root):
            entries = self.fs.find(self.root, maxdepth=2, detail=True)
        return self._remember(entries.values())

    def files(self, query: str) -> list[str]:
        """Names of the files of one label, sorted."""
        if self.task.source.label_by:
            columns, rows = self.captions.columns, self.captions.rows
            return [n for n in self.listed() if matches(query, columns.value(rows.get(n, {}), "label"))]
        folders = self.folders()
        found = [name for name in folders if name == query] or [n for n in folders if matches(query, n)]
        found = found or [name for name in folders if _slug(name) == _slug(query)]
        if not found:
            return []
        with _readable(found[0]):
            return self._remember(self.fs.ls(f"{self.root}/{found[0]}", detail=True))

    def _remember(self, entries: Any) -> list[str]:
        self._entries = {self._name(entry): entry for entry in entries if entry["type"] == "file"}
        return sorted(n for n in self._entries if _shown(n) and n.rsplit("/", 1)[-1] != CAPTIONS)

    def _name(self, entry: dict[str, Any]) -> str:
        name: str = entry["name"].rstrip("/").removeprefix(self.root.rstrip("/")).lstrip("/")
        return clean(name) or name

    def address(self, name: str) -> str:
        """The file's URL."""
        url: str = self.fs.unstrip_protocol(self._entries[name]["name"])
        return clean(url) or url

    def pin(self, name: str) -> tuple[Pin, list[str]]:
        """The pin of a file: its id is its name in the folder, so it stays when the folder moves."""
        columns, rows = self.captions.columns, self.captions.rows
        pin, invalid = columns.pin(rows.get(name, {}), key=name)
        assert pin is not None
        return replace(pin, pictures=(self.address(name),)), invalid

    def fetch(self, name: str, counts: Counter[str]) -> None:
        """Read a file into the spool, unless the last scrape has it as it is."""
        entry, url, spool = self._entries[name], self.address(name), self.task.spool
        if entry["size"] > MAX_PICTURE_BYTES:
            spool.add_failure(url, f"larger than {MAX_PICTURE_BYTES // 2**20} MiB")
            return
        if self._unchanged(entry, url):
            return
        try:
            with _readable(url):
                body = self.fs.cat_file(entry["name"])
        except ScrapeError as error:
            spool.add_failure(url, "cannot be read")
            self.reasons.append(str(error))
            return
        if not body:
            spool.add_failure(url, "empty file")
            return
        old = self.task.previous.by_url.get(url)
        if old is None or old["sha256"] != hashlib.sha256(body).hexdigest():
            spool.add_picture(url, body)
            counts["fetched"] += 1
            counts["bytes"] += len(body)

    def _unchanged(self, entry: dict[str, Any], url: str) -> bool:
        known = self.task.previous_time(url)
        changed = entry.get("mtime", entry.get("LastModified"))
        stamp = changed.timestamp() if isinstance(changed, datetime) else changed
        return (
            known is not None and stamp is not None and (entry["size"], True) == (known[0], stamp < known[1])
        )


class _readable:
    """Turns what an object store's client raises into `ScrapeError`; nothing is written inside."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        if isinstance(error, UnicodeDecodeError):
            raise ScrapeError(f"{self._what} is not UTF-8: save it as UTF-8") from error
        if isinstance(error, Exception) and not isinstance(error, (ScrapeError, AssertionError)):
            raise ScrapeError(f"{self._what} cannot be read: {type(error).__name__}: {error}") from error


def _shown(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split("/"))


def _slug(name: str) -> str | None:
    try:
        return slug(name)
    except LabelError:
        return None
