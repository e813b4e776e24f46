"""A release is opened whole or not at all."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from pinflow.errors import CorruptError
from pinflow.mapped import open_table, table_file
from pinflow.retrieval.release import Release
from pinflow_tests.retrieval.releases import write_info, write_release

FILES = [
    "pins.parquet",
    "vectors.npy",
    "gallery.faiss",
    "gallery.json",
    "thumbnails.arrow",
    "encoder.safetensors",
    "labels/red-things/local.parquet",
    "labels/red-things/index.faiss",
    "labels/red-things/index.json",
    "labels/red-things/encoder.safetensors",
]


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def resign(folder):
    """Checksums that agree with whatever the files hold now: a faulty writer, not a faulty disk."""
    write_info(
        folder, {k: v for k, v in json.loads((folder / "release.json").read_text()).items() if k != "files"}
    )


def test_a_whole_release_opens(folder):
    release = Release.open(folder)
    assert release.id == "r1"
    assert release.pins.num_rows == len(release.shared.vectors) == 36
    assert isinstance(release.shared.vectors, np.memmap)
    assert set(release.local) == {"red-things", "green-things", "blue-things"}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["missing", "cut", "flipped"])
def test_a_harmed_file_is_found(copy, name, harm):
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "flipped":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CorruptError, match=name):
        Release.open(copy)


# Heads are not among them: they are read at the first picture, by `learning.head`.
@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("encoder.safetensors")])
def test_rubbish_under_a_true_checksum_is_found(copy, name):
    (copy / name).write_bytes(b"rubbish" * 100)
    resign(copy)
    with pytest.raises(CorruptError):
        Release.open(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"id": 1}', "\x00"])
def test_a_release_that_does_not_describe_itself(copy, content):
    (copy / "release.json").write_text(content)
    with pytest.raises(CorruptError, match=r"release\.json"):
        Release.open(copy)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(CorruptError):
        Release.open(tmp_path / "nothing")


def test_a_file_name_never_leads_out_of_the_folder(copy):
    info = json.loads((copy / "release.json").read_text())
    info["files"]["../../secret"] = {"sha256": "0", "bytes": 0}
    (copy / "release.json").write_text(json.dumps(info))
    with pytest.raises(CorruptError, match="leads out"):
        Release.open(copy)


def test_tables_that_do_not_agree(copy):
    pins = pq.read_table(copy / "pins.parquet")
    pq.write_table(pins.slice(1), copy / "pins.parquet")
    resign(copy)
    with pytest.raises(CorruptError, match="35 pins"):
        Release.open(copy)


def test_a_pin_without_thumbnail(copy):
    thumbnails = open_table(copy / "thumbnails.arrow")
    (copy / "thumbnails.arrow").write_bytes(table_file(thumbnails.slice(1)))
    resign(copy)
    with pytest.raises(CorruptError, match="no thumbnail"):
        Release.open(copy)


def test_thumbnails_that_lead_out_of_their_file_are_no_release(copy):
    """Arrow would follow them, into other memory or none: it must not come to that."""
    whole = (copy / "thumbnails.arrow").read_bytes()
    column = open_table(copy / "thumbnails.arrow").column("webp").chunk(0)
    ends = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1).copy()
    assert whole.count(ends.tobytes()) == 1
    wild = ends.copy()
    wild[-1] = 2_000_000_000
    (copy / "thumbnails.arrow").write_bytes(whole.replace(ends.tobytes(), wild.tobytes()))
    resign(copy)
    with pytest.raises(CorruptError, match="cannot be read"):
        Release.open(copy)


def test_a_thumbnail_made_in_another_way_has_another_digest(folder, copy):
    thumbnails = open_table(copy / "thumbnails.arrow")
    first, second = thumbnails.column("id").to_pylist()[:2]
    longer = [thumbnails.column("webp")[0].as_py() + b"\0", *thumbnails.column("webp").to_pylist()[1:]]
    other = thumbnails.set_column(1, thumbnails.schema.field("webp"), [longer])
    (copy / "thumbnails.arrow").write_bytes(table_file(other))
    resign(copy)
    before, after = Release.open(folder), Release.open(copy)
    assert before.thumbnail_digest(first) != after.thumbnail_digest(first)
    assert before.thumbnail_digest(second) == after.thumbnail_digest(second) != after.thumbnail_digest(first)


def test_thumbnails_of_an_older_pinflow_are_read(folder, copy):
    pq.write_table(open_table(copy / "thumbnails.arrow"), copy / "thumbnails.parquet")
    (copy / "thumbnails.arrow").unlink()
    resign(copy)
    assert Release.open(copy).thumbnail("red/bar-1") == Release.open(folder).thumbnail("red/bar-1")


def test_a_label_index_with_a_strange_pin(copy, tmp_path):
    other = write_release(tmp_path / "other", pins=None)
    table = pq.read_table(other / "labels/red-things/local.parquet")
    renamed = table.set_column(0, "id", [[f"x{n}" for n in range(table.num_rows)]])
    pq.write_table(renamed, copy / "labels/red-things/local.parquet")
    resign(copy)
    with pytest.raises(CorruptError, match="unknown pin"):
        Release.open(copy)
