"""A folder as a source: no network, no Scrapy."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.scraping.scrape import list_labels, scrape


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    for name in ("Marine Fish/cod.jpg", "Marine Fish/eel.jpg", "fruits/fig.jpg", "fruits/.hidden"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 10)
        os.utime(root / name, (time.time() - 100,) * 2)
    return root


def test_labels_are_the_folders(folder: Path, tmp_path: Path) -> None:
    assert list_labels(Source(kind="folder", path=str(folder)), work=tmp_path / "w") == [
        "Marine Fish",
        "fruits",
    ]


@pytest.mark.parametrize("query", ["Marine Fish", "marine fish", "marine-fish"])
def test_a_label_finds_its_folder(folder: Path, tmp_path: Path, query: str) -> None:
    found = scrape(Source(kind="folder", path=str(folder)), query, work=tmp_path / "w")
    assert found.pins.column("id").to_pylist() == ["Marine Fish/cod.jpg", "Marine Fish/eel.jpg"]
    assert (found.complete, found.reason) == (True, None)


def test_files_are_the_bytes_by_digest(folder: Path, tmp_path: Path) -> None:
    found = scrape(Source(kind="folder", path=str(folder)), "fruits", work=tmp_path / "w")
    body = (folder / "fruits/fig.jpg").read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    assert dict(found.files) == {digest: body}


def test_captions_describe_files_by_label_and_name(folder: Path, tmp_path: Path) -> None:
    (folder / "captions.csv").write_text(
        "file,label,caption,price,colour\n"
        "cod.jpg,Marine Fish,A cod,3 EUR,grey\n"
        "Marine Fish/eel.jpg,,An eel,,\n"
    )
    rows = scrape(
        Source(kind="folder", path=str(folder)), "Marine Fish", work=tmp_path / "w"
    ).pins.to_pylist()
    assert [(row["caption"], row["price"], row["currency"]) for row in rows] == [
        ("A cod", 3.0, "EUR"),
        ("An eel", None, None),
    ]
    assert dict(rows[0]["attributes"]) == {"label": "Marine Fish", "colour": "grey"}


def test_label_by_takes_labels_from_the_captions(folder: Path, tmp_path: Path) -> None:
    (folder / "captions.csv").write_text("file,colour\nMarine Fish/cod.jpg,grey\nfruits/fig.jpg,Grey\n")
    source = Source(kind="folder", path=str(folder), label_by="colour")
    assert list_labels(source, work=tmp_path / "w") == ["grey"]
    found = scrape(source, "grey", work=tmp_path / "w")
    assert found.pins.column("id").to_pylist() == ["Marine Fish/cod.jpg", "fruits/fig.jpg"]


def test_an_unchanged_folder_gives_an_equal_table_and_reads_nothing(folder: Path, tmp_path: Path) -> None:
    source = Source(kind="folder", path=str(folder))
    first = scrape(source, "fruits", work=tmp_path / "1")
    again = scrape(source, "fruits", work=tmp_path / "2", previous=first.pins)
    assert again.pins.equals(first.pins)
    assert (again.files, again.stats["fetched"], again.stats["reused"]) == ({}, 0, 1)


def test_a_touched_file_with_the_same_bytes_changes_nothing(folder: Path, tmp_path: Path) -> None:
    source = Source(kind="folder", path=str(folder))
    first = scrape(source, "fruits", work=tmp_path / "1")
    (folder / "fruits/fig.jpg").touch()
    again = scrape(source, "fruits", work=tmp_path / "2", previous=first.pins)
    assert (again.pins.equals(first.pins), again.files) == (True, {})


def test_a_changed_file_of_the_same_size_is_read_again(folder: Path, tmp_path: Path) -> None:
    source = Source(kind="folder", path=str(folder))
    first = scrape(source, "fruits", work=tmp_path / "1")
    path = folder / "fruits/fig.jpg"
    path.write_bytes(b"x" * path.stat().st_size)
    again = scrape(source, "fruits", work=tmp_path / "2", previous=first.pins)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert again.pins.column("sha256").to_pylist() == [digest]
    assert set(again.files) == {digest}


@pytest.mark.parametrize("query", ["vegetables", "../shop", "/etc"])
def test_a_label_without_a_folder_is_visible(folder: Path, tmp_path: Path, query: str) -> None:
    found = scrape(Source(kind="folder", path=str(folder)), query, work=tmp_path / "w")
    assert (found.complete, found.reason) == (False, f"no pins found for {query!r}")


def test_a_missing_folder_is_a_reason(tmp_path: Path) -> None:
    found = scrape(Source(kind="folder", path=str(tmp_path / "nowhere")), "x", work=tmp_path / "w")
    assert not found.complete
    assert "does not exist" in (found.reason or "")


def test_an_empty_and_an_oversized_file_say_so(folder: Path, tmp_path: Path) -> None:
    (folder / "fruits/none.jpg").write_bytes(b"")
    with (folder / "fruits/vast.jpg").open("wb") as file:
        file.truncate(21 * 2**20)
    found = scrape(Source(kind="folder", path=str(folder)), "fruits", work=tmp_path / "w")
    assert found.pins.column("error").to_pylist() == [None, "empty file", "larger than 20 MiB"]
    assert found.complete


def test_any_fsspec_url_will_do(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/pinflow-test/fruits/fig.jpg", b"a fig")
    found = scrape(Source(kind="folder", path="memory://pinflow-test"), "fruits", work=tmp_path / "w")
    fs.rm("/pinflow-test", recursive=True)
    assert found.pins.column("id").to_pylist() == ["fruits/fig.jpg"]
    assert (found.complete, len(found.files)) == (True, 1)


# -- Hugging Face's imagefolder


def write(root: Path, *names: str) -> Source:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return Source(kind="folder", path=str(root))


def rows_of(source: Source, query: str, work: Path) -> list[dict[str, Any]]:
    found = scrape(source, query, work=work)
    assert found.complete, found.reason
    return [row | {"attributes": dict(row["attributes"])} for row in found.pins.to_pylist()]


@pytest.fixture
def splits(tmp_path: Path) -> Source:
    names = ("train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "validation/Dog/4.jpg", "README.md")
    return write(tmp_path / "hf", *names)


def test_labels_stand_below_the_splits(splits: Source, tmp_path: Path) -> None:
    assert list_labels(splits, work=tmp_path / "w") == ["Dog", "cat"]


def test_a_label_comes_from_every_split_which_is_kept(splits: Source, tmp_path: Path) -> None:
    rows = rows_of(splits, "dog", tmp_path / "w")
    assert [(row["id"], row["attributes"]["split_given"]) for row in rows] == [
        ("train/dog/2.jpg", "train"),
        ("validation/Dog/4.jpg", "validation"),
    ]


def test_a_label_named_train_among_others_is_a_label(tmp_path: Path) -> None:
    source = write(tmp_path / "toys", "train/1.jpg", "car/2.jpg")
    assert list_labels(source, work=tmp_path / "w") == ["car", "train"]
    assert rows_of(source, "train", tmp_path / "w2")[0]["attributes"] == {}


def test_labels_named_train_and_test_alone_are_labels(tmp_path: Path) -> None:
    source = write(tmp_path / "odd", "train/1.jpg", "test/2.jpg")
    assert list_labels(source, work=tmp_path / "w") == ["test", "train"]


METADATA = [
    {"file_name": "1.jpg", "text": "A cat", "label": "cat", "size": 3},
    {"file_name": "more/2.jpg", "text": "A dog", "label": "dog", "objects": {"bbox": [[1, 2, 3, 4]]}},
    {"file_name": "not-there.jpg", "text": "Nothing", "label": "cat"},
    {"file_name": "../../secret.jpg", "text": "Outside", "label": "cat"},
]


@pytest.mark.parametrize("split", ["", "train/", "test/"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_metadata_beside_the_pictures_gives_labels_and_captions(
    tmp_path: Path, split: str, form: str
) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    source = write(tmp_path / "hf", f"{split}1.jpg", f"{split}more/2.jpg", f"{split}stray.jpg")
    table = tmp_path / f"hf/{split}metadata.{form}"
    if form == "jsonl":
        table.write_text("\n".join(map(json.dumps, METADATA)))
    else:
        lines = [f"{row['file_name']},{row['text']},{row['label']}" for row in METADATA]
        table.write_text("\n".join(["file_name,text,label", *lines]) + "\n")
    assert list_labels(source, work=tmp_path / "l") == ["cat", "dog"]
    [cat] = rows_of(source, "cat", tmp_path / "c")
    [dog] = rows_of(source, "Dog", tmp_path / "d")
    assert (cat["id"], cat["caption"]) == (f"{split}1.jpg", "A cat")
    assert (dog["id"], dog["caption"]) == (f"{split}more/2.jpg", "A dog")
    assert cat["attributes"].get("split_given") == (split.rstrip("/") or None)
    if form == "jsonl":
        assert cat["attributes"]["size"] == "3"
        assert json.loads(dog["attributes"]["objects"]) == {"bbox": [[1, 2, 3, 4]]}


def test_metadata_at_the_root_may_name_files_in_splits(tmp_path: Path) -> None:
    source = write(tmp_path / "hf", "train/1.jpg", "test/2.jpg")
    lines = ['{"file_name": "train/1.jpg", "label": "cat"}', '{"file_name": "test/2.jpg", "label": "cat"}']
    (tmp_path / "hf/metadata.jsonl").write_text("\n".join(lines))
    assert list_labels(source, work=tmp_path / "l") == ["cat"]
    rows = rows_of(source, "cat", tmp_path / "w")
    assert [(row["id"], row["attributes"]["split_given"]) for row in rows] == [
        ("test/2.jpg", "test"),
        ("train/1.jpg", "train"),
    ]


def test_metadata_without_labels_describes_the_files_of_the_folders(splits: Source, tmp_path: Path) -> None:
    (tmp_path / "hf/train/metadata.jsonl").write_text('{"file_name": "cat/1.jpg", "text": "One cat"}')
    (tmp_path / "hf/test/cat/metadata.csv").write_text("file_name,text\n3.jpg,Another\n")
    rows = rows_of(splits, "cat", tmp_path / "w")
    assert [(row["id"], row["caption"]) for row in rows] == [
        ("test/cat/3.jpg", "Another"),
        ("train/cat/1.jpg", "One cat"),
    ]


def test_label_by_takes_any_column_of_the_metadata(splits: Source, tmp_path: Path) -> None:
    text = '{"file_name": "cat/1.jpg", "hand": "Ida"}\n{"file_name": "dog/2.jpg", "hand": "Bo"}\n'
    (tmp_path / "hf/train/metadata.jsonl").write_text(text)
    source = splits.model_copy(update={"label_by": "hand"})
    assert list_labels(source, work=tmp_path / "l") == ["Ida", "Bo"]
    assert [row["id"] for row in rows_of(source, "bo", tmp_path / "w")] == ["train/dog/2.jpg"]


def test_label_by_without_a_table_says_what_is_missing(splits: Source, tmp_path: Path) -> None:
    with pytest.raises(ScrapeError, match=r"metadata\.jsonl"):
        list_labels(splits.model_copy(update={"label_by": "hand"}), work=tmp_path / "w")


def test_a_folder_without_labels_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ScrapeError, match="no labels: make a folder for each"):
        list_labels(write(tmp_path / "flat", "1.jpg"), work=tmp_path / "w")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("metadata.jsonl", "no column `file_name`"),
        ("captions.csv", "no column `file`"),
    ],
)
def test_a_table_that_names_no_files_says_so(splits: Source, tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "hf" / table).write_text('{"image": "x"}' if table.endswith("l") else "image,text\nx,y\n")
    with pytest.raises(ScrapeError, match=says):
        list_labels(splits, work=tmp_path / "w")


def test_a_bucket_is_a_folder(s3: str, tmp_path: Path) -> None:
    fs, root = fsspec.core.url_to_fs(s3)
    for name in ("train/cat/1.jpg", "test/cat/2.jpg", "train/dog/3.jpg"):
        fs.pipe(f"{root}/{name}", name.encode())
    fs.pipe(f"{root}/train/metadata.jsonl", b'{"file_name": "cat/1.jpg", "text": "One cat"}')
    source = Source(kind="folder", path=s3)
    assert list_labels(source, work=tmp_path / "l") == ["cat", "dog"]
    first = scrape(source, "cat", work=tmp_path / "1")
    assert first.complete, first.reason
    assert first.pins.column("id").to_pylist() == ["test/cat/2.jpg", "train/cat/1.jpg"]
    assert first.pins.column("caption").to_pylist() == [None, "One cat"]
    assert set(first.files.values()) == {b"test/cat/2.jpg", b"train/cat/1.jpg"}
    again = scrape(source, "cat", work=tmp_path / "2", previous=first.pins)
    assert (again.pins.equals(first.pins), again.files) == (True, {})


def test_a_feed_and_a_missing_folder_in_a_bucket(s3: str, tmp_path: Path) -> None:
    fs, root = fsspec.core.url_to_fs(s3)
    fs.pipe(f"{root}/feed.tsv.gz", gzip.compress(b"id\tcategory\n1\tChairs\n"))
    assert list_labels(Source(kind="feed", path=f"{s3}/feed.tsv.gz"), work=tmp_path / "f") == ["Chairs"]
    for source in (Source(kind="folder", path=f"{s3}/no"), Source(kind="feed", path=f"{s3}/no.csv")):
        assert not scrape(source, "x", work=tmp_path / source.kind).complete


def test_a_folder_on_the_web_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScrapeError, match="local folder or an object store"):
        list_labels(Source(kind="folder", path="http://127.0.0.1:1/x"), work=tmp_path / "w")


def test_the_room_imports_no_scrapy() -> None:
    code = (
        "import sys, pinflow.scraping.scrape, pinflow.scraping.spool, pinflow.scraping.pages.rows\n"
        "heavy = {'scrapy', 'twisted', 'torch', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
