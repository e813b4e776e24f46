"""What is stale and why, on states that are written straight into the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pinflow import registry, schema, tombstones
from pinflow.collection import Collection, EncoderRecipe, Source
from pinflow.errors import CorruptError
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.planning import RETRY_LONGEST_SECONDS, Snapshot
from pinflow.pipeline.stages import BY_ITSELF, STAGES, downstream
from pinflow.store import Store
from pinflow.tombstones import Look, Tombstone
from pinflow_tests.pipeline.houses import SLUGS, add_labels, pretend

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "source": Source(kind="folder", path="/pictures"),
    "labels": ["plain red", "plain green", "plain blue"],
}
COLLECTION = Collection(**RECIPE)
PER_LABEL = {name for name, stage in STAGES.items() if stage.per_label}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    add_labels(store, "tiny", COLLECTION.labels)
    return store


@pytest.fixture
def made(store: Store) -> Store:
    """Every stage made from what is upstream."""
    pretend(store, COLLECTION)
    return store


def stale(store: Store, collection: Collection = COLLECTION, **options: Any) -> dict[str, set[str | None]]:
    snapshot = Snapshot(store, collection, **options)
    return {stage: due for stage in STAGES if (due := snapshot.stale(stage))}


def test_of_an_empty_house_only_the_scrapes_are_stale(store):
    assert stale(store) == {"pins": set(SLUGS)}


def test_nothing_is_stale_where_everything_was_made_from_what_is_there(made):
    assert stale(made) == {}


def test_only_what_has_all_that_it_reads_is_possible(made):
    behind = ["label_encoder", "embeddings", "index", "projection"]
    assert Snapshot(made, COLLECTION).possible(behind, SLUGS[0]) == behind
    made.discard(made.manifest("tiny", "encoder"))
    assert Snapshot(made, COLLECTION).possible(behind, SLUGS[0]) == ["label_encoder"]


@pytest.mark.parametrize("stage", sorted(PER_LABEL - {"pins"}))
def test_a_missing_state_makes_that_stage_stale_and_no_other_label(made, stage):
    made.discard(made.manifest("tiny", stage, "plain-red"))
    assert stale(made)[stage] == {"plain-red"}


@pytest.mark.parametrize("stage", sorted(BY_ITSELF.keys() - {"pins", "encoder"}))
def test_a_damaged_manifest_counts_as_missing(made, stage):
    label = ["plain-red"] if STAGES[stage].per_label else []
    made.write(b"{ half", "tiny", stage, *label, "manifest.json")
    assert stale(made)[stage] == {*label} or stale(made)[stage] == {None}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("pins", {"images": {"plain-red"}}),
        ("images", {"splits": {"plain-red"}, "features": {"plain-red"}, "gallery": {None}}),
        ("splits", {"label_encoder": {"plain-red"}, "gallery": {None}, "evaluation": {None}}),
        ("features", {"label_encoder": {"plain-red"}, "embeddings": {"plain-red"}, "evaluation": {None}}),
        ("label_encoder", {"embeddings": {"plain-red"}, "release": {None}}),
        ("embeddings", {"index": {"plain-red"}, "projection": {"plain-red"}, "gallery": {None}}),
    ],
)
def test_another_version_of_a_label_makes_its_own_readers_stale(made, changed, expected):
    pretend(made, COLLECTION, [changed], labels=["plain-red"], salt="other")
    found = stale(made)
    assert expected.items() <= found.items()
    # Nothing of another label, and nothing that does not lie downstream.
    assert all(due <= {"plain-red", None} for due in found.values())
    assert found.keys() <= downstream(changed)


def test_what_is_made_by_hand_is_never_stale_and_whoever_shows_it_is_when_it_came(made):
    pretend(made, COLLECTION, ["comparison"])
    assert stale(made) == {"evaluation": {None}}
    pretend(made, COLLECTION, ["evaluation", "release"])
    assert stale(made) == {}
    made.discard(made.manifest("tiny", "comparison"))
    assert stale(made) == {"evaluation": {None}}


def test_another_served_encoder_makes_every_label_stale_from_embeddings_on(made):
    pretend(made, COLLECTION, ["encoder"], salt="other")
    found = stale(made)
    assert found["embeddings"] == set(SLUGS)
    assert set(found) == {"embeddings"}


def test_a_new_candidate_that_is_not_served_makes_only_the_reports_stale(made):
    encoder = made.manifest("tiny", "encoder")
    made.commit(replace(encoder, facts={"candidate": "another"}))
    assert stale(made) == {"evaluation": {None}, "release": {None}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"source": Source(kind="folder", path="/elsewhere")}, {"pins"}),
        ({"group_by": ["author"]}, {"splits"}),
        ({"encoder": EncoderRecipe(trunk="resnet18")}, {"features", "encoder", "tagger"}),
        ({"encoder": EncoderRecipe(tune="none")}, {"encoder", "label_encoder"}),
        ({"attributes": ["kind"]}, {"encoder"}),
        ({"description": "Other words"}, {"release"}),
        ({"rescrape": "0 4 * * *"}, set()),
    ],
)
def test_another_recipe_makes_exactly_the_stages_stale_that_read_it(made, change, expected):
    trunk = {"trunk": "tf_efficientnet_lite0"}
    if isinstance(change.get("encoder"), EncoderRecipe):
        change = {"encoder": EncoderRecipe(**trunk | change["encoder"].model_dump(exclude_unset=True))}
    assert set(stale(made, Collection(**RECIPE | change))) == expected


def test_raised_code_makes_a_stage_stale(made, monkeypatch):
    monkeypatch.setitem(STAGES, "index", replace(STAGES["index"], code=STAGES["index"].code + 1))
    assert stale(made) == {"index": set(SLUGS)}


@pytest.mark.parametrize(
    ("attempts", "wait_seconds"),
    [(1, 0), (2, 60), (3, 120), (4, 240), (5, 480), (12, 60 * 2**10), (13, 24 * 3600), (60, 24 * 3600)],
)
def test_an_incomplete_scrape_is_retried_at_once_and_then_ever_more_rarely(store, attempts, wait_seconds):
    pretend(store, COLLECTION, ["pins"])
    pretend(
        store, COLLECTION, ["pins"], labels=["plain-red"], reason="site down", stats={"attempts": attempts}
    )
    at = datetime.fromisoformat(store.manifest("tiny", "pins", "plain-red").written_at)
    seconds = timedelta(seconds=1)
    due = at + timedelta(seconds=wait_seconds)
    if wait_seconds:
        assert "pins" not in stale(store, now=due - seconds)
    assert stale(store, now=due)["pins"] == {"plain-red"}
    assert wait_seconds <= RETRY_LONGEST_SECONDS


def test_an_incomplete_scrape_goes_on_with_what_came(store):
    pretend(store, COLLECTION, ["pins"], reason="site down", stats={"attempts": 5})
    assert stale(store) == {"images": set(SLUGS)}


class Rows:
    """The encoder's rule, on numbers of rows."""

    def __init__(self, store: Store, served: dict[str, int], now: dict[str, int], hours: float) -> None:
        pretend(store, COLLECTION, ["pins", "images", "splits", "features"])
        for label, rows in now.items():
            manifest = store.manifest("tiny", "features", label)
            table = replace(store.put_file("tiny", b"-"), rows=rows)
            store.commit(replace(manifest, files={"table.parquet": table}))
        pretend(store, COLLECTION, ["encoder"], facts={"rows": served})
        made = datetime.fromisoformat(store.manifest("tiny", "encoder").written_at)
        self.due = stale(store, now=made + timedelta(hours=hours)).get("encoder") == {None}


