"""The table of pins keeps what was known, and changes only with the source."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pinflow import schema
from pinflow.scraping.pin import Pin
from pinflow.scraping.previous import Previous
from pinflow.scraping.spool import Spool
from pinflow.scraping.table import Assembled, assemble

A = Pin("a", ("http://x/a.jpg", "http://x/small/a.jpg"), title="A", attributes={"z": "1", "b": "2"})
B = Pin("b", ("http://x/b.jpg",), title="B", origin_keys=("link:q",))
C = Pin("c", ("http://x/c.jpg",), title="C")
NIGHT = datetime(2026, 11, 1, 3, tzinfo=UTC)


class Label:
    """One label, scraped night after night. A keyword is what happens to the spool before it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nights = 0
        self.state: Assembled | None = None

    def night(
        self,
        *pins: Pin,
        bodies: dict[str, bytes] | None = None,
        failures: dict[str, str] | None = None,
        looked_up: dict[str, bool] | None = None,
        refused: dict[str, str] | None = None,
        complete: bool = True,
        exhaustive: bool = True,
        per_label: int = 100,
    ) -> Assembled:
        old = self.state
        self.nights += 1
        previous = Previous(old.pins if old else None, old.sightings if old else None)
        with Spool(self.folder / str(self.nights)) as spool:
            spool.remember(previous.before([*previous.row_of]), [])
            for pin in pins:
                spool.add_pin(pin)
            for url, body in (bodies or {}).items():
                spool.add_picture(url, body)
            for url, error in (failures or {}).items():
                spool.add_failure(url, error)
            for one, gone in (looked_up or {}).items():
                spool.add_looked_up(one, gone)
            for one, why in (refused or {}).items():
                spool.add_refused(one, why)
            self.state = assemble(
                spool,
                previous,
                now=self.now,
                complete=complete,
                exhaustive=exhaustive,
                related=True,
                per_label=per_label,
            )
        return self.state

    @property
    def now(self) -> datetime:
        return NIGHT + timedelta(days=self.nights)


@pytest.fixture
def label(tmp_path: Path) -> Label:
    return Label(tmp_path)


def ids(state: Assembled) -> list[str]:
    return state.pins["id"].to_pylist()


def row(state: Assembled, pin: str = "a") -> dict:
    return next(one for one in state.pins.to_pylist() if one["id"] == pin)


def seen(state: Assembled, pin: str = "a") -> dict:
    return next(one for one in state.sightings.to_pylist() if one["id"] == pin)


def test_the_tables_have_their_schemas(label: Label) -> None:
    state = label.night(A, B, bodies={A.pictures[0]: b"bytes of a"})
    assert schema.problems(state.pins, schema.PINS) == []
    assert schema.problems(state.sightings, schema.SIGHTINGS) == []


def test_an_empty_label_has_empty_tables(label: Label) -> None:
    state = label.night()
    assert (state.pins.num_rows, state.pins.schema) == (0, schema.PINS)


def test_the_picture_url_is_where_the_bytes_came_from(label: Label) -> None:
    state = label.night(A, bodies={A.pictures[1]: b"bytes of a"}, failures={A.pictures[0]: "HTTP 403"})
    assert (row(state)["picture_url"], row(state)["error"], row(state)["bytes"]) == (A.pictures[1], None, 10)


def test_a_second_choice_kept_from_before_counts_as_unchanged(label: Label) -> None:
    before = label.night(A, bodies={A.pictures[1]: b"bytes of a"})
    after = label.night(A)
    assert (after.pins.equals(before.pins), after.files, after.counts["reused"]) == (True, {}, 1)


def test_a_shuffled_listing_changes_nothing(label: Label) -> None:
    before = label.night(A, B, C)
    assert label.night(C, A, B).pins is not None
    assert ids(label.night(B, C, A)) == ids(before)


def test_new_pins_follow_the_old_ones(label: Label) -> None:
    label.night(B)
    assert ids(label.night(C, B, A)) == ["b", "c", "a"]


def test_descriptions_are_refreshed_and_pictures_kept(label: Label) -> None:
    before = row(label.night(A, bodies={A.pictures[0]: b"bytes of a"}))
    state = label.night(Pin("a", A.pictures, title="New", attributes=A.attributes))
    after = row(state)
    assert (after["title"], state.counts["changed"]) == ("New", 1)
    assert (after["sha256"], after["fetched_at"]) == (before["sha256"], before["fetched_at"])
    assert (seen(state)["changed_at"], seen(state)["changed"]) == (label.now, ["title"])


