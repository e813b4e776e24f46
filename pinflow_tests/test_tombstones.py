"""What a tombstone says, and what it does to a table; on a disk and on S3."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow import schema, tombstones
from pinflow.errors import CorruptError
from pinflow.store import Store
from pinflow.tombstones import NONE, REMOVED, Look, Tombstone, Tombstones
from pinflow_tests.storages import s3, s3_server, store, url  # noqa: F401  fixtures

A, B = "a" * 64, "b" * 64
LOOK = Look.of(2**63 + 5, bytes(range(256)) * 3)


def of(*stones: Tombstone) -> Tombstones:
    return Tombstones(stones, "d")


def purged(id: str, *pictures: str) -> Tombstone:
    return Tombstone(id=id, reason="purged", pictures=pictures)


def pins(**pictures: str | None) -> pa.Table:
    """Pin id -> sha256; each names all others as related."""
    rows = [
        {
            **dict.fromkeys(schema.PINS.names),
            "id": id,
            "sha256": sha256,
            "bytes": 3,
            "title": f"title of {id}",
            "attributes": [],
            "origin_keys": [],
            "related": [other for other in pictures if other != id],
        }
        for id, sha256 in pictures.items()
    ]
    return pa.Table.from_pylist(rows, schema=schema.PINS)


def test_before_the_first_there_is_nothing(store: Store):  # noqa: F811
    assert tombstones.read(store, "shop") == NONE
    assert NONE.digest is None


def test_what_is_written_is_read_with_its_time(store: Store):  # noqa: F811
    stone = Tombstone(id="two/0 ü.jpg", reason="purged", pictures=(A,), looks=(LOOK,), by="me", why="asked")
    (written,) = tombstones.add(store, "shop", [stone])
    found = tombstones.read(store, "shop")
    assert found.all == (written,)
    assert written.when.endswith("+00:00")
    assert (found.ids, found.pictures, found.phashes) == ({stone.id}, {A}, {2**63 + 5})
    assert found.looks[0].levels == bytes(range(256)) * 3


def test_the_same_again_writes_nothing_and_changes_no_digest(store: Store):  # noqa: F811
    tombstones.add(store, "shop", [purged("1", A)])
    before = tombstones.read(store, "shop").digest
    assert tombstones.add(store, "shop", [purged("1", A), purged("1")]) == []
    assert tombstones.read(store, "shop").digest == before


def test_a_graver_reason_stays_and_what_is_known_of_the_pictures_is_joined(store: Store):  # noqa: F811
    gone = Tombstone(id="1", reason="gone", pictures=(B,), by="source")
    tombstones.add(store, "shop", [gone])
    tombstones.add(store, "shop", [Tombstone(id="1", reason="purged", pictures=(A,), why="asked")])
    tombstones.add(store, "shop", [gone])
    (one,) = tombstones.read(store, "shop").all
    assert (one.reason, one.pictures, one.why) == ("purged", (A, B), "asked")


def test_only_what_was_gone_comes_back(store: Store):  # noqa: F811
    tombstones.add(store, "shop", [purged("1"), Tombstone(id="2", reason="gone")])
    assert tombstones.lift(store, "shop", ["1", "2", "3"]) == {"2"}
    assert tombstones.read(store, "shop").ids == {"1"}


@pytest.mark.parametrize(
    "data",
    [
        b"{ half",
        b'{"ids": ["1"]}',
        b'{"id": "1", "reason": "bored"}',
        b'{"id": "1", "reason": "gone", "pictures": ["short"]}',
        b'{"id": "1", "reason": "gone", "looks": [{"phash": "1", "signature": ""}]}',
        b"\xff",
    ],
)
def test_a_damaged_one_is_named_with_what_to_do(store: Store, data: bytes):  # noqa: F811
    store.write(data, "shop", "tombstones", "odd.json")
    with pytest.raises(CorruptError, match=r"shop/tombstones/odd\.json is damaged .* purge its pin again"):
        tombstones.read(store, "shop")


def test_a_removed_pin_leaves_the_pins_and_the_related_pins_of_others():
    left = of(purged("1", A)).without(pins(**{"1": A, "2": B, "3": None}))
    assert left["id"].to_pylist() == ["2", "3"]
    assert left["related"].to_pylist() == [["3"], ["2"]]
    assert schema.problems(left, schema.PINS) == []


def test_another_pin_with_the_same_bytes_stays_listed_without_a_picture():
    (row,) = of(purged("1", A)).without(pins(**{"9": A})).to_pylist()
    assert (row["sha256"], row["bytes"], row["fetched_at"], row["error"]) == (None, None, None, REMOVED)
    assert row["title"] == "title of 9"


def test_a_pin_that_is_merely_gone_may_still_be_named():
    gone = of(Tombstone(id="1", reason="gone"))
    left = gone.without(pins(**{"1": A, "2": B}))
    assert left["related"].to_pylist() == [["1"]]
    assert not gone.holds(left)
    assert gone.erase(pins(**{"1": A})).num_rows == 1


def test_where_there_is_nothing_to_remove_the_table_is_the_same_one():
    table = pins(**{"1": A})
    stones = of(purged("2", B))
    for left in (stones.without(table), stones.erase(table), stones.left(table), NONE.without(table)):
        assert left is table


@given(
    st.dictionaries(st.text(), st.sampled_from([None, A, B, "c" * 64]), max_size=5),
    st.lists(st.builds(purged, st.text(min_size=1), st.sampled_from([A, B])), max_size=3),
)
def test_what_is_left_holds_nothing_that_was_removed(pictures, stones):
    removed = of(*stones)
    left = removed.without(pins(**pictures))
    assert not removed.holds(left)
    assert set(left["id"].to_pylist()) == pictures.keys() - removed.ids
    assert removed.without(left) is left


def test_a_pin_is_gone_only_where_no_label_lists_it():
    assert tombstones.gone("1", A, LOOK, [("1", A), ("2", B)]) is None
    stone = tombstones.gone("1", A, LOOK, [("2", B)], why="missed twice")
    assert (stone.reason, stone.pictures, stone.looks) == ("gone", (A,), (LOOK,))


def test_the_picture_of_a_gone_pin_is_free_where_another_shows_the_same_bytes():
    stone = tombstones.gone("1", A, LOOK, [("2", A)])
    assert (stone.pictures, stone.looks) == ((), ())
    assert tombstones.gone("1", None, None, []).pictures == ()


def test_a_tombstone_is_a_document_that_a_person_can_read(store: Store):  # noqa: F811
    tombstones.add(store, "shop", [purged("1", A)])
    (data,) = store.documents("shop", "tombstones").values()
    assert {"id": "1", "reason": "purged", "pictures": [A]}.items() <= json.loads(data).items()
