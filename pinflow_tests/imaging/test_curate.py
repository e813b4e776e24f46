"""Every pin becomes a picture or a reject with a reason, the same way every time."""

from __future__ import annotations

import io
import time

import pyarrow as pa
import pytest
from PIL import Image

from pinflow import schema
from pinflow.errors import CorruptError, StoreError
from pinflow.imaging.curate import _AHEAD, Curation, _learn, curate
from pinflow.imaging.derivatives import WORKERS, derive
from pinflow.imaging.shards import SHARD_ROWS
from pinflow.tombstones import REMOVED, Look
from pinflow_tests.imaging.pictures import Listing, encoded, scene


def fates(curation: Curation) -> dict[str, tuple[str, str | None]]:
    rejects = curation.rejects.to_pylist()
    return {row["id"]: (row["reason"], row["duplicate_of"]) for row in rejects}


def kept(curation: Curation) -> list[str]:
    return curation.pictures["id"].to_pylist()


def rows(tables: object) -> list[dict[str, object]]:
    return [row for table in tables for row in table.to_pylist()]  # type: ignore[attr-defined]


def mixed() -> Listing:
    listing = Listing()
    for seed in range(5):
        listing.add(f"p{seed}", encoded(scene(seed), "JPEG", quality=95), title=f"scene {seed}")
    listing.add("same-as-1", listing.blobs[listing.rows[1]["sha256"]])
    listing.add("like-2", encoded(scene(2).resize((90, 68)), "JPEG", quality=70))
    listing.add("same-as-like-2", listing.blobs[listing.rows[6]["sha256"]])
    listing.add("gone", None, error="404")
    listing.add("text", b"<html>")
    listing.add("text-again", b"<html>")
    listing.add("tiny", encoded(scene(9, 20, 20)))
    listing.add("strip", encoded(scene(9, 1000, 40)))
    return listing


def test_every_pin_is_sorted_out() -> None:
    listing = mixed()
    curation = curate(listing.table(), listing.read)
    assert kept(curation) == ["p0", "p1", "p2", "p3", "p4"]
    assert fates(curation) == {
        "same-as-1": ("exact_duplicate", "p1"),
        "like-2": ("near_duplicate", "p2"),
        "same-as-like-2": ("exact_duplicate", "p2"),
        "gone": ("not_fetched", None),
        "text": ("not_a_picture", None),
        "text-again": ("not_a_picture", None),
        "tiny": ("too_small", None),
        "strip": ("too_small", None),
    }
    assert schema.problems(curation.pictures, schema.PICTURES) == []
    assert schema.problems(curation.rejects, schema.REJECTS) == []
    assert curation.rejects["id"].to_pylist() == sorted(fates(curation))
    two = curation.pictures.to_pylist()[2]
    assert (two["duplicates"], two["title"], two["width"], two["height"]) == (["like-2"], "scene 2", 120, 90)


def test_derivatives_are_small_plain_and_sorted() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    listing = Listing()
    listing.add("b", encoded(scene(1, 800, 400), "JPEG", exif=exif, comment=b"SecretPlace"))
    listing.add("a", encoded(scene(2, 100, 60)))
    curation = curate(listing.table(), listing.read)
    (shard,), (thumbnails,) = curation.shards, curation.thumbnails
    assert schema.problems(shard, schema.SHARD) == []
    assert schema.problems(thumbnails, schema.THUMBNAILS) == []
    assert shard["id"].to_pylist() == thumbnails["id"].to_pylist() == ["a", "b"]
    sizes = [Image.open(io.BytesIO(data)).size for data in shard["jpeg"].to_pylist()]
    assert sizes == [(100, 60), (128, 256)]
    assert [Image.open(io.BytesIO(data)).size for data in thumbnails["webp"].to_pylist()] == [
        (100, 60),
        (128, 256),
    ]
    for data in [*shard["jpeg"].to_pylist(), *thumbnails["webp"].to_pylist()]:
        assert b"Secret" not in data
        assert not dict(Image.open(io.BytesIO(data)).getexif())


def test_no_pins() -> None:
    curation = curate(schema.empty(schema.PINS), Listing().read)
    assert (len(curation.pictures), len(curation.rejects), len(curation.shards)) == (0, 0, 0)
    assert curation.pictures.schema == schema.PICTURES
    assert curation.rejects.schema == schema.REJECTS
    assert list(curation.thumbnails) == []


def test_one_picture() -> None:
    listing = Listing().add("only", encoded(scene(1)))
    curation = curate(listing.table(), listing.read)
    assert kept(curation) == ["only"]
    assert [len(shard) for shard in curation.shards] == [1]


def test_all_the_same_picture() -> None:
    listing = Listing()
    for key in "cab":
        listing.add(key, encoded(scene(1)))
    curation = curate(listing.table(), listing.read)
    assert kept(curation) == ["c"]
    assert fates(curation) == {"a": ("exact_duplicate", "c"), "b": ("exact_duplicate", "c")}
    assert len(listing.reads) == 1


def test_pictures_that_differ_only_in_colour_are_both_kept() -> None:
    listing = Listing()
    for channels in ("RGB", "BGR"):
        bands = dict(zip("RGB", scene(4).split(), strict=True))
        listing.add(channels, encoded(Image.merge("RGB", [bands[c] for c in channels])))
    assert kept(curate(listing.table(), listing.read)) == ["BGR", "RGB"]


def test_tombstones_never_come_back() -> None:
    listing = mixed()
    before = curate(listing.table(), listing.read)
    dead = listing.rows[0]["sha256"]
    after = curate(listing.table(), listing.read, previous=before.pictures, tombstones={dead})
    assert "p0" not in kept(after)
    assert fates(after)["p0"] == ("tombstone", None)


