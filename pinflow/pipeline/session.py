"""Dagster in this process, against the persistent instance: for `pinflow run` and `make demo`."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from pinflow.collection import Collection, Collections, load
from pinflow.pipeline.instance import prepare
from pinflow.settings import Settings

if TYPE_CHECKING:
    from pinflow.pipeline.run import Ran, Tell


class Session:
    """Opens the instance and loads the definitions once; closes the instance at the end."""

    def __init__(self, settings: Settings, collections: Collections | None = None) -> None:
        prepare(settings)
        import dagster as dg

        from pinflow.pipeline.build import build_defs
        from pinflow.pipeline.lean import lighten
        from pinflow.pipeline.resources import House

        self.collections = collections or load(settings.collections)
        self.house = House.of(settings)
        self.defs = build_defs(settings=settings, collections=self.collections)
        self.instance = dg.DagsterInstance.get()
        lighten(self.instance)

    def run(
        self, collection: Collection, *, labels: Iterable[str] | None = None, tell: Tell | None = None
    ) -> Ran:
        from pinflow.pipeline.run import run_collection

        return run_collection(self.defs, collection, self.house, self.instance, labels=labels, tell=tell)

    def renew(self, collection: Collection, *, tell: Tell | None = None) -> Ran:
        """Make what is stale, without asking the source for anything."""
        from pinflow.pipeline.run import renew_collection

        return renew_collection(self.defs, collection, self.house, self.instance, tell=tell)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.instance.dispose()