@pytest.mark.parametrize(
    ("served", "now", "hours", "due"),
    [
        ({"plain-red": 80}, {"plain-red": 100}, 24, False),  # exactly 20% new
        ({"plain-red": 79}, {"plain-red": 100}, 24, True),
        ({"plain-red": 79}, {"plain-red": 100}, 19.9, False),  # nightly at most
        ({"plain-red": 79}, {"plain-red": 100}, 20, True),
        ({"plain-red": 100}, {"plain-red": 50}, 24, False),  # shrinking is not new
        ({"plain-red": 90}, {"plain-red": 90, "plain-blue": 10}, 24, False),
        ({"plain-red": 70}, {"plain-red": 70, "plain-blue": 30}, 24, True),
        ({"plain-red": 0}, {"plain-red": 0}, 24, False),
    ],
)
def test_the_encoder_is_tuned_again_when_over_a_fifth_of_the_rows_are_new_and_nightly_at_most(
    store, served, now, hours, due
):
    assert Rows(store, served, now, hours).due is due


def test_a_new_label_stales_the_roll_ups_behind_it_and_neither_the_encoder_nor_another_label(made):
    add_labels(made, "tiny", ["plain pink"])
    pretend(made, COLLECTION, ["pins", "images", "splits", "features"], labels=["plain-pink"])
    found = stale(made)
    assert found["label_encoder"] == {"plain-pink"}
    assert all(due <= {"plain-pink", None} for due in found.values())
    assert "encoder" not in found


