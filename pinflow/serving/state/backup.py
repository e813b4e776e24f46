"""Backups of the database in storage, and back. Safe while in use: whoever reads or writes meanwhile sees the
old content or the new.

A backup is a SQLite file whatever the database is, so that one of a laptop can be restored into a server's
PostgreSQL. Its name tells when it was made, and its digest, so that a damaged one is not restored. It
stands in the storage of the collections, in a folder that no collection can be called.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field
from sqlalchemy import Connection, func, insert, select, text

from pinflow.errors import StateError
from pinflow.serving.state.database import Database
from pinflow.serving.state.forget import forget
from pinflow.serving.state.tables import metadata
from pinflow.store import Store

FOLDER = ".backups"
NAME = re.compile(r"(\d{8}T\d{6}Z)-([0-9a-f]{16})\.sqlite")
_WHEN = "%Y%m%dT%H%M%SZ"
_ROWS_AT_ONCE = 1000


class Backup(BaseModel):
    """A backup in storage."""

    name: str = Field(examples=["20261125T030000Z-0123456789abcdef.sqlite"])
    created_at: str = Field(description="ISO 8601, UTC")


class BackupContent(Backup):
    """A backup with what is in it."""

    bytes: int
    rows: dict[str, int] = Field(description="by table", examples=[{"boards": 2, "board_pins": 31}])


class Backups:
    """The backups of one database. `store` opens the storage when it is needed."""

    def __init__(self, database: Database, store: Callable[[], Store]) -> None:
        self._database = database
        self._store = store
        # A backup that began before a purge must not appear behind its back.
        self._one_at_a_time = threading.Lock()

    def all(self) -> list[Backup]:
        """Newest first. Raises `StoreError`."""
        found = [name for name in self._store().names(FOLDER) if NAME.fullmatch(name)]
        return [Backup(name=name, created_at=_made(name)) for name in sorted(found, reverse=True)]

    def make(self) -> BackupContent:
        """Write a backup. Raises `StateError`, `StoreError`."""
        with self._one_at_a_time, _temporary() as file:
            self._snapshot(file)
            _compact(file)
            return self._write(file, datetime.now(UTC).strftime(_WHEN))

    def restore(self, name: str, removed: Mapping[str, Collection[str]]) -> BackupContent | None:
        """Replace all content by that of a backup, in one transaction. `removed`: by collection, pins that
        must not come back. None where there is no such backup.

        Raises `StateError` for one that is damaged or of a newer pinflow; then nothing has changed.
        """
        data = self._read(name)
        if data is None:
            return None
        with self._one_at_a_time, _opened(data, name) as old:
            with old.begin() as source:
                for collection, pins in removed.items():
                    forget(source, collection, pins)
                rows = _counts(source)
            with old.begin() as source, self._database.begin() as target:
                if target.dialect.name == "postgresql":
                    tables = ", ".join(table.name for table in metadata.sorted_tables)
                    target.execute(text(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))
                for table in reversed(metadata.sorted_tables):
                    target.execute(table.delete())
                _copy(source, target)
        return BackupContent(name=name, created_at=_made(name), bytes=len(data), rows=rows)

    def forget(self, collection: str, pins: Collection[str]) -> list[str]:
        """Write backups that name one of the pins anew, without it. The names of those that are gone;
        one that cannot be read any more is among them."""
        dropped = []
        with self._one_at_a_time:
            for backup in self.all():
                data = self._read(backup.name)
                if data is None:
                    continue
                try:
                    with _opened(data, backup.name) as old:
                        with old.begin() as connection:
                            held = forget(connection, collection, pins)
                        if not held:
                            continue
                        old.dispose()
                        assert old.file is not None
                        _compact(old.file)
                        self._write(old.file, backup.name.partition("-")[0])
                except StateError:
                    pass  # what cannot be read cannot be restored either, and may hold anything
                self._store().delete(FOLDER, backup.name)
                dropped.append(backup.name)
        return dropped

    def _snapshot(self, file: Path) -> None:
        with self._database.begin():
            pass  # the tables are there
        if self._database.file is not None:
            # SQLite's online backup: a consistent copy, while others write.
            source = sqlite3.connect(f"{self._database.file.absolute().as_uri()}?mode=ro", uri=True)
            with closing(source), closing(sqlite3.connect(file)) as target:
                source.backup(target)
            return
        fresh = _sqlite(file)
        try:
            with self._database.engine.connect() as source_, fresh.begin() as target_:
                _copy(source_.execution_options(isolation_level="REPEATABLE READ"), target_)
        finally:
            fresh.dispose()

    def _write(self, file: Path, when: str) -> BackupContent:
        data = file.read_bytes()
        name = f"{when}-{hashlib.sha256(data).hexdigest()[:16]}.sqlite"
        with _opened(data, name) as written, written.begin() as connection:
            rows = _counts(connection)
        self._store().write(data, FOLDER, name)
        return BackupContent(name=name, created_at=_made(name), bytes=len(data), rows=rows)

    def _read(self, name: str) -> bytes | None:
        if not NAME.fullmatch(name):
            return None
        try:
            return self._store().read(FOLDER, name)
        except FileNotFoundError:
            return None


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Database]:
    """A backup as a database in the newest shape, in a folder of its own. Raises `StateError`."""
    promised = NAME.fullmatch(name)
    if promised is None or hashlib.sha256(data).hexdigest()[:16] != promised[2]:
        raise StateError(f"the backup {name} is damaged; restore another")
    with _temporary() as file:
        file.write_bytes(data)
        database = _sqlite(file)
        try:
            with database.begin() as connection:
                if connection.scalar(text("PRAGMA quick_check")) != "ok":
                    raise StateError(f"the backup {name} is damaged; restore another")
            yield database
        finally:
            database.dispose()


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pinflow-backup-") as folder:
        yield Path(folder) / "state.db"


def _sqlite(file: Path) -> Database:
    return Database(f"sqlite:///{file}")


def _compact(file: Path) -> None:
    """One file without a log beside it, and without what was deleted."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("VACUUM")


def _copy(source: Connection, target: Connection) -> None:
    for table in metadata.sorted_tables:
        rows = source.execute(select(table))
        for part in rows.mappings().partitions(_ROWS_AT_ONCE):
            target.execute(insert(table), [dict(row) for row in part])


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in metadata.sorted_tables
    }


def _made(name: str) -> str:
    when = datetime.strptime(name.partition("-")[0], _WHEN).replace(tzinfo=UTC)
    return when.isoformat(timespec="seconds")
