"""Roll-ups that no single label can stop."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pinflow import registry, releases, schema
from pinflow.collection import Collection
from pinflow.imaging.palette import palettes
from pinflow.pipeline.assets import rollups
from pinflow.pipeline.assets.rollups import prevailing
from pinflow.pipeline.sensors import register
from pinflow.store import File, Manifest, Store
from pinflow_tests.retrieval.releases import drawing


def embeddings(label: str, written_at: str, *encoders: str) -> Manifest:
    return Manifest(
        collection="pets",
        stage="embeddings",
        label=label,
        version=label,
        recipe="r",
        inputs={},
        files={"x": File("0" * 64, 1)},
        facts={"encoders": list(encoders)},
        written_at=written_at,
    )


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        ([("new", "old")] * 3, "new"),
        ([("new", "old"), ("old",), ("old",)], "old"),  # the new one has not reached all
        ([("new",), ("old",)], "new"),  # nothing in common: the newest of equals
        ([("new", "middle"), ("new", "middle"), ("old",)], "new"),  # one label was left behind for long
    ],
)
def test_the_gallery_takes_the_newest_encoder_that_most_labels_have(labels, chosen):
    states = [embeddings(f"l{n}", f"2026-01-0{9 - n}", *encoders) for n, encoders in enumerate(labels)]
    assert prevailing(states) == chosen


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


PETS = Collection(name="pets", source={"kind": "folder", "path": "x"}, labels=["dogs"])


def test_a_list_may_lie_in_a_folder(store):
    store.write(b"cats\n", "label_lists", "pets", "mine", "more.txt")
    assert register(store, PETS, None, {}) == []
    assert set(registry.live(store, "pets")) == {"dogs", "cats"}


def test_the_report_on_a_list_goes_with_the_list(store):
    store.write(b"../../x\n", "label_lists", "pets", "bad.txt")
    seen: dict[str, str] = {}
    assert len(register(store, PETS, None, seen)) == 1
    assert json.loads(store.read("pets", "rejected_labels", "bad.txt.json"))
    store.delete("label_lists", "pets", "bad.txt")
    register(store, PETS, None, seen)
    assert store.names("pets", "rejected_labels") == []


def test_a_collection_without_labels_serves_nothing(store):
    assert not releases.withdraw(store, "pets")
    store.write(b"0123456789abcdef", "pets", "CURRENT")
    assert releases.withdraw(store, "pets")
    assert releases.current(store, "pets") is None


def test_the_colours_of_a_picture_are_worked_out_once(monkeypatch):
    pictures = {one: drawing(one, "circle") for one in ("red", "green", "blue")}
    asked: list[set[str]] = []
    monkeypatch.setattr(rollups, "_thumbnails", lambda part, labels: asked.append(labels) or pictures)

    def pins(*ids: str) -> pa.Table:
        return pa.table(
            {"id": ids, "sha256": [f"sha-{one}" for one in ids], "labels": [[one] for one in ids]}
        )

    def colours(of: pa.Table, last: pa.Table | None) -> pa.Table:
        files = {} if last is None else {"colours.parquet": None}
        part = SimpleNamespace(
            previous=SimpleNamespace(files=files), last_table=lambda _: last, timed=lambda _: nullcontext()
        )
        return rollups._colours(part, of)

    first = colours(pins("green", "red"), None)
    assert first.schema == schema.COLOURS
    assert first.equals(palettes(["sha-green", "sha-red"], [pictures["green"], pictures["red"]]))
    then = colours(pins("blue", "red"), first)
    assert then["sha256"].to_pylist() == ["sha-blue", "sha-red"]
    assert then.slice(1).equals(first.slice(1))
    assert asked == [{"green", "red"}, {"blue"}]
    assert colours(pins("red"), then).num_rows == 1
    assert len(asked) == 2
    assert colours(pins("red").slice(1), None).num_rows == 0
