"""The spool survives a kill at any byte; the table keeps what was known and changes only with the source."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pinflow import schema
from pinflow.scraping.pin import Pin
from pinflow.scraping.spool import Spool
from pinflow.scraping.table import Previous, assemble

A = Pin("a", ("http://x/a.jpg", "http://x/small/a.jpg"), title="A", attributes={"z": "1", "b": "2"})
B = Pin("b", ("http://x/b.jpg",), title="B", origin_keys=("link:q",))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "work")


def scraped(spool: Spool, *pins: Pin, previous: pa.Table | None = None, complete: bool = True) -> pa.Table:
    table, _, _ = assemble(pins, {}, spool, Previous(previous), complete)
    return table


def test_a_pin_survives_the_spool(spool: Spool) -> None:
    spool.add_pin("r1", A)
    assert spool.pins("r1") == [A]


def test_pins_of_another_crawl_are_told_apart(spool: Spool) -> None:
    spool.add_pin("r1", A)
    spool.add_pin("r2", B)
    assert (spool.pins("r2"), spool.pins(None)) == ([B], [A, B])


@pytest.mark.parametrize("torn", [1, 5, 20])
def test_a_line_torn_by_a_kill_costs_only_itself(spool: Spool, torn: int) -> None:
    spool.add_picture("u1", b"one")
    spool.add_picture("u2", b"two")
    index = spool.work / "pictures.jsonl"
    index.write_bytes(index.read_bytes()[:-torn])
    spool.add_picture("u3", b"three")
    assert set(spool.pictures()[0]) == {"u1", "u3"}


def test_a_picture_cut_short_on_disk_is_not_there(spool: Spool) -> None:
    picture = spool.add_picture("u1", b"one")
    spool.path(picture.sha256).write_bytes(b"o")
    assert spool.pictures()[0] == {}


def test_the_table_has_the_schema(spool: Spool) -> None:
    spool.add_picture(A.pictures[0], b"bytes of a")
    assert schema.problems(scraped(spool, A, B), schema.PINS) == []


def test_the_picture_url_is_where_the_bytes_came_from(spool: Spool) -> None:
    spool.add_failure(A.pictures[0], "HTTP 403")
    spool.add_picture(A.pictures[1], b"bytes of a")
    row = scraped(spool, A).to_pylist()[0]
    assert (row["picture_url"], row["error"], row["bytes"]) == (A.pictures[1], None, 10)


def test_a_second_choice_kept_from_before_counts_as_unchanged(spool: Spool, tmp_path: Path) -> None:
    spool.add_picture(A.pictures[1], b"bytes of a")
    before = scraped(spool, A)
    table, files, counts = assemble([A], {}, Spool(tmp_path / "next"), Previous(before), True)
    assert (table.equals(before), files, counts["reused"]) == (True, {}, 1)


def test_a_shuffled_listing_changes_nothing(spool: Spool, tmp_path: Path) -> None:
    before = scraped(spool, A, B)
    assert scraped(Spool(tmp_path / "next"), B, A, previous=before).equals(before)


def test_descriptions_are_refreshed_and_pictures_kept(spool: Spool, tmp_path: Path) -> None:
    spool.add_picture(A.pictures[0], b"bytes of a")
    before = scraped(spool, A).to_pylist()[0]
    table = scraped(Spool(tmp_path / "next"), Pin("a", A.pictures, title="New"), previous=scraped(spool, A))
    after = table.to_pylist()[0]
    assert after["title"] == "New"
    assert (after["sha256"], after["fetched_at"]) == (before["sha256"], before["fetched_at"])


def test_a_vanished_pin_is_dropped_by_a_complete_crawl_only(spool: Spool, tmp_path: Path) -> None:
    before = scraped(spool, A, B)
    gone = scraped(Spool(tmp_path / "1"), B, previous=before, complete=True)
    kept = scraped(Spool(tmp_path / "2"), B, previous=before, complete=False)
    assert (gone.column("id").to_pylist(), kept.column("id").to_pylist()) == (["b"], ["a", "b"])


def test_a_picture_that_moved_and_failed_is_not_lost(spool: Spool, tmp_path: Path) -> None:
    spool.add_picture(A.pictures[0], b"bytes of a")
    before = scraped(spool, A)
    after = Spool(tmp_path / "next")
    after.add_failure("http://x/new.jpg", "HTTP 404")
    table, _, counts = assemble([Pin("a", ("http://x/new.jpg",))], {}, after, Previous(before), True)
    row = table.to_pylist()[0]
    assert (row["sha256"], counts["failed"]) == (before.column("sha256")[0].as_py(), 1)


def test_a_failed_picture_says_why(spool: Spool) -> None:
    spool.add_failure(B.pictures[0], "HTTP 404")
    row = scraped(spool, B).to_pylist()[0]
    assert (row["sha256"], row["error"], row["fetched_at"]) == (None, "HTTP 404", None)


def test_missing_fields_are_counted(spool: Spool) -> None:
    _, _, counts = assemble([A, B], {}, spool, Previous(None), True)
    assert (counts["missing_caption"], counts["missing_title"]) == (2, 0)
