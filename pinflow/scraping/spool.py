"""What a crawl leaves in its work folder, so that a kill loses nothing: pictures, and an SQLite file.

`pictures.bin` holds bytes, one picture after the other; `crawl.sqlite` what was listed, what came, and where
the listing goes on. A row follows the bytes that it speaks of, and the pins of a page are written together
with the step to the page after it, so a crawl that was killed goes on where it was. SQLite, because the
parent reads a label of any size from it row by row, and a statement is whole or absent.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pinflow.scraping.bodies import Bodies
from pinflow.scraping.optout import OptOuts
from pinflow.scraping.pages.listing import Step
from pinflow.scraping.pin import Pin
from pinflow.tombstones import REMOVED

RESUME_SECONDS = 6 * 3600  # a site's cursor older than this is not trusted: the listing starts again
_FULL, _IO = 13, 10  # SQLITE_FULL, SQLITE_IOERR (sqlite.org/rescode.html)

_TABLES = """
CREATE TABLE IF NOT EXISTS pins (n INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, pin TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refused (id TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ids (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS steps (n INTEGER PRIMARY KEY, step TEXT, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS fetched (url TEXT PRIMARY KEY, sha256 TEXT, start INTEGER, bytes INTEGER,
    at INTEGER, error TEXT, signals TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS related (id TEXT PRIMARY KEY, ids TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looked_up (id TEXT PRIMARY KEY, gone INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (url TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS before (n INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, url TEXT, related INTEGER);
CREATE TABLE IF NOT EXISTS blocked (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Picture:
    """What is known of an address: bytes and when they were fetched (UTC, whole seconds), or an error."""

    sha256: str | None
    start: int | None  # of the bytes, in `Bodies`
    size: int | None
    fetched_at: datetime | None
    error: str | None
    signals: str | None


@dataclass(frozen=True)
class Before:
    """What the last scrape knew of a pin, as far as a crawl needs it."""

    id: str
    url: str | None  # of its picture, where there is one
    related: bool  # whether its related pins are known


class Spool:
    """The work folder of one label's crawl, for one process at a time. Raises `OSError` where it cannot be
    written, a full disk among it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.bodies = Bodies(work / "pictures.bin")
        with _as_os_error():
            self._db = sqlite3.connect(work / "crawl.sqlite", isolation_level=None)
            # Surviving a kill needs no sync; after a power cut the crawl is made again.
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _TABLES)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what is written stays."""
        self._db.close()
        self.bodies.close()

    # What the parent knows before the crawl

    def remember(self, before: Iterable[Before], blocked: Iterable[str]) -> None:
        """The pins of the last scrape, and the ids that must not come (back)."""
        with self._together():
            for table in ("before", "known", "blocked"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            for one in before:
                self._db.execute(
                    "INSERT OR IGNORE INTO before (id, url, related) VALUES (?, ?, ?)",
                    (one.id, one.url, one.related),
                )
                if one.url:
                    self._db.execute("INSERT OR IGNORE INTO known VALUES (?)", (one.url,))
            self._db.executemany("INSERT OR IGNORE INTO blocked VALUES (?)", ((one,) for one in blocked))

    def is_blocked(self, pin: str) -> bool:
        """Whether the pin was removed for good."""
        return self._has("blocked", "id", pin)

    def has_related(self, pin: str) -> bool:
        """Whether the related pins are known, from this crawl or from the last."""
        row = self._one("SELECT related FROM before WHERE id = ?", pin)
        return bool(row and row[0]) or self._has("related", "id", pin)

    def has_picture(self, *urls: str) -> bool:
        """Whether the bytes of one of these addresses are here, or the last scrape has them."""
        marks = ", ".join("?" * len(urls))
        row = self._one(
            f"SELECT EXISTS (SELECT 1 FROM known WHERE url IN ({marks}))"  # noqa: S608 - marks alone
            f" OR (SELECT min(start + bytes) FROM fetched WHERE url IN ({marks}) AND error IS NULL) <= ?",
            *urls,
            *urls,
            self.bodies.size,
        )
        return row is not None and bool(row[0])

    def unlisted_ids(self) -> list[str]:
        """Ids of the last scrape that this listing did not show."""
        rows = self._db.execute(
            "SELECT id FROM before WHERE NOT EXISTS (SELECT 1 FROM pins WHERE pins.id = before.id) ORDER BY n"
        )
        return [one for (one,) in rows]

    def unlisted(self, limit: int) -> list[Before]:
        """Pins of the last scrape that this listing did not show and that were not looked up yet, first
        those that the last scrape put first."""
        rows = self._db.execute(
            "SELECT id, url, related FROM before"
            " WHERE NOT EXISTS (SELECT 1 FROM pins WHERE pins.id = before.id)"
            " AND NOT EXISTS (SELECT 1 FROM looked_up WHERE looked_up.id = before.id) ORDER BY n LIMIT ?",
            (limit,),
        )
        return [Before(one, url, bool(related)) for one, url, related in rows]

    # The listing

    def next_step(self) -> Step | None:
        """The page to go on with; None where the listing did not begin. A cursor grown old starts it anew."""
        row = self._one("SELECT step, at FROM steps ORDER BY n DESC LIMIT 1")
        if row is None:
            return None
        if time.time() - float(row[1]) > RESUME_SECONDS:
            self.begin_listing()
            return None
        return Step.model_validate_json(row[0]) if row[0] else None

    def begin_listing(self) -> None:
        """Forget what was listed; pictures stay."""
        with self._together():
            for table in ("steps", "pins", "ids", "refused", "looked_up"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names

    @property
    def listed_whole(self) -> bool:
        """Whether the listing came to its end."""
        row = self._one("SELECT step FROM steps ORDER BY n DESC LIMIT 1")
        return row is not None and row[0] is None

    def add_page(self, pins: Iterable[Pin], ids: Iterable[str] = (), after: Step | None = None) -> int:
        """Keep the pins of one page, with the step to the next one (None: that was all); a pin that is known
        stays as it was. How many of `ids` were never seen in this listing."""
        with self._together():
            for pin in pins:
                self.add_pin(pin)
            fresh = self._db.executemany(
                "INSERT OR IGNORE INTO ids VALUES (?)", ((one,) for one in ids)
            ).rowcount
            self._db.execute(
                "INSERT INTO steps (step, at) VALUES (?, ?)",
                (after.model_dump_json() if after else None, time.time()),
            )
        return max(fresh, 0)

    def add_pin(self, pin: Pin) -> bool:
        """Keep a listed pin; False where its id is there already."""
        with _as_os_error():
            return (
                self._db.execute(
                    "INSERT OR IGNORE INTO pins (id, pin) VALUES (?, ?)", (pin.id, json.dumps(pin.as_json()))
                ).rowcount
                == 1
            )

    def has_pin(self, pin: str) -> bool:
        """Whether this crawl listed it."""
        return self._has("pins", "id", pin)

    def refuses(self, pin: Pin, opt_outs: OptOuts) -> bool:
        """Whether a listed pin is not taken: removed for good, or wants to be left out. Noted if so."""
        reason = REMOVED if self.is_blocked(pin.id) else opt_outs.refuses(pin)
        if reason:
            self.add_refused(pin.id, reason)
        return bool(reason)

    def add_refused(self, pin: str, reason: str) -> None:
        """A pin that the site lists and we do not take."""
        self._run("INSERT OR REPLACE INTO refused VALUES (?, ?)", pin, reason)

    def pins(self) -> Iterator[Pin]:
        """The listed pins, in listing order."""
        for (text,) in self._db.execute("SELECT pin FROM pins ORDER BY n"):
            yield Pin.from_json(json.loads(text))

    def find(self, ids: Sequence[str]) -> dict[str, Pin]:
        """Those of the pins that were listed, by id."""
        found = (self._one("SELECT pin FROM pins WHERE id = ?", one) for one in ids)
        pins = (Pin.from_json(json.loads(row[0])) for row in found if row)
        return {pin.id: pin for pin in pins}

    @property
    def pin_count(self) -> int:
        """How many pins are listed."""
        row = self._one("SELECT count(*) FROM pins")
        return int(row[0]) if row else 0

    def refused(self) -> dict[str, str]:
        """Why pins were not taken, by id."""
        return dict(self._db.execute("SELECT id, reason FROM refused ORDER BY id"))

    # What belongs to pins

    def add_picture(self, url: str, body: bytes, signals: str | None = None) -> None:
        """Keep the bytes that came from `url`."""
        sha256 = hashlib.sha256(body).hexdigest()
        self._run(
            "INSERT OR REPLACE INTO fetched VALUES (?, ?, ?, ?, ?, NULL, ?)",
            *(url, sha256, self.bodies.append(body), len(body), int(time.time()), signals),
        )

    def add_failure(self, url: str, error: str, signals: str | None = None) -> None:
        """Remember why nothing came from `url`."""
        self._run(
            "INSERT OR REPLACE INTO fetched VALUES (?, NULL, NULL, NULL, NULL, ?, ?)", url, error, signals
        )

    def picture(self, url: str) -> Picture | None:
        """What is known of that address; None where it was not asked, or its bytes are gone."""
        row = self._one("SELECT sha256, start, bytes, at, error, signals FROM fetched WHERE url = ?", url)
        if row is None:
            return None
        sha256, start, size, at, error, signals = row
        if error is not None:
            return Picture(None, None, None, None, error, signals)
        if start + size > self.bodies.size:
            return None
        return Picture(sha256, start, size, datetime.fromtimestamp(at, UTC), None, signals)

    def add_related(self, pin: str, related: Sequence[str]) -> None:
        """Remember the ids that the site shows beside `pin`."""
        self._run("INSERT OR REPLACE INTO related VALUES (?, ?)", pin, json.dumps(list(related)))

    def related(self, pin: str) -> list[str] | None:
        """The ids beside `pin`; None where this crawl did not ask."""
        row = self._one("SELECT ids FROM related WHERE id = ?", pin)
        return list(json.loads(row[0])) if row else None

    def add_looked_up(self, pin: str, gone: bool) -> None:
        """Remember what the site says of a pin that it did not list."""
        self._run("INSERT OR REPLACE INTO looked_up VALUES (?, ?)", pin, gone)

    def looked_up(self) -> dict[str, bool]:
        """Whether pins are gone, by id, as far as the site was asked and answered."""
        return {one: bool(gone) for one, gone in self._db.execute("SELECT id, gone FROM looked_up")}

    def write(self, path: Path, body: bytes) -> None:
        """Write a whole file or none."""
        aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        aside.write_bytes(body)
        aside.replace(path)

    def _run(self, statement: str, *values: object) -> None:
        with _as_os_error():
            self._db.execute(statement, values)

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        with _as_os_error():
            row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        return row

    def _has(self, table: str, column: str, value: str) -> bool:
        return self._one(f"SELECT 1 FROM {table} WHERE {column} = ?", value) is not None  # noqa: S608

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Several statements, all of them or none."""
        with _as_os_error():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


@contextmanager
def _as_os_error() -> Iterator[None]:
    """SQLite's own words for a disk that is full or broken, as the system says it."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        number = errno.ENOSPC if code == _FULL else errno.EIO if code == _IO else errno.EACCES
        raise OSError(number, f"{os.strerror(number)} ({error})") from error
