"""Small houses to test the pipeline with: made pictures in a folder, an in-memory Dagster instance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from pinflow import registry, releases
from pinflow.collection import Collection, Collections, Source
from pinflow.pipeline.build import build_defs
from pinflow.pipeline.jobs import comparison_job, phase_job
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.partitions import mirror
from pinflow.pipeline.planning import Snapshot, recipe
from pinflow.pipeline.resources import House
from pinflow.pipeline.run import Ran, run_collection
from pinflow.pipeline.stages import BY_ITSELF, STAGES, TRIGGER
from pinflow.settings import Settings
from pinflow.store import Manifest, Store, digest, open_store

LONG_AGO = "2025-01-01T00:00:00+00:00"
QUERIES = ["plain red", "plain green", "plain blue"]
SLUGS = ["plain-blue", "plain-green", "plain-red"]


@dataclass
class Tiny:
    """One collection `tiny`, whose source is the folder `pictures/market`."""

    root: Path
    queries: list[str] = field(default_factory=lambda: list(QUERIES))
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    @cached_property
    def settings(self) -> Settings:
        return Settings(home=self.root / "home")

    @property
    def pictures(self) -> Path:
        return self.root / "pictures" / "market"

    @cached_property
    def collection(self) -> Collection:
        return Collection(
            name="tiny", source=Source(kind="folder", path=str(self.pictures)), labels=self.queries
        )

    @cached_property
    def defs(self) -> dg.Definitions:
        return build_defs(settings=self.settings, collections=Collections({"tiny": self.collection}))

    @cached_property
    def house(self) -> House:
        return House.of(self.settings)

    @property
    def store(self) -> Store:
        return open_store(self.settings.storage_url)

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.store, self.collection)

    def run(self, **options: Any) -> Ran:
        """The whole collection, as `pinflow run` does it."""
        return run_collection(self.defs, self.collection, self.house, self.instance, **options)

    def materialize(
        self, stages: Iterable[str], label: str | None = None, trigger: str | None = None
    ) -> dg.ExecuteInProcessResult:
        """One Dagster run of those stages, all of one phase, by hand unless a trigger is named."""
        keys = [dg.AssetKey(["tiny", stage]) for stage in stages]
        stage = STAGES[keys[0].path[-1]]
        job = comparison_job("tiny") if stage.by_hand else phase_job("tiny", stage.phase)
        mirror(self.instance, "tiny", set(registry.live(self.store, "tiny")))
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=label,
            asset_selection=keys,
            raise_on_error=False,
            tags={TRIGGER: trigger} if trigger else None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def part(self, stage: str, label: str | None = None) -> Partition:
        return Partition(self.store, self.collection, stage, label)

    def versions(self) -> dict[tuple[str, str | None], str]:
        """The version of every state that there is."""
        return {place: manifest.version for place, manifest in states(self.snapshot).items()}

    def current(self) -> str | None:
        return releases.current(self.store, "tiny")

    def release(self) -> dict[str, Any]:
        """What the release in use says of itself."""
        return releases.describe(self.store, "tiny", self.current() or "")

    def add_labels(self, queries: Iterable[str], added: str = LONG_AGO) -> None:
        """Labels that have been there for long, and their partitions."""
        add_labels(self.store, "tiny", queries, added)
        mirror(self.instance, "tiny", set(registry.live(self.store, "tiny")))


def states(snapshot: Snapshot) -> dict[tuple[str, str | None], Manifest]:
    """Every state of the live labels and the roll-ups."""
    found: dict[tuple[str, str | None], Manifest] = {}
    for stage in STAGES.values():
        if stage.per_label:
            found |= {(stage.name, label): m for label, m in snapshot.manifests(stage.name).items()}
        elif (manifest := snapshot.manifest(stage.name)) is not None:
            found[stage.name, None] = manifest
    return found


def add_labels(store: Store, collection: str, queries: Iterable[str], added: str = LONG_AGO) -> None:
    for label in registry.add(store, collection, queries, source="a test"):
        content = {**label.__dict__, "added": added}
        store.write(json.dumps(content).encode(), collection, "labels", f"{label.slug}.json")


def pretend(
    store: Store,
    collection: Collection,
    stages: Iterable[str] = tuple(BY_ITSELF),
    *,
    labels: Iterable[str] | None = None,
    salt: str = "",
    facts: Mapping[str, Any] | None = None,
    stats: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """Commit states that look made from what is upstream now, without making anything."""
    for stage in stages:
        snapshot = Snapshot(store, collection)
        some: list[str | None] = [*(labels or snapshot.labels)] if STAGES[stage].per_label else [None]
        for label in some:
            query = snapshot.labels[label].query if stage == "pins" and label else None
            store.commit(
                Manifest(
                    collection=collection.name,
                    stage=stage,
                    label=label,
                    version=digest([stage, label, salt]),
                    recipe=recipe(collection, stage, query),
                    inputs=snapshot.inputs(stage, label) or {},
                    files={},
                    facts=dict(facts or {}),
                    stats=dict(stats or {}),
                    status="incomplete" if reason else "complete",
                    reason=reason,
                )
            )


def change_pictures(house: Tiny, label: str = "plain-red") -> None:
    """Every picture of a label is another one than before: upside down."""
    from PIL import Image

    for path in sorted((house.pictures / label).glob("*.jpg")):
        with Image.open(path) as picture:
            turned = picture.transpose(Image.Transpose.ROTATE_180)
        turned.save(path, quality=70)
