"""What the routes are made of, put together once: no route opens anything by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request

from pinflow.retrieval.searcher import Searcher
from pinflow.retrieval.why import LoadLens
from pinflow.serving.asking import searcher_of
from pinflow.serving.gate import Gate
from pinflow.serving.links import Links
from pinflow.serving.metrics import Metrics
from pinflow.serving.releases import Releases
from pinflow.serving.state.backup import Backups
from pinflow.serving.state.database import Database
from pinflow.serving.state.purging import forget_all
from pinflow.settings import Settings
from pinflow.store import Store, open_store
from pinflow.tombstones import Tombstones


@dataclass(frozen=True)
class Services:
    """One a server."""

    releases: Releases
    settings: Settings
    database: Database
    backups: Backups
    links: Links
    load_lens: LoadLens | None = None
    metrics: Metrics = field(default_factory=Metrics)
    gate: Gate = field(default_factory=Gate)

    @classmethod
    def of(
        cls,
        releases: Releases,
        settings: Settings,
        *,
        links: Links | None = None,
        load_lens: LoadLens | None = None,
        store: Callable[[], Store] | None = None,
    ) -> Services:
        """As the settings say. What is given is for tests."""
        database = Database.of(settings)
        backups = Backups(database, store or (lambda: open_store(settings.storage_url)))
        return cls(releases, settings, database, backups, links or Links(contact=settings.contact), load_lens)

    def forget(self, collection: str, removed: Tombstones) -> None:
        """Nothing that people left behind, nor any backup of it, names what is erased. Raises `StateError`,
        `StoreError`."""
        forget_all(self.database, self.backups, collection, removed.erased)

    def searcher(self, name: str) -> Searcher:
        """As `searcher_of`."""
        return searcher_of(self.releases, name)


def owner(request: Request) -> str:
    """Whose boards and history the request is about."""
    return str(request.state.owner)
