"""`pinflow export`."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pinflow import releases, schema
from pinflow.learning.head import Head
from pinflow.settings import Settings
from pinflow.store import open_store


@pytest.fixture
def store(released):
    return open_store(Settings().storage_url)


@pytest.fixture
def exported(pinflow, released, tmp_path):
    """Export `shapes` in a format; the folder, after checking that all went well."""

    def run(format):
        folder = tmp_path / format
        said = pinflow("export", "shapes", "--to", folder, "--format", format)
        assert said.code == 0, said.err
        assert str(folder) in said.out
        return folder

    return run


@pytest.fixture
def pins(store):
    (table,) = releases.pins(store, "shapes").values()
    return table


def test_imagefolder_has_splits_labels_and_a_line_of_metadata_for_each_picture(exported, pins, store):
    folder = exported("imagefolder")

    found = {}
    for metadata in folder.glob("*/metadata.jsonl"):
        for line in metadata.read_text().splitlines():
            row = json.loads(line)
            file = metadata.parent / row["file_name"]
            assert file.parent.name == row["label"] == row["labels"][0]
            assert file.read_bytes() == store.get("shapes", row["sha256"])
            found[row["id"]] = metadata.parent.name
    assert sorted(found) == sorted(pins["id"].to_pylist())
    assert set(found.values()) <= {"train", "validation", "test", "held_out"}
    assert "train" in found.values()
    pictures = [file for file in folder.rglob("*") if file.is_file() and file.suffix not in (".md", ".jsonl")]
    assert len(pictures) == pins.num_rows


def test_imagefolder_splits_are_those_of_the_splits_stage(exported, store):
    folder = exported("imagefolder")

    names = {"validation": "val"}
    of = {}
    for metadata in folder.glob("*/metadata.jsonl"):
        split = names.get(metadata.parent.name, metadata.parent.name)
        of |= {json.loads(line)["id"]: split for line in metadata.read_text().splitlines()}
    rows = [
        row
        for manifest in store.manifests("shapes", "splits").values()
        for row in store.table(manifest, "table.parquet").to_pylist()
    ]
    trained = {row["id"] for row in rows if row["split"] == "train"}
    assert trained
    # What the encoder learned from stays out of every measurement under its own name.
    assert all(of[one] in ("train", "held_out") for one in trained)


def test_parquet_holds_pins_vectors_and_splits(exported, pins):
    table = pq.read_table(exported("parquet") / "pins.parquet")

    assert table.select(schema.RELEASE_PINS.names).equals(pins)
    vectors = schema.matrix(table, "vector")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert set(table["split"].to_pylist()) <= {*schema.SPLITS}


def test_onnx_is_checked_and_finds_what_pinflow_finds(pinflow, released, tmp_path, pins):
    import onnxruntime

    folder = tmp_path / "onnx"
    said = pinflow("export", "shapes", "--to", folder, "--format", "onnx")

    assert said.code == 0, said.err
    assert "greatest difference" in said.out
    how = json.loads((folder / "preprocessing.json").read_text())
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("pixels", "tensor(uint8)", how["input"]["shape"][1:])
    assert made.name == how["output"]["name"]
    size = how["input"]["shape"][1]
    blank = np.full((3, size, size, 3), 255, np.uint8)
    (vectors,) = session.run(None, {"pixels": blank})
    assert vectors.shape == (3, how["output"]["shape"][1])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_onnx_that_computes_something_else_is_not_handed_out(pinflow, released, tmp_path, monkeypatch):
    from pinflow.learning import onnx

    right = onnx.head_module
    monkeypatch.setattr(
        onnx, "head_module", lambda head: right(Head("linear", {"weight": -np.eye(1280, dtype=np.float32)}))
    )
    folder = tmp_path / "onnx"
    said = pinflow("export", "shapes", "--to", folder, "--format", "onnx")

    assert said.code == 1
    assert "computes other vectors" in said.err
    assert not folder.exists()


def test_fiftyone_finds_files_classes_tags_and_embeddings(exported, pins):
    """As its importer of files without a version reads them: `samples.json`, paths beside it, `_cls`."""
    folder = exported("fiftyone")

    about = json.loads((folder / "metadata.json").read_text())
    assert "version" not in about
    assert about["media_type"] == "image"
    assert about["default_classes"] == ["plain-green", "plain-red"]
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    assert {sample["pin_id"] for sample in samples} == {*pins["id"].to_pylist()}
    for sample in samples:
        assert not os.path.isabs(sample["filepath"])
        with Image.open(folder / sample["filepath"]) as picture:
            picture.load()
        assert sample["ground_truth"]["_cls"] == "Classification"
        assert sample["ground_truth"]["label"] in about["default_classes"]
        assert sample["tags"][0] in schema.SPLITS
        assert len(sample["embedding"]) == 1280
        assert "id" not in sample
    assert len([*(folder / "data").iterdir()]) == len(samples)


@pytest.mark.parametrize("format", ["imagefolder", "parquet", "fiftyone"])
def test_a_card_says_what_it_is_how_good_and_under_which_licences(exported, format):
    card = (exported(format) / "README.md").read_text()

    for said in (
        "# shapes",
        "tf_efficientnet_lite0",
        "plain-red",
        "frozen",
        "served",
        "Limits",
        "Licences",
        "Use",
    ):
        assert said in card
    assert "recall@1" in card or "Nothing yet" in card
    assert "not stated" in card


def test_the_release_itself_has_a_card(store):
    name = releases.current(store, "shapes")
    file = releases.describe(store, "shapes", name)["files"]["model_card.md"]
    assert "## Measured" in store.get("shapes", file["sha256"]).decode()


def test_a_folder_with_something_in_it_is_bad_usage_and_stays_as_it_is(pinflow, released, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    said = pinflow("export", "shapes", "--to", folder)

    assert said.code == 2
    assert "is there already" in said.err
    assert [*folder.iterdir()] == [folder / "thesis.txt"]

    file = tmp_path / "file"
    file.touch()
    assert pinflow("export", "shapes", "--to", file).code == 2


def test_an_empty_folder_is_filled(pinflow, released, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()

    assert pinflow("export", "shapes", "--to", folder, "--format", "parquet").code == 0
    assert (folder / "pins.parquet").is_file()


def test_a_disk_that_is_full_leaves_nothing_behind(pinflow, released, tmp_path, monkeypatch):
    from pinflow.commands.exports import content

    def full(self):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(content.Content, "originals", full)
    place = tmp_path / "place"
    said = pinflow("export", "shapes", "--to", place / "here")

    assert said.code == 1
    assert "No space left" in said.err
    assert [*place.iterdir()] == []


def test_a_removed_pin_is_not_exported(pinflow, released, tmp_path, store, pins):
    from pinflow.pipeline.removal import bury, stone

    gone = pins["id"][0].as_py()
    shas = {pins["sha256"][0].as_py()}
    bury(
        store,
        "shapes",
        [stone(gone, shas, lambda sha: store.get("shapes", sha), reason="purged", by="test", why="")],
    )
    assert pinflow("export", "shapes", "--to", tmp_path / "out", "--format", "parquet").code == 0

    left = pq.read_table(tmp_path / "out" / "pins.parquet")["id"].to_pylist()
    assert gone not in left
    assert len(left) == pins.num_rows - 1


def test_before_the_first_release_it_says_what_to_do(pinflow, empty):
    (empty / "collections" / "new.yaml").write_text('source: {kind: folder, path: "x"}\nlabels: [a]\n')

    said = pinflow("export", "new", "--to", empty / "out")
    assert said.code == 1
    assert "pinflow run new" in said.err
    assert pinflow("export", "other", "--to", empty / "out").code == 2
    assert pinflow("export", "new", "--to", empty / "out", "--format", "excel").code == 2
