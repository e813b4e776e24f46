"""A folder as a source: no network, no Scrapy."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

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
    assert {key: path.read_bytes() for key, path in found.files.items()} == {digest: body}
    assert all(path.is_relative_to(tmp_path / "w") for path in found.files.values())


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
