"""What assets and sensors are handed: where things are stored and what the machine offers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from pinflow.collection import Collection
from pinflow.pipeline.partition import Partition
from pinflow.settings import Settings, engines
from pinflow.store import Store, open_store

if TYPE_CHECKING:
    from pinflow.learning.trunk import Trunk


class House(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The storage and the local folder of one deployment."""

    storage: str
    home: str
    device: str | None = None
    contact: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> House:
        return cls(
            storage=settings.storage_url,
            home=str(settings.home_path),
            device=settings.device,
            contact=settings.contact,
        )

    @property
    def store(self) -> Store:
        return open_store(self.storage)

    @property
    def pinterest_token(self) -> str | None:
        """Read where it is used: what a resource holds is shown in Dagster's pages."""
        return Settings().pinterest_token

    def trunk(self, name: str) -> Trunk:
        """The trunk, loaded once a process: labels are worked on one after another."""
        return _trunk(name, self.device, engines(self.home))

    def fresh_trunk(self, name: str) -> Trunk:
        """A trunk to be tuned: on a CPU at a reduced size."""
        from pinflow.learning.full import to_tune

        return to_tune(name, self.device)

    def tuned(self, digest: str, data: bytes) -> Trunk:
        """The trunk of a checkpoint, loaded once a process."""
        return _tuned(digest, data, self.device, engines(self.home))

    def tuning_folder(self, collection: str) -> Path:
        """Where pixels lie while a trunk is tuned, and how far an interrupted tuning came."""
        return Path(self.home) / "tuning" / collection

    def style(self, name: str) -> Trunk:
        """The early layers of that trunk, loaded once a process too."""
        return _style(name, self.device, engines(self.home))

    def partition(self, collection: Collection, stage: str, label: str | None = None) -> Partition:
        return Partition(self.store, collection, stage, label)

    def crawl_folder(self, collection: str, label: str) -> Path:
        """Where an unfinished crawl keeps what it has, so that it can go on after a crash."""
        return Path(self.home) / "crawl" / collection / label


@lru_cache(maxsize=1)
def _trunk(name: str, device: str | None, engines: Path) -> Trunk:
    from pinflow.learning.trunk import load_trunk

    return load_trunk(name, device=device, engines=engines)


@lru_cache(maxsize=1)
def _tuned(digest: str, data: bytes, device: str | None, engines: Path) -> Trunk:
    from pinflow.learning.trunk import tuned_trunk

    return tuned_trunk(data, digest, device=device, engines=engines)


@lru_cache(maxsize=1)
def _style(name: str, device: str | None, engines: Path) -> Trunk:
    from pinflow.learning.style.statistics import load_style

    return load_style(name, device=device, engines=engines)
