"""A purge, carried out in all that people left behind: the database first, then its backups."""

from __future__ import annotations

from collections.abc import Collection

from pinflow.serving.state.backup import Backups
from pinflow.serving.state.database import Database
from pinflow.serving.state.forget import forget
from pinflow.settings import Settings
from pinflow.store import open_store


def forget_all(database: Database, backups: Backups, collection: str, pins: Collection[str]) -> None:
    """Nothing of either names one of the pins any more. Raises `StateError`, `StoreError`."""
    if not pins:
        return
    if database.exists:
        with database.begin() as connection:
            forget(connection, collection, pins)
    backups.forget(collection, pins)


def forget_as_set(settings: Settings, collection: str, pins: Collection[str]) -> None:
    """The same for the database and the storage of the settings."""
    database = Database.of(settings)
    try:
        backups = Backups(database, lambda: open_store(settings.storage_url))
        forget_all(database, backups, collection, pins)
    finally:
        database.dispose()