def test_a_picture_that_moved_and_failed_is_not_lost(label: Label) -> None:
    before = label.night(A, bodies={A.pictures[0]: b"bytes of a"})
    after = label.night(Pin("a", ("http://x/new.jpg",)), failures={"http://x/new.jpg": "HTTP 404"})
    assert (row(after)["sha256"], after.counts["failed"]) == (row(before)["sha256"], 1)


def test_a_failed_picture_says_why(label: Label) -> None:
    one = row(label.night(B, failures={B.pictures[0]: "HTTP 404"}), "b")
    assert (one["sha256"], one["error"], one["fetched_at"]) == (None, "HTTP 404", None)


def test_missing_fields_are_counted(label: Label) -> None:
    counts = label.night(A, B).counts
    assert (counts["missing_caption"], counts["missing_title"]) == (2, 0)


def test_first_and_last_seen_are_remembered(label: Label) -> None:
    label.night(A)
    first = label.now
    label.night(A, B)
    state = label.night(A, B)
    assert (seen(state)["first_seen"], seen(state)["last_seen"]) == (first, label.now)
    assert seen(state, "b")["first_seen"] == first + timedelta(days=1)


def test_a_pin_missing_once_is_kept_and_twice_is_gone(label: Label) -> None:
    label.night(A, B)
    once = label.night(B)
    assert (ids(once), once.gone, once.counts["missing"]) == (["a", "b"], [], 1)
    missing_since = label.now
    twice = label.night(B)
    assert (ids(twice), list(twice.gone)) == (["b"], ["a"])
    assert (seen(twice)["missing_since"], seen(twice)["gone_at"]) == (missing_since, label.now)


def test_a_pin_that_comes_back_in_between_was_never_gone(label: Label) -> None:
    label.night(A, B)
    label.night(B)
    label.night(A, B)
    state = label.night(B)
    assert (ids(state), list(state.gone)) == (["a", "b"], [])


def test_a_pin_gone_and_listed_again_has_returned(label: Label) -> None:
    label.night(A, B)
    label.night(B)
    label.night(B)
    state = label.night(A, B)
    assert (state.counts["returned"], ids(state), seen(state)["gone_at"]) == (1, ["b", "a"], None)


def test_an_incomplete_scrape_proves_nothing(label: Label) -> None:
    label.night(A, B)
    for _ in range(3):
        state = label.night(B, complete=False)
    assert (ids(state), list(state.gone), seen(state)["missed"]) == (["a", "b"], [], 0)


def test_what_a_search_lacks_is_missing_only_where_the_site_says_so(label: Label) -> None:
    label.night(A, B, C)
    for _ in range(2):
        state = label.night(C, exhaustive=False, looked_up={"a": True, "b": False})
    assert (ids(state), list(state.gone)) == (["b", "c"], ["a"])
    assert seen(state, "b")["last_seen"] == label.now
    for _ in range(3):
        state = label.night(C, exhaustive=False)
    assert ids(state) == ["b", "c"]


def test_newer_pins_take_the_place_of_those_not_seen_for_longest(label: Label) -> None:
    label.night(A)
    label.night(B, exhaustive=False)
    state = label.night(C, exhaustive=False, per_label=2)
    assert (ids(state), list(state.gone), state.counts["displaced"]) == (["b", "c"], [], 1)


def test_a_refused_pin_leaves_the_table_at_once(label: Label) -> None:
    label.night(A, B)
    assert ids(label.night(B, refused={"a": "opted out: a"})) == ["b"]


def test_previous_finds_rows_without_holding_them(label: Label) -> None:
    state = label.night(A, B, bodies={A.pictures[0]: b"bytes of a"})
    previous = Previous(state.pins, state.sightings)
    assert previous.by_id["b"]["title"] == "B"
    assert (A.pictures[0] in previous.by_url, B.pictures[0] in previous.by_url) == (True, False)
    assert [one and one["id"] for one in previous.rows(["b", "x", "a"])] == ["b", None, "a"]


def test_a_table_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="missing columns"):
        Previous(pa.table({"id": ["a"]}))


def test_bytes_that_were_removed_are_not_asked_for_again(label: Label, tmp_path: Path) -> None:
    from pinflow.tombstones import Tombstone, Tombstones

    state = label.night(A, bodies={A.pictures[0]: b"bytes of a"})
    stone = Tombstone(id="other", reason="purged", pictures=(row(state)["sha256"],))
    pins = Tombstones((stone,), "digest").without(state.pins)
    with Spool(tmp_path / "next") as spool:
        spool.remember(Previous(pins).before(["a"]), [])
        assert spool.has_picture(A.pictures[0])
    label.state = replace(state, pins=pins)
    assert label.night(A).pins.equals(pins)
