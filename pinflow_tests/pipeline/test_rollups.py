"""Roll-ups that no single label can stop."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from pinflow import registry, releases, schema
from pinflow.collection import Collection
from pinflow.imaging.palette import palettes
from pinflow.learning.text.tower import Tower
from pinflow.pipeline.assets import rollups, text
from pinflow.pipeline.assets.rollups import prevailing
from pinflow.pipeline.assets.vectors import indexed
from pinflow.pipeline.sensors import register
from pinflow.retrieval import index as index_module
from pinflow.retrieval import words
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


class Kept:
    """What `indexed` and `_asked` look at of a partition: the last state, in memory."""

    def __init__(self, files: dict[str, bytes], text: Manifest | None = None) -> None:
        self.previous = SimpleNamespace(files=files)
        self.snapshot = SimpleNamespace(manifest=lambda stage: text if stage == "text_encoder" else None)
        self.store = SimpleNamespace(file=lambda _, name: files[name])


def vectors_of(n: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(index_module, "FLAT_ROWS", 1000)


def test_a_large_index_is_brought_up_to_date_not_built_again(small):
    vectors, ids = vectors_of(2000), [f"p{n}" for n in range(2000)]
    old = index_module.build(vectors)
    part = Kept({"gallery.faiss": old.to_bytes(), "gallery.json": json.dumps(old.meta).encode()})
    now = (["new", *ids[5:]], np.concatenate([vectors_of(1, seed=1), vectors[5:]]))
    mine = indexed(part, "gallery", now, lambda: (ids, vectors))
    assert (mine.n, mine.changed) == (1996, 6)
    assert (mine.search(now[1][:50], 1)[1][:, 0] == np.arange(50)).mean() >= 0.95
    for last in (lambda: None, lambda: (ids[1:], vectors[1:])):  # none, or one that does not fit
        assert indexed(part, "gallery", now, last).changed == 0
    part.previous.files["gallery.faiss"] = b"damaged"
    assert indexed(part, "gallery", now, lambda: (ids, vectors)).changed == 0


def test_a_small_one_asks_for_nothing_old():
    def never() -> None:
        raise AssertionError

    assert indexed(Kept({"index.faiss": b""}), "index", (["a"], vectors_of(1)), never).kind == "flat"


def test_a_large_gallery_is_tuned_on_captions_too(small, monkeypatch):
    weights = {
        "skip": np.eye(8)[:2],
        "first": np.zeros((1, 8)),
        "first_bias": np.zeros(1),
        "second": np.zeros((2, 1)),
        "basis": np.eye(8)[:2],
        "mean": np.zeros(8),
    }
    tower = Tower({name: np.asarray(array, np.float32) for name, array in weights.items()})
    state = SimpleNamespace(
        files={"text.safetensors": None}, facts={"encoder": "e1", "sentences": "of the test"}
    )
    part = Kept({"text.safetensors": tower.to_bytes()}, state)
    sentences = SimpleNamespace(encode=lambda texts: vectors_of(len(texts), seed=2))
    monkeypatch.setattr(words, "load_sentences", {"of the test": sentences}.__getitem__)
    pins = pa.table({"caption": [f"caption {n % 700}" if n % 3 else None for n in range(1500)]})
    asked = rollups._asked(part, pins, "e1")["texts"]
    assert asked.shape == (text.QUERIES, 8)
    np.testing.assert_allclose(np.linalg.norm(asked, axis=1), 1, atol=1e-5)
    built = index_module.build(vectors_of(1500), {"texts": asked})
    assert built.recall == min(built.recalls["texts"], built.recalls["pictures"])
    assert rollups._asked(part, pins, "another") == {}
    assert rollups._asked(part, pins.slice(0, 900), "e1") == {}
