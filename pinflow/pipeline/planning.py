"""What is stale, and why: the manifests in the store against what they would be made from now.

The store is the truth; Dagster's records are claims about it. Everybody who asks "is there anything
to do" asks here: assets before they compute, the automation, `pinflow run` and `pinflow doctor`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pinflow import registry, tombstones
from pinflow.collection import Collection
from pinflow.errors import CorruptError
from pinflow.learning import text
from pinflow.learning.weights import packaged
from pinflow.pipeline.stages import STAGES
from pinflow.scraping import optout
from pinflow.scraping.optout import OptOuts
from pinflow.store import Manifest, Store, digest
from pinflow.tombstones import Tombstones

if TYPE_CHECKING:
    import pyarrow as pa

RETUNE_SHARE = 0.2  # share of rows new since the served encoder at which it is tuned again
RETUNE_HOURS = 20.0  # so that it happens nightly at most
# The first retry of an incomplete scrape is at the next tick, the second after this, then twice as long.
RETRY_FIRST_SECONDS = 60.0
RETRY_LONGEST_SECONDS = 24 * 3600.0
# What leaves out removed pins by itself, and the table that shows whether it still holds one. What is
# downstream of these follows.
LEAVES_OUT_REMOVED = {
    "pins": "pins.parquet",
    "images": "pictures.parquet",
    "encoder": "rows.parquet",
    "tagger": "rows.parquet",
    "index": "rows.parquet",
    "gallery": "pins.parquet",
}
LOOKED_AT_MOST = 100_000  # verdicts kept in this process, of tables by digest
ERASING = "erasing"  # the folder of what a purge has still to erase, see `removal`
REMOVALS = ("tombstones", "opt_outs")  # the inputs that are no stages


def recipe(collection: Collection, stage: str, query: str | None = None) -> str:
    """Digest of the parameters that change a stage's result."""
    encoder = collection.encoder
    parameters: dict[str, Any] = {
        "pins": {"source": collection.source.model_dump(mode="json"), "query": query},
        "splits": {"group_by": collection.group_by},
        "features": {"trunk": encoder.trunk},
        "encoder": {"recipe": encoder.model_dump(mode="json"), "attributes": collection.attributes},
        "tagger": {"trunk": encoder.trunk},
        "comparison": {"trunk": encoder.trunk, "installed": packaged()},
        # Installed later, it is wanted at once.
        "text_encoder": {"sentences": text.available()},
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
    def tombstones(self) -> Tombstones:
        """All that was removed for good. Raises `CorruptError` naming a damaged one."""
        return tombstones.read(self.store, self.collection.name)

    @cached_property
    def opt_outs(self) -> OptOuts:
        return optout.read(self.store)

    @cached_property
    def erasing(self) -> bool:
        """Whether older releases and blobs of removed pins are still to go."""
        return bool(self.store.names(self.collection.name, ERASING))

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
            states = self._read_by(name, label)
            if not states:
                return None
            versions = {slug: _version(stage, manifest) for slug, manifest in states.items()}
            found[name] = versions if STAGES[name].per_label and label is None else versions[label]
        for name in STAGES[stage].shows:
            if shown := self.manifest(name):
                found[name] = shown.version
        return found | self.removals(stage)

    def removals(self, stage: str) -> dict[str, str]:
        """The versions of what takes pins out of a stage, as far as there is any."""
        found: dict[str, str] = {}
        if stage in LEAVES_OUT_REMOVED and self.tombstones.digest:
            found["tombstones"] = self.tombstones.digest
        if stage == "pins" and self.opt_outs.digest:
            found["opt_outs"] = self.opt_outs.digest
        return found

    def possible(self, stages: Sequence[str], label: str | None = None) -> list[str]:
        """Those of the stages that can be made one after the other: what each reads is there, or is made
        before it."""
        chosen: list[str] = []
        for stage in stages:
            reads = STAGES[stage].reads
            if all(name in chosen if name in stages else self._read_by(name, label) for name in reads):
                chosen.append(stage)
        return chosen

    def _read_by(self, stage: str, label: str | None) -> Mapping[Any, Manifest]:
        """The states of the stage that a reader of that label (None: a roll-up) takes, by label."""
        if STAGES[stage].per_label and label is None:
            return self.manifests(stage)
        manifest = self.manifest(stage, label if STAGES[stage].per_label else None)
        return {} if manifest is None else {label: manifest}

    def fresh(self, stage: str, label: str | None = None) -> bool:
        """Whether making the stage again would change nothing."""
        manifest, now = self.manifest(stage, label), self.inputs(stage, label)
        return (
            manifest is not None
            and now is not None
            and manifest.recipe == recipe(self.collection, stage)
            and _of_stages(manifest.inputs) == _of_stages(now)
            and not self.removal_due(stage, label)
            and not (stage == "release" and self.erasing)
        )

    def removal_due(self, stage: str, label: str | None = None) -> bool:
        """Whether the state still holds a removed pin. Its table is looked at only where it was made
        before the last tombstone, so that one of another label costs nothing here."""
        manifest, now = self.manifest(stage, label), self.removals(stage)
        if manifest is None or not now or all(manifest.inputs.get(name) == one for name, one in now.items()):
            return False
        file = manifest.files.get(LEAVES_OUT_REMOVED[stage])
        return file is not None and _holds_removed(
            self.store, self.collection.name, stage, file.sha256, self.tombstones, self.opt_outs
        )

    def stale(self, stage: str) -> set[str | None]:
        """The partitions (None for a roll-up) that should be made now with what is upstream now; never of
        what is made by hand."""
        if STAGES[stage].by_hand:
            return set()
        labels: list[str | None] = [*sorted(self.labels)] if STAGES[stage].per_label else [None]
        rules: dict[str, Callable[[str | None], bool]] = {
            "pins": lambda label: self.scrape_due(label) or self.removal_due("pins", label),
            "encoder": lambda _: self.tune_due("encoder") or self.removal_due("encoder"),
            "tagger": lambda _: self.tune_due("tagger") or self.removal_due("tagger"),
            "text_encoder": lambda _: self.words_due(),
        }
        due = rules.get(stage) or (lambda label: not self.fresh(stage, label))
        return {label for label in labels if self.inputs(stage, label) is not None and due(label)}

    def scrape_due(self, label: str | None) -> bool:
        """Whether the source should be asked: never scraped, by another recipe, or a retry is due."""
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

    def tune_due(self, stage: str) -> bool:
        """Whether the encoder or the tagger should be fitted: never, by another recipe, or on too few of
        the rows. A tagger also knows nothing of a label that came since."""
        manifest = self.manifest(stage)
        if manifest is None or manifest.recipe != recipe(self.collection, stage):
            return True
        known = manifest.facts.get("rows", {})
        rows = {slug: features.rows for slug, features in self.manifests("features").items()}
        new = sum(max(0, count - known.get(slug, 0)) for slug, count in rows.items())
        grown = new > RETUNE_SHARE * max(1, sum(rows.values()))
        grown = grown or (stage == "tagger" and any(rows[slug] and not known.get(slug) for slug in rows))
        return grown and self._age_seconds(manifest) >= RETUNE_HOURS * 3600

    def words_due(self) -> bool:
        """Whether the text encoder should be fitted: as others, and whenever another encoder is served."""
        manifest, encoder = self.manifest("text_encoder"), self.manifest("encoder")
        moved = manifest and encoder and manifest.facts.get("encoder") != encoder.facts.get("served")
        return bool(moved) or self.tune_due("text_encoder")

    def _age_seconds(self, manifest: Manifest) -> float:
        return (self.now - datetime.fromisoformat(manifest.written_at)).total_seconds()


_looked: dict[tuple[str, str, str, str | None, str | None], bool] = {}


def _of_stages(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: version for name, version in inputs.items() if name not in REMOVALS}


def _holds_removed(
    store: Store, collection: str, stage: str, sha256: str, removed: Tombstones, opt_outs: OptOuts
) -> bool:
    """Whether the table of that digest holds a removed pin; asked once a process. A table that cannot be
    read has to be made again anyway."""
    key = (collection, stage, sha256, removed.digest, opt_outs.digest)
    if key not in _looked:
        try:
            data = store.get(collection, sha256)
        except CorruptError:
            return True
        if len(_looked) >= LOOKED_AT_MOST:
            _looked.clear()
        _looked[key] = _look(data, stage, removed, opt_outs)
    return _looked[key]


def _look(data: bytes, stage: str, removed: Tombstones, opt_outs: OptOuts) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(data))
    if stage in ("encoder", "tagger"):  # fitted again by their own rule; till then they name no erased pin
        return removed.names(table)
    if stage == "pins":
        return removed.holds(table) or bool(opt_outs.refused(table))
    return removed.holds(table) or (stage == "images" and _resembles(table, removed))


def _resembles(pictures: pa.Table, removed: Tombstones) -> bool:
    """Whether a picture may be a copy of a removed one. The signatures are compared as it is made again."""
    import numpy as np

    from pinflow.imaging.duplicates import proposed

    hashes = pictures["phash"].to_numpy().astype(np.uint64)
    return any(True for _ in proposed(hashes, np.array(sorted(removed.phashes), np.uint64)))


def _version(reader: str, manifest: Manifest) -> str:
    """What `reader` depends on. The report and the release follow every file of the encoder, the
    embeddings only what it serves. A release also says which labels are incomplete, and why."""
    if manifest.stage == "encoder" and reader in ("evaluation", "release"):
        return manifest.content
    if manifest.stage == "pins" and reader == "release":
        return digest([manifest.status, manifest.reason])
    return manifest.version
