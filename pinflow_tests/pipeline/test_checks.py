"""Every check against a state that violates it: a blocking one stops what is downstream and the release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pinflow import tombstones
from pinflow.errors import CheckFailed
from pinflow.pipeline import assets, checks
from pinflow.pipeline.assets.rollups import verify
from pinflow.pipeline.stages import STAGES
from pinflow.tombstones import Tombstone
from pinflow_tests.pipeline.houses import SLUGS, Tiny, change_pictures

Change = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class Violation:
    """A state that breaks one check: one table of it changed, or some facts or stats."""

    check: str
    stage: str
    table: str = "table.parquet"
    change: Change | None = None
    state: Mapping[str, Any] = field(default_factory=dict)

    def commit(self, house: Tiny) -> None:
        label = "plain-red" if STAGES[self.stage].per_label else None
        manifest = house.store.manifest("tiny", self.stage, label)
        files = dict(manifest.files)
        if self.change:
            name = next(file for file in files if file.startswith(self.table))
            files[name] = house.store.put_table("tiny", self.change(house.store.table(manifest, name)))
        state = {key: merged(getattr(manifest, key), value) for key, value in self.state.items()}
        house.store.commit(replace(manifest, version="tampered", files=files, **state))

    def verdict(self, house: Tiny) -> dg.AssetCheckResult:
        part = house.part(self.stage, "plain-red" if STAGES[self.stage].per_label else None)
        found = {result.check_name: result for result in checks.results(part, part.read(self.stage))}
        return found[self.check]

    def __str__(self) -> str:
        return f"{self.stage}-{self.check}"


@dataclass(frozen=True)
class Buried(Violation):
    """A state that holds a pin, or the picture of one, that was removed after it was made."""

    by: str = "id"

    def commit(self, house: Tiny) -> None:
        label = "plain-red" if STAGES[self.stage].per_label else None
        rows = house.store.table(house.store.manifest("tiny", self.stage, label), self.table)
        told = (
            {"id": rows["id"][0].as_py()} if self.by == "id" else {"pictures": (rows["sha256"][0].as_py(),)}
        )
        tombstones.add(house.store, "tiny", [Tombstone(**{"id": "another", "reason": "purged", **told})])

    def __str__(self) -> str:
        return f"{super().__str__()}-{self.by}"


def merged(old: Any, new: Any) -> Any:
    return {**old, **new} if isinstance(new, Mapping) else new


def with_column(name: str, values: Callable[[pa.Table], Any]) -> Change:
    """The table with one column changed, of the type it had."""

    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        column = pa.array(values(table), table.schema.field(name).type)
        return table.set_column(place, pa.field(name, column.type), column)

    return change


def without(name: str) -> Change:
    return lambda table: table.drop_columns([name])


def first_null(name: str) -> Change:
    return with_column(name, lambda table: [None, *table[name].to_pylist()[1:]])


def straddling(table: pa.Table) -> pa.Table:
    """Two pictures of one group, one in train and one in test."""
    together = with_column("group", lambda t: ["one group"] * t.num_rows)(table)
    return with_column("split", lambda t: ["train", *["test"] * (t.num_rows - 1)])(together)


def all_tested(table: pa.Table) -> pa.Table:
    """Every picture is a test picture, those that were trained on too."""
    return with_column("split", lambda t: ["test"] * t.num_rows)(table)


def all_held_out(table: pa.Table) -> pa.Table:
    """No picture may be learned from, those that were among them."""
    return with_column("split", lambda t: ["held_out"] * t.num_rows)(table)


def stretched(column: str) -> Change:
    return with_column(column, lambda t: [[2 * x for x in row] for row in t[column].to_pylist()])


def as_doubles(table: pa.Table) -> pa.Table:
    width = table.schema.field("vector").type.list_size
    column = table["vector"].cast(pa.list_(pa.float64(), width))
    return table.set_column(table.schema.get_field_index("vector"), "vector", column)


TWO_ENCODERS = {"facts": {"encoders": ["a" * 64, "b" * 64]}}
BLOCKING = [
    Violation("schema", "pins", "pins.parquet", without("title")),
    Violation("schema", "pins", "pins.parquet", first_null("id")),
    Violation("schema", "images", "pictures.parquet", without("phash")),
    Violation("schema", "images", "shard-", without("jpeg")),
    Violation("schema", "images", "thumbnails-", first_null("webp")),
    Violation("nothing_lost", "images", "pictures.parquet", lambda table: table.slice(1)),
    Violation("nothing_lost", "images", "pictures.parquet", lambda t: pa.concat_tables([t, t.slice(0, 1)])),
    Violation("schema", "splits", change=without("fold")),
    Violation("no_group_across_splits", "splits", change=straddling),
    Violation("schema", "features", change=as_doubles),
    Violation("no_group_across_splits", "encoder", "rows.parquet", straddling),
    Violation("no_test_picture_in_training", "encoder", "rows.parquet", all_tested),
    Violation("schema", "tagger", "suspects.parquet", without("suggested")),
    Violation("no_group_across_splits", "tagger", "rows.parquet", straddling),
    Violation("no_test_picture_in_training", "tagger", "rows.parquet", all_tested),
    Violation("no_test_picture_in_training", "tagger", "rows.parquet", all_held_out),
    Violation("schema", "embeddings", "encoder-", without("local")),
    Violation("unit_vectors", "embeddings", "encoder-", stretched("shared")),
    Violation("unit_vectors", "embeddings", "encoder-", stretched("local")),
    Violation("one_encoder_digest", "index", state=TWO_ENCODERS),
    Violation("size_equals_embeddings", "index", state={"facts": {"indexed": 3}}),
    Violation("recall_against_exact", "index", state={"facts": {"recall": 0.9}}),
    Violation("one_encoder_digest", "gallery", state=TWO_ENCODERS),
    Violation("size_equals_embeddings", "gallery", state={"facts": {"tombstones": 1}}),
    Violation("recall_against_exact", "gallery", state={"facts": {"recall": 0.9}}),
    Buried("no_tombstone_in_index", "index", "rows.parquet"),
    Buried("no_tombstone_in_index", "index", "rows.parquet", by="sha256"),
    Buried("no_tombstone_in_index", "gallery", "pins.parquet"),
    Buried("no_tombstone_in_index", "gallery", "pins.parquet", by="sha256"),
]
REMARKS = [
    Violation("complete", "pins", state={"status": "incomplete", "reason": "the site answered 503"}),
    Violation("count_drift", "pins", state={"stats": {"rows_before": 100}}),
    Violation("duplicate_drift", "images", state={"facts": {"rejected": {"near_duplicate": 50}}}),
]


def test_every_check_is_tried_here():
    tried = {
        (one.stage, one.check, blocking)
        for blocking, some in ((True, BLOCKING), (False, REMARKS))
        for one in some
    }
    assert tried == {
        (stage, check.name, check.blocking) for stage, some in checks.CHECKS.items() for check in some
    }


def test_every_check_passes_on_what_was_really_made(house):
    for stage in checks.CHECKS:
        for label in SLUGS if STAGES[stage].per_label else [None]:
            part = house.part(stage, label)
            for result in checks.results(part, part.read(stage)):
                assert result.passed, (stage, label, result)
                assert result.description


@pytest.mark.parametrize("violation", BLOCKING, ids=str)
def test_a_blocking_check_fails_and_stops_the_release(house, violation):
    before = house.current()
    violation.commit(house)
    verdict = violation.verdict(house)
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.ERROR
    house.store.discard(house.store.manifest("tiny", "release"))
    result = house.materialize(["release"])
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    message = str(failure.step_failure_data.error.cause)
    assert f"{violation.stage}/" in message
    assert violation.check in message
    assert house.current() == before


def test_the_release_names_every_check_that_fails(house):
    for violation in (BLOCKING[0], BLOCKING[8]):
        violation.commit(house)
    with pytest.raises(CheckFailed) as caught:
        verify(house.part("release"))
    assert "pins/plain-red schema" in str(caught.value)
    assert "splits/plain-red no_group_across_splits" in str(caught.value)
    assert "the last one stays" in str(caught.value)


@pytest.mark.parametrize("remark", REMARKS, ids=str)
def test_a_remark_is_told_and_stops_nothing(house, remark):
    remark.commit(house)
    verdict = remark.verdict(house)
    assert not verdict.passed
    assert verdict.severity == (
        dg.AssetCheckSeverity.ERROR if remark.check == "complete" else dg.AssetCheckSeverity.WARN
    )
    result = house.materialize(["release"])
    assert result.success
    assert house.current() is not None


def test_a_blocking_check_stops_what_lies_downstream_in_the_same_run(house, monkeypatch):
    real = assets.BODIES["images"]

    def loses_a_picture(part: Any, resources: Any) -> Any:
        manifest = real(part, resources)
        kept = part.table(manifest, "pictures.parquet").slice(1)
        return replace(manifest, files={**manifest.files, "pictures.parquet": part.put_table(kept)})

    monkeypatch.setitem(assets.BODIES, "images", loses_a_picture)
    change_pictures(house)
    result = house.materialize(["pins", "images", "splits", "features"], "plain-red")
    assert not result.success
    made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}
    assert made == {"pins", "images"}
    failed = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert [(one.check_name, one.blocking) for one in failed] == [("nothing_lost", True)]


def test_the_verdict_of_one_label_does_not_stand_in_for_that_of_another(house):
    (house.pictures / "plain-red").rename(house.root / "away")
    for label in SLUGS[::-1]:  # the failing one first
        house.materialize(["pins"], label)
    key = dg.AssetCheckKey(dg.AssetKey(["tiny", "pins"]), "complete")
    verdicts = {
        record.event.asset_check_evaluation.partition: record.event.asset_check_evaluation.passed
        for record in house.instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    }
    assert verdicts == {"plain-red": False, "plain-green": True, "plain-blue": True}


def test_a_tombstone_counts_as_not_indexed_and_not_as_lost(house):
    gone = house.store.table(house.store.manifest("tiny", "images", "plain-red"), "pictures.parquet")["id"][0]
    tombstones.add(house.store, "tiny", [Tombstone(id=gone.as_py(), reason="purged")])
    ran = house.run()
    assert ran.failed == {}
    pins = house.store.table(house.store.manifest("tiny", "gallery"), "pins.parquet")
    assert gone.as_py() not in pins["id"].to_pylist()
    assert pins.num_rows == 11
