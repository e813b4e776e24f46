"""What an asset's body works with: one stage of one label (or of a collection), its inputs and outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from pinflow.collection import Collection
from pinflow.errors import CorruptError, StoreError
from pinflow.pipeline.planning import Snapshot, recipe
from pinflow.pipeline.stages import STAGES
from pinflow.store import File, Manifest, Store, digest
from pinflow.tombstones import Tombstones


@dataclass
class Partition:
    """Reads upstream states, and drafts the new one. Nothing is visible before it is committed."""

    store: Store
    collection: Collection
    stage: str
    label: str | None = None
    trigger: str | None = None  # why it runs, see `stages`; None where somebody asked for just this
    after_commit: list[Callable[[], object]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    # wall seconds spent in each function of a room

    def commit(self, manifest: Manifest) -> Manifest:
        """Make a draft the state of this partition; what is there already is left alone."""
        if manifest.written_at:
            return manifest
        committed = self.store.commit(manifest)
        for clean_up in self.after_commit:
            clean_up()
        return committed

    @cached_property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.store, self.collection, only=self.label)

    @cached_property
    def query(self) -> str | None:
        return self.snapshot.labels[self.label].query if self.label in self.snapshot.labels else None

    @cached_property
    def previous(self) -> Manifest | None:
        """The state to build on; a damaged one is as good as none."""
        return self.snapshot.manifest(self.stage, self.label)

    @cached_property
    def unchanged(self) -> Manifest | None:
        """The state that is there, if making it again would change nothing and all of it is stored."""
        state = self.previous if self.snapshot.fresh(self.stage, self.label) else None
        return state if state and not self.store.missing(self.collection.name, _blobs(state)) else None

    def read(self, stage: str) -> Manifest:
        """The upstream state of this label, or of a roll-up. Raises `StoreError` where there is none."""
        label = self.label if STAGES[stage].per_label else None
        manifest = self.snapshot.manifest(stage, label)
        if manifest is None:
            raise StoreError(
                f"{self.collection.name}/{stage}/{label or ''} is not there: materialise it first"
            )
        return manifest

    @property
    def tombstones(self) -> Tombstones:
        """What was removed for good, as the draft will say that it was left out."""
        return self.snapshot.tombstones

    def look_again(self) -> None:
        """Forget what was read of the store, where something may have changed in the meantime."""
        self.__dict__.pop("snapshot", None)

    def read_all(self, stage: str) -> dict[str, Manifest]:
        """The upstream states of all live labels that are there."""
        return self.snapshot.manifests(stage)

    def table(self, manifest: Manifest, name: str = "table.parquet") -> pa.Table:
        return self.store.table(manifest, name)

    def last_table(self, name: str = "table.parquet") -> pa.Table | None:
        """A table of the last state to build on; none where it is damaged or its recipe was another."""
        if self.previous is None or self.previous.recipe != recipe(self.collection, self.stage):
            return None
        try:
            return self.table(self.previous, name)
        except CorruptError:
            return None

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the seconds of a room's function, so that what Dagster costs can be told apart."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start

    def put_table(self, table: pa.Table) -> File:
        return self.store.put_table(self.collection.name, table)

    def put(self, data: bytes) -> File:
        return self.store.put_file(self.collection.name, data)

    def draft(
        self,
        files: Mapping[str, File],
        *,
        facts: Mapping[str, Any] | None = None,
        stats: Mapping[str, Any] | None = None,
        identity: Any = None,
        reason: str | None = None,
        preview: Callable[[], bytes | None] | None = None,
    ) -> Manifest:
        """The new state, not yet visible. Its version is the digest of files and facts, or of
        `identity` where less than that matters downstream; a `reason` makes it incomplete. `preview`
        draws a picture for people."""
        with self.timed("preview"):
            picture = preview() if preview else None
        shown = {"preview": asdict(self.put(picture))} if picture else {}
        before = {"rows_before": self.previous.rows} if self.previous else {}
        content = {"files": {name: file.sha256 for name, file in files.items()}, "facts": dict(facts or {})}
        return Manifest(
            collection=self.collection.name,
            stage=self.stage,
            label=self.label,
            version=digest(content if identity is None else identity),
            recipe=recipe(self.collection, self.stage, self.query if self.stage == "pins" else None),
            inputs=self.snapshot.inputs(self.stage, self.label) or {},
            files=dict(sorted(files.items())),
            facts=dict(facts or {}),
            stats={**(stats or {}), **shown, **before, "seconds": _rounded(self.seconds)},
            status="incomplete" if reason else "complete",
            reason=reason,
        )


def _blobs(state: Manifest) -> Iterator[str]:
    """Every blob of a state, the preview for people included."""
    yield from (file.sha256 for file in state.files.values())
    if shown := state.stats.get("preview"):
        yield str(shown["sha256"])


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}