@pytest.mark.parametrize("cut", [0, 1, 3, 6, 8, 13])
def test_incremental_equals_from_scratch(cut: int) -> None:
    listing = mixed()
    first = curate(listing.table(cut), listing.read)
    second = curate(listing.table(), listing.read, previous=first.pictures)
    whole = curate(listing.table(), listing.read)
    assert second.pictures.equals(whole.pictures)
    assert second.rejects.equals(whole.rejects)
    assert sorted(map(str, rows(first.shards) + rows(second.shards))) == sorted(map(str, rows(whole.shards)))


def test_what_is_known_is_not_decoded_again() -> None:
    listing = Listing()
    for seed in range(4):
        listing.add(f"p{seed}", encoded(scene(seed)))
    first = curate(listing.table(), listing.read)
    listing.reads.clear()
    listing.add("new", encoded(scene(7)))
    second = curate(listing.table(), listing.read, previous=first.pictures)
    assert listing.reads == [listing.rows[-1]["sha256"]]
    assert [row["id"] for row in rows(second.shards)] == ["new"]


def test_the_picture_kept_before_is_kept_still() -> None:
    listing = Listing().add("old", encoded(scene(1)))
    first = curate(listing.table(), listing.read)
    listing.add("newer", encoded(scene(1), "JPEG", quality=90))
    listing.add("same", encoded(scene(1)))
    listing.rows.reverse()
    second = curate(listing.table(), listing.read, previous=first.pictures)
    assert kept(second) == ["old"]
    assert fates(second) == {"newer": ("near_duplicate", "old"), "same": ("exact_duplicate", "old")}


def test_a_pin_whose_picture_changed_is_decoded_again() -> None:
    listing = Listing().add("a", encoded(scene(1)))
    first = curate(listing.table(), listing.read)
    changed = Listing().add("a", encoded(scene(2)))
    second = curate(changed.table(), changed.read, previous=first.pictures)
    assert second.pictures["phash"] != first.pictures["phash"]
    assert len(second.shards) == 1


def test_damaged_storage_refuses_one_picture_and_a_lost_store_stops() -> None:
    listing = mixed()

    def damaged(sha: str) -> bytes:
        if sha == listing.rows[3]["sha256"]:
            raise CorruptError("blob does not hash to its name")
        return listing.read(sha)

    def lost(sha: str) -> bytes:
        raise StoreError("storage unreachable")

    curation = curate(listing.table(), damaged)
    assert kept(curation) == ["p0", "p1", "p2", "p4"]
    assert fates(curation)["p3"] == ("corrupt", None)
    with pytest.raises(StoreError, match="unreachable"):
        curate(listing.table(), lost)


def test_what_is_made_does_not_pile_up_before_whoever_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    ahead: list[int] = []

    def learn(row: int, made: object, known: object) -> None:
        time.sleep(0.001)  # slower than the threads
        taken.append(row)
        _learn(row, made, known)  # type: ignore[arg-type]

    def read(sha256: str) -> bytes:
        ahead.append(len(ahead) - len(taken))
        return listing.read(sha256)

    listing = Listing()
    for number in range(200):
        listing.add(f"p{number}", f"no picture {number}".encode())
    monkeypatch.setattr("pinflow.imaging.curate._learn", learn)
    assert curate(listing.table(), read).rejects.num_rows == 200
    assert max(ahead) <= (_AHEAD + 1) * WORKERS


def test_two_pins_of_one_id_are_an_error() -> None:
    listing = Listing().add("a", None).add("a", None)
    with pytest.raises(ValueError, match="one id"):
        curate(listing.table(), listing.read)


def test_shards_are_bounded_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinflow.imaging.shards.SHARD_ROWS", 2)
    listing = mixed()
    curation = curate(listing.table(), listing.read)
    assert [len(shard) for shard in curation.shards] == [2, 2, 1]
    assert [len(table) for table in curation.thumbnails[1:]] == [2, 1]
    monkeypatch.undo()
    assert SHARD_ROWS >= 5
    (whole,) = curate(listing.table(), listing.read).shards
    assert pa.concat_tables(list(curation.shards)).equals(whole)


def look_of(data: bytes) -> Look:
    made = derive(data)
    return Look.of(made.phash, made.signature.tobytes())


def test_a_copy_of_a_removed_picture_is_refused_and_what_only_looks_alike_is_kept() -> None:
    removed = scene(1)
    listing = Listing().add("copy", encoded(removed, "JPEG", quality=60))
    listing.add("twin", listing.blobs[listing.rows[0]["sha256"]]).add("other", encoded(scene(2)))
    grey = encoded(removed.convert("L").convert("RGB"))  # the same hash, other colours
    after = curate(listing.add("grey", grey).table(), listing.read, looks=[look_of(encoded(removed))])

    assert {key: fate[0] for key, fate in fates(after).items()} == {"copy": "tombstone", "twin": "tombstone"}
    assert after.pictures["id"].to_pylist() == ["grey", "other"]


def test_a_picture_that_was_kept_goes_when_one_that_it_copies_is_removed() -> None:
    listing = Listing().add("a", encoded(scene(1), "JPEG", quality=90)).add("b", encoded(scene(2)))
    before = curate(listing.table(), listing.read)
    looks = [look_of(encoded(scene(1)))]
    after = curate(listing.table(), listing.read, previous=before.pictures, looks=looks)
    assert after.pictures["id"].to_pylist() == ["b"]
    assert fates(after)["a"][0] == "tombstone"
    assert not after.shards


def test_a_pin_without_its_removed_picture_says_so() -> None:
    listing = Listing().add("a", None, error=REMOVED).add("b", None, error="404")
    assert {key: fate[0] for key, fate in fates(curate(listing.table(), listing.read)).items()} == {
        "a": "tombstone",
        "b": "not_fetched",
    }