@pytest.mark.parametrize(
    ("known", "hours", "due"),
    [
        ({"plain-red": 90, "plain-blue": 10}, 24, False),
        ({"plain-red": 95}, 24, True),  # 10 rows of a label that it has no tag for
        ({"plain-red": 95}, 19.9, False),  # nightly at most
        ({"plain-red": 65, "plain-blue": 10}, 24, True),
    ],
)
def test_the_tagger_is_fitted_again_for_a_new_label_or_a_fifth_of_new_rows_and_nightly_at_most(
    store, known, hours, due
):
    pretend(store, COLLECTION, ["pins", "images", "splits", "features"])
    for label, rows in {"plain-red": 95, "plain-blue": 10}.items():
        table = replace(store.put_file("tiny", b"-"), rows=rows)
        store.commit(replace(store.manifest("tiny", "features", label), files={"table.parquet": table}))
    pretend(store, COLLECTION, ["tagger"], facts={"rows": known})
    made = datetime.fromisoformat(store.manifest("tiny", "tagger").written_at)
    found = stale(store, now=made + timedelta(hours=hours))
    assert (found.get("tagger") == {None}) is due


def test_a_removed_label_leaves_every_stage(made):
    registry.remove(made, "tiny", ["plain red"])
    snapshot = Snapshot(made, COLLECTION)
    assert set(snapshot.labels) == {"plain-blue", "plain-green"}
    for stage in PER_LABEL:
        assert set(snapshot.manifests(stage)) == {"plain-blue", "plain-green"}
    found = stale(made)
    assert all(due == {None} for due in found.values())
    assert {"gallery", "evaluation", "release"} <= set(found)
    assert "encoder" not in found


def holding(store: Store, stage: str, name: str, label: str | None, table: pa.Table) -> None:
    """Give a state that table."""
    state = store.manifest("tiny", stage, label)
    store.commit(replace(state, files={name: store.put_table("tiny", table)}))


def pins(*ids: str, related: tuple[str, ...] = ()) -> pa.Table:
    rows = [{**dict.fromkeys(schema.PINS.names), "id": id, "sha256": 64 * id[0]} for id in ids]
    lists = {"attributes": [], "origin_keys": [], "related": list(related)}
    return pa.Table.from_pylist([{**row, **lists} for row in rows], schema=schema.PINS)


