"""The spool survives a kill at any moment, and knows where a crawl goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pinflow.scraping import spool as module
from pinflow.scraping.files import Files, span
from pinflow.scraping.pages.listing import Step
from pinflow.scraping.pin import Pin
from pinflow.scraping.spool import Before, Spool

A = Pin("a", ("http://x/a.jpg", "http://x/small/a.jpg"), title="A", attributes={"z": "1", "b": "2"})
B = Pin("b", ("http://x/b.jpg",), title="B", origin_keys=("link:q",))
STEP = Step(url="http://x/page/2", cursor="2")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "work")


def test_a_pin_survives_the_spool(spool: Spool) -> None:
    assert spool.add_pin(A)
    assert list(spool.pins()) == [A]


def test_a_pin_listed_twice_is_one(spool: Spool) -> None:
    spool.add_pin(A)
    assert not spool.add_pin(Pin("a", title="other"))
    assert list(spool.pins()) == [A]


def test_another_process_reads_what_was_written(spool: Spool) -> None:
    spool.add_page([A, B], ["a", "b"], STEP)
    with Spool(spool.work) as other:
        assert (list(other.pins()), other.next_step()) == ([A, B], STEP)


def test_a_page_without_a_successor_ends_the_listing(spool: Spool) -> None:
    assert (spool.next_step(), spool.listed_whole) == (None, False)
    spool.add_page([A], ["a"], STEP)
    assert (spool.next_step(), spool.listed_whole) == (STEP, False)
    spool.add_page([B], ["b"], None)
    assert (spool.next_step(), spool.listed_whole) == (None, True)


def test_only_ids_never_seen_count_as_fresh(spool: Spool) -> None:
    assert [spool.add_page([], ids) for ids in (["a", "b"], ["b", "c"], ["a"], [])] == [2, 1, 0, 0]


def test_a_page_is_kept_whole_or_not_at_all(spool: Spool) -> None:
    def pins():
        yield A
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        spool.add_page(pins(), ["a"], STEP)
    assert (list(spool.pins()), spool.next_step()) == ([], None)


def test_a_cursor_grown_old_starts_the_listing_anew_and_keeps_the_pictures(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.add_page([A], ["a"], STEP)
    spool.add_picture(A.pictures[0], b"a")
    monkeypatch.setattr(module, "RESUME_SECONDS", -1)
    assert (spool.next_step(), list(spool.pins())) == (None, [])
    assert spool.has_picture(A.pictures[0])


def test_a_picture_cut_short_on_disk_is_not_there(spool: Spool) -> None:
    spool.add_picture("u1", b"one")
    spool.add_picture("u2", b"two")
    os.truncate(spool.bodies.path, 5)
    assert (spool.has_picture("u1"), spool.has_picture("u2")) == (True, False)
    spool.add_picture("u2", b"two")
    assert spool.has_picture("u2")


def test_bytes_that_no_row_speaks_of_are_in_nobodys_way(spool: Spool) -> None:
    spool.add_picture("u1", b"one")
    spool.bodies.append(b"killed before its row")
    spool.add_picture("u2", b"two")
    found = [spool.picture(url) for url in ("u1", "u2")]
    spans = b"".join(span(str(one.sha256), one.start or 0, one.size or 0) for one in found if one)
    assert list(Files(spool.bodies.path, spans).values()) == [b"one", b"two"]


def test_a_failure_is_remembered_and_may_be_tried_again(spool: Spool) -> None:
    spool.add_failure("u1", "HTTP 503")
    found = spool.picture("u1")
    assert found is not None
    assert (found.error, spool.has_picture("u1")) == ("HTTP 503", False)
    spool.add_picture("u1", b"one")
    assert spool.has_picture("u1")


def test_what_the_last_scrape_has_is_known(spool: Spool) -> None:
    spool.remember([Before("a", A.pictures[0], True), Before("c", None, False)], ["gone"])
    assert spool.has_picture(A.pictures[0])
    assert (spool.has_related("a"), spool.has_related("c")) == (True, False)
    assert (spool.is_blocked("gone"), spool.is_blocked("a")) == (True, False)


def test_pins_that_a_listing_lacks_are_asked_for_once_in_order(spool: Spool) -> None:
    spool.remember([Before(one, None, False) for one in "zyxa"], [])
    spool.add_pin(A)
    assert [one.id for one in spool.unlisted(2)] == ["z", "y"]
    spool.add_looked_up("z", gone=True)
    assert [one.id for one in spool.unlisted(9)] == ["y", "x"]
    assert spool.looked_up() == {"z": True}


def test_a_full_disk_is_an_os_error(spool: Spool) -> None:
    spool._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(OSError, match="No space left") as raised:
        spool.add_failure("http://x/", "e" * 1_000_000)
    assert raised.value.errno == errno.ENOSPC
