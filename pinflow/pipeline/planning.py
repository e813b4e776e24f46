"""What is stale, and why: the manifests in the store against what they would be made from now.

The store is the truth; Dagster's records are claims about it. Everybody who asks "is there anything
to do" asks here: assets before they compute, the automation, `pinflow run` and `pinflow doctor`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from pinflow import registry
from pinflow.collection import Collection
from pinflow.errors import CorruptError
from pinflow.pipeline.stages import STAGES
from pinflow.store import Manifest, Store, digest

RETUNE_SHARE = 0.2  # share of rows new since the served encoder at which it is tuned again
RETUNE_HOURS = 20.0  # so that it happens nightly at most
# The first retry of an incomplete scrape is at the next tick, the second after this, then twice as long.
RETRY_FIRST_SECONDS = 60.0
RETRY_LONGEST_SECONDS = 24 * 3600.0
LEAVES_OUT_REMOVED = ("images", "index", "gallery")  # what reads the tombstones


def recipe(collection: Collection, stage: str, query: str | None = None) -> str:
    """Digest of the parameters that change a stage's result."""
    encoder = collection.encoder
    parameters: dict[str, Any] = {
        "pins": {"source": collection.source.model_dump(mode="json"), "query": query},
        "splits": {"group_by": collection.group_by},
        "features": {"trunk": encoder.trunk},
        "encoder": {"recipe": encoder.model_dump(mode="json"), "attributes": collection.attributes},
        "label_encoder": {"tune": encoder.tune},
        "release": {"description": collection.description},
    }
    return digest({"code": STAGES[stage].code, "parameters": parameters.get(stage)})


@dataclass
class Snapshot:
    """One consistent look at a collection. Cheap to make; reads each stage's manifests at most once.

    With `only`, looks at that one label alone, so that a label's own step costs the same at 300
    labels as at 3.
    """

    store: Store
    collection: Collection
    only: str | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _seen: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    @cached_property
    def labels(self) -> dict[str, registry.Label]:
        """The live labels, by slug; with `only`, that one."""
        if self.only is not None:
            label = registry.find(self.store, self.collection.name, self.only)
            return {self.only: label} if label and label.removed is None else {}
        return registry.live(self.store, self.collection.name)

    @cached_property
    def tombstones(self) -> str | None:
        """Digest of all that was removed for good; None before the first."""
        files = self.store.documents(self.collection.name, "tombstones")
        return digest({name: data.decode() for name, data in files.items()}) if files else None

    def manifest(self, stage: str, label: str | None = None) -> Manifest | None:
        """The state of one partition; None where it was never made or is damaged."""
        if label is not None and self.only is None:
            return self.manifests(stage).get(label)
        key = (stage, label)
        if key not in self._seen:
            try:
                self._seen[key] = self.store.manifest(self.collection.name, stage, label)
            except CorruptError:
                self._seen[key] = None
        found: Manifest | None = self._seen[key]
        return found

    def manifests(self, stage: str) -> dict[str, Manifest]:
        """The states of the live labels that are there."""
        key = (stage, "*")
        if key not in self._seen:
            states = self.store.manifests(self.collection.name, stage)
            self._seen[key] = {slug: states[slug] for slug in sorted(self.labels) if slug in states}
        found: dict[str, Manifest] = self._seen[key]
        return found

    def inputs(self, stage: str, label: str | None = None) -> dict[str, Any] | None:
        """The versions that the stage would be made from now, by upstream stage; None where it cannot
        be made because something upstream is not there."""
        found: dict[str, Any] = {}
        for name in STAGES[stage].reads:
            if STAGES[name].per_label and label is None:
                versions = {
                    slug: _version(stage, manifest) for slug, manifest in self.manifests(name).items()
                }
                if not versions:
                    return None
                found[name] = versions
            else:
                manifest = self.manifest(name, label if STAGES[name].per_label else None)
                if manifest is None:
                    return None
                found[name] = _version(stage, manifest)
        if stage in LEAVES_OUT_REMOVED and self.tombstones:
            found["tombstones"] = self.tombstones
        return found

    def fresh(self, stage: str, label: str | None = None) -> bool:
        """Whether making the stage again would change nothing."""
        manifest = self.manifest(stage, label)
        return (
            manifest is not None
            and manifest.recipe == recipe(self.collection, stage)
            and manifest.inputs == self.inputs(stage, label)
        )

    def stale(self, stage: str) -> set[str | None]:
        """The partitions (None for a roll-up) that should be made now with what is upstream now."""
        labels: list[str | None] = [*sorted(self.labels)] if STAGES[stage].per_label else [None]
        rules: dict[str, Callable[[str | None], bool]] = {"pins": self._scrape_due, "encoder": self._tune_due}
        due = rules.get(stage) or (lambda label: not self.fresh(stage, label))
        return {label for label in labels if self.inputs(stage, label) is not None and due(label)}

    def _scrape_due(self, label: str | None) -> bool:
        manifest = self.manifest("pins", label)
        if manifest is None or manifest.recipe != recipe(
            self.collection, "pins", self.labels[str(label)].query
        ):
            return True
        if manifest.status == "complete":
            return False
        attempts = int(manifest.stats.get("attempts", 1))
        wait = (
            0.0 if attempts <= 1 else min(RETRY_FIRST_SECONDS * 2.0 ** (attempts - 2), RETRY_LONGEST_SECONDS)
        )
        return self._age_seconds(manifest) >= wait

    def _tune_due(self, _: str | None) -> bool:
        manifest = self.manifest("encoder")
        if manifest is None or manifest.recipe != recipe(self.collection, "encoder"):
            return True
        known = manifest.facts.get("rows", {})
        rows = {slug: features.rows for slug, features in self.manifests("features").items()}
        new = sum(max(0, count - known.get(slug, 0)) for slug, count in rows.items())
        grown = new > RETUNE_SHARE * max(1, sum(rows.values()))
        return grown and self._age_seconds(manifest) >= RETUNE_HOURS * 3600

    def _age_seconds(self, manifest: Manifest) -> float:
        return (self.now - datetime.fromisoformat(manifest.written_at)).total_seconds()


def _version(reader: str, manifest: Manifest) -> str:
    """What `reader` depends on. The report and the release follow every file of the encoder, the
    embeddings only what it serves. A release also says which labels are incomplete, and why."""
    if manifest.stage == "encoder" and reader in ("evaluation", "release"):
        return manifest.content
    if manifest.stage == "pins" and reader == "release":
        return digest([manifest.status, manifest.reason])
    return manifest.version