@pytest.mark.parametrize(
    ("stone", "due"),
    [
        ({"id": "a1"}, {"plain-red"}),
        ({"id": "z", "pictures": ["b" * 64]}, {"plain-blue"}),
        ({"id": "a1", "pictures": ["b" * 64]}, {"plain-red", "plain-blue"}),
        ({"id": "r"}, {"plain-green"}),
        ({"id": "r", "reason": "gone"}, set()),
        ({"id": "elsewhere"}, set()),
    ],
)
def test_a_tombstone_makes_the_pins_stale_that_it_speaks_of_and_no_others(made, stone, due):
    holding(made, "pins", "pins.parquet", "plain-red", pins("a1", "a2"))
    holding(made, "pins", "pins.parquet", "plain-blue", pins("b1"))
    holding(made, "pins", "pins.parquet", "plain-green", pins("c1", related=("r", "s")))
    tombstones.add(made, "tiny", [Tombstone(**{"reason": "purged", **stone})])
    assert stale(made) == ({"pins": due} if due else {})
    assert not any(Snapshot(made, COLLECTION).scrape_due(label) for label in SLUGS)


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("index", "rows.parquet"),
        ("gallery", "pins.parquet"),
        ("encoder", "rows.parquet"),
        ("tagger", "rows.parquet"),
    ],
)
def test_what_leaves_removed_pins_out_is_stale_while_it_holds_one(made, stage, name):
    label = "plain-red" if STAGES[stage].per_label else None
    holding(made, stage, name, label, pins("a1", "a2"))
    tombstones.add(made, "tiny", [Tombstone(id="a2", reason="purged")])
    assert stale(made)[stage] == {label}
    holding(made, stage, name, label, pins("a1"))
    assert stage not in stale(made)


def test_a_picture_that_looks_like_a_removed_one_makes_its_label_stale(made):
    table = schema.empty(schema.PICTURES).select(["id", "phash"])
    row = pa.table({"id": ["a"], "phash": pa.array([0b111], pa.uint64())}, schema=table.schema)
    holding(made, "images", "pictures.parquet", "plain-red", row)
    for bits, due in ((2**20 - 1, {}), (0b111 + 0xFF0, {"images": {"plain-red"}})):
        tombstones.add(made, "tiny", [Tombstone(id="z", reason="gone", looks=(Look.of(bits, bytes(768)),))])
        assert stale(made) == due


def test_an_opt_out_list_makes_the_pins_stale_that_it_names(made):
    holding(made, "pins", "pins.parquet", "plain-red", pins("a1", "a2"))
    holding(made, "pins", "pins.parquet", "plain-blue", pins("b1"))
    made.write(b"b1\ndomain:example.org\n", "opt_outs", "mail.txt")
    assert stale(made) == {"pins": {"plain-blue"}}


def test_a_damaged_tombstone_is_named(made):
    made.write(b'{"id": 3}', "tiny", "tombstones", "one.json")
    with pytest.raises(CorruptError, match=r"tiny/tombstones/one\.json is damaged"):
        stale(made)


def test_a_release_is_stale_until_what_is_noted_is_erased(made):
    made.write(b"{}", "tiny", "erasing", "one.json")
    assert stale(made) == {"release": {None}}


class Counting(Store):
    """Counts every object that is read or listed."""

    touched: list[str]

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.touched = []

    def read(self, *parts: str) -> bytes:
        self.touched.append("/".join(parts))
        return super().read(*parts)

    def documents(self, *parts: str) -> dict[str, bytes]:
        found = super().documents(*parts)
        self.touched += ["/".join(parts), *found]
        return found


@pytest.mark.parametrize("stage", sorted(PER_LABEL))
def test_one_label_costs_the_same_reads_at_3_and_at_50_labels(store, tmp_path, stage):
    pretend(store, COLLECTION)
    counts = []
    for more in ([], [f"label {number}" for number in range(47)]):
        add_labels(store, "tiny", more)
        pretend(store, COLLECTION, labels=[f"label-{number}" for number in range(len(more))] or SLUGS)
        counting = Counting(str(tmp_path))
        part = Partition(counting, COLLECTION, stage, "plain-red")
        part.draft({})
        assert part.query == "plain red"
        assert part.unchanged is not None or stage == "pins"
        counts.append(len(counting.touched))
    assert counts[0] == counts[1]


def test_now_is_in_utc_so_that_ages_do_not_depend_on_the_machine():
    assert Snapshot(Store("/nowhere"), COLLECTION).now.tzinfo is UTC
