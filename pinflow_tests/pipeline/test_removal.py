"""From a tombstone or an opt-out list to a house without that pin, stage by stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinflow import registry, releases, tombstones
from pinflow.pipeline import removal
from pinflow.pipeline.run import Ran, renew_collection
from pinflow.pipeline.stages import AUTOMATION, REMOVAL
from pinflow_tests.pipeline.houses import SLUGS, Tiny

RED = "plain-red"


def renew(house: Tiny) -> Ran:
    ran = renew_collection(house.defs, house.collection, house.house, house.instance)
    assert ran.failed == {}
    return ran


def pins(house: Tiny, label: str = RED) -> pa.Table:
    return house.store.table(house.store.manifest("tiny", "pins", label), "pins.parquet")


def first(house: Tiny, label: str = RED) -> dict[str, Any]:
    return pins(house, label).to_pylist()[0]


def bury(house: Tiny, *rows: dict[str, Any], reason: str = "purged") -> None:
    def read(sha256: str) -> bytes:
        return house.store.get("tiny", sha256)

    stones = [removal.stone(row["id"], {row["sha256"]}, read, reason=reason) for row in rows]
    removal.bury(house.store, "tiny", stones)


def traces(house: Tiny, row: dict[str, Any]) -> list[str]:
    """Every stored object that still holds the pin's bytes or names it, tombstones aside."""
    original = (house.pictures / row["id"]).read_bytes()
    found = []
    for path in Path(house.settings.storage_url).rglob("*"):
        if not path.is_file() or "tombstones" in path.parts:
            continue
        data = path.read_bytes()
        if original in data or row["id"].encode() in data or named(data, row["id"]):
            found.append(str(path))
    return found


def named(data: bytes, id: str) -> bool:
    if data[:4] != b"PAR1":
        return False
    table = pq.read_table(pa.BufferReader(data))
    texts = [name for name in table.column_names if name in ("id", "related", "duplicates", "duplicate_of")]
    return any(id in str(table[name].to_pylist()) for name in texts)


def test_a_purged_pin_leaves_nothing_behind_and_the_source_is_not_asked(house):
    row = first(house)
    before = house.current()
    assert traces(house, row)
    (house.pictures).rename(house.root / "away")  # asking would fail
    bury(house, row)
    renew(house)
    (house.root / "away").rename(house.pictures)

    assert traces(house, row) == []
    assert house.current() != before
    assert house.release()["labels"][RED]["pictures"] == 3
    assert house.store.manifest("tiny", "pins", RED).status == "complete"
    assert house.store.names("tiny", "erasing") == []
    assert list(house.snapshot.tombstones.ids) == [row["id"]]


def test_the_encoder_keeps_its_heads(house):
    before = house.store.manifest("tiny", "encoder")
    bury(house, first(house))
    renew(house)
    after = house.store.manifest("tiny", "encoder")
    assert after.version == before.version
    assert after.files["rows.parquet"].rows == before.files["rows.parquet"].rows - 1
    changed = {name for name in after.files if after.files[name] != before.files[name]}
    assert changed == {"rows.parquet", "crops.parquet"}


def test_the_tagger_keeps_its_weights_and_names_it_no_more(house):
    before = house.store.manifest("tiny", "tagger")
    bury(house, row := first(house))
    renew(house)
    after = house.store.manifest("tiny", "tagger")
    assert {name for name in after.files if after.files[name] != before.files[name]} == {"rows.parquet"}
    assert row["id"] not in house.store.table(after, "rows.parquet")["id"].to_pylist()


def test_only_the_labels_that_held_it_are_made_again(house):
    before = house.versions()
    bury(house, first(house))
    ran = renew(house)
    changed = {place for place, version in house.versions().items() if before[place] != version}
    assert {label for _, label in changed} == {RED, None}
    assert set(ran.launches) == {RED, None}


def test_a_second_time_changes_nothing(house):
    bury(house, row := first(house))
    renew(house)
    versions, release = house.versions(), house.current()
    bury(house, row)
    renew(house)
    assert (house.versions(), house.current()) == (versions, release)
    assert house.store.names("tiny", "erasing") == []
    assert renew(house).steps == 0


def test_a_scrape_does_not_bring_it_back_nor_its_bytes(house):
    bury(house, row := first(house))
    renew(house)
    release = house.current()
    assert house.run().failed == {}
    assert row["id"] not in pins(house)["id"].to_pylist()
    assert traces(house, row) == []
    assert house.current() == release


def test_the_same_bytes_and_copies_stay_away_under_other_names_and_labels(house):
    from PIL import Image

    bury(house, row := first(house))
    renew(house)
    original = house.pictures / row["id"]
    for label in ("plain-red", "plain-blue"):
        shutil.copy(original, house.pictures / label / "copied.jpg")
        with Image.open(original) as picture:
            picture.resize((picture.width // 2, picture.height // 2)).save(
                house.pictures / label / "smaller.webp", quality=70
            )
    assert house.run().failed == {}
    for label in ("plain-red", "plain-blue"):
        images = house.store.manifest("tiny", "images", label)
        rejects = house.store.table(images, "rejects.parquet").to_pylist()
        fates = {Path(one["id"]).name: one["reason"] for one in rejects}
        assert fates == {"copied.jpg": "tombstone", "smaller.webp": "tombstone"}
    assert traces(house, row) == []


def test_a_near_duplicate_that_was_kept_elsewhere_goes_too(house):
    from PIL import Image

    row = first(house)
    with Image.open(house.pictures / row["id"]) as picture:
        picture.save(house.pictures / "plain-blue" / "again.jpg", quality=60)
    assert house.run().failed == {}
    assert house.release()["labels"]["plain-blue"]["pictures"] == 5
    bury(house, row)
    renew(house)
    assert house.release()["labels"]["plain-blue"]["pictures"] == 4


def test_older_releases_that_hold_it_go_and_the_others_stay(house):
    bury(house, first(house, "plain-blue"))
    renew(house)
    older = house.current()
    bury(house, first(house), reason="gone")
    renew(house)
    assert house.current() != older
    assert house.store.names("tiny", "releases") == [house.current()] or older not in [
        path.split("/")[0] for path in house.store.documents("tiny", "releases")
    ]


def test_a_gone_pin_leaves_what_is_served_and_comes_back_where_it_is_lifted(house):
    bury(house, row := first(house), reason="gone")
    renew(house)
    assert house.release()["labels"][RED]["pictures"] == 3
    assert tombstones.lift(house.store, "tiny", [row["id"]]) == {row["id"]}
    assert house.run().failed == {}
    assert house.release()["labels"][RED]["pictures"] == 4


def test_a_removed_label_is_forgotten_where_it_holds_the_pin(house):
    row = first(house)
    registry.remove(house.store, "tiny", ["plain red"])
    assert house.run().failed == {}
    assert traces(house, row)
    bury(house, row)
    renew(house)
    removal.finish(house.store, "tiny", house.settings.home_path)
    assert traces(house, row) == []
    assert house.store.manifests("tiny", "pins").keys() == {"plain-blue", "plain-green"}


def test_where_no_label_is_left_nothing_is(house):
    row = first(house)
    registry.remove(house.store, "tiny", SLUGS)
    bury(house, row)
    renew(house)
    removal.finish(house.store, "tiny", house.settings.home_path)
    assert house.current() is None
    assert traces(house, row) == []


def test_before_the_first_release_it_works_too(empty_house):
    house = empty_house
    house.add_labels(house.queries)
    house.materialize(["pins"], RED)
    bury(house, row := first(house))
    house.materialize(["pins"], RED)
    removal.finish(house.store, "tiny", house.settings.home_path)
    assert traces(house, row) == []


class Killed(BaseException):
    pass


@pytest.mark.parametrize("dies_after", ["tombstone", "pins", "images", "index", "gallery", "release"])
def test_whoever_dies_half_way_leaves_the_rest_to_the_next_run(house, monkeypatch, dies_after):
    from pinflow.pipeline.run import _Runner

    row = first(house)
    launch = _Runner.launch

    def dying(runner: _Runner, phase: str, label: str | None, stages: list[str], **options: Any) -> None:
        done = stages[: stages.index(dies_after) + 1] if dies_after in stages else stages
        launch(runner, phase, label, done, **options)
        if dies_after in stages:
            raise Killed

    bury(house, row)
    monkeypatch.setattr(_Runner, "launch", dying)
    monkeypatch.setattr("pinflow.pipeline.assets.rollups.finish", lambda *_: None)
    if dies_after != "tombstone":
        with pytest.raises(Killed):
            renew_collection(house.defs, house.collection, house.house, house.instance)
    monkeypatch.undo()
    assert traces(house, row)
    assert house.run().failed == {}
    assert traces(house, row) == []
    assert house.store.names("tiny", "erasing") == []


def test_the_automation_filters_and_does_not_scrape(house):
    bury(house, row := first(house))
    house.pictures.rename(house.root / "away")
    part = house.part("pins", RED)
    part.trigger = AUTOMATION
    from pinflow.pipeline.assets import make

    state = part.commit(make(part, house.house))
    assert (state.status, state.rows) == ("complete", 3)
    part = house.part("pins", RED)
    part.trigger = REMOVAL
    assert make(part, house.house).version == state.version
    assert row["id"] not in house.store.table(state, "pins.parquet")["id"].to_pylist()


def test_an_opt_out_list_is_a_purge_at_the_next_tick(house):
    row = first(house)
    house.store.write(f"{row['id']}  # by mail\n".encode(), "opt_outs", "mail.txt")
    assert house.snapshot.stale("pins") == {RED}
    renew(house)
    (stone,) = house.snapshot.tombstones.all
    assert (stone.id, stone.reason, stone.by) == (row["id"], "opted_out", f"mail.txt, line 1: {row['id']}")
    assert stone.pictures == (row["sha256"],)
    assert len(stone.looks) == 1
    left = [path for path in traces(house, row) if not path.endswith("opt_outs/mail.txt")]
    assert left == []
    assert house.snapshot.stale("pins") == set()
    house.store.delete("opt_outs", "mail.txt")
    assert house.run().failed == {}
    assert row["id"] not in pins(house)["id"].to_pylist()


def test_an_opt_out_by_digest_keeps_a_new_picture_from_being_stored(house):
    import hashlib

    new = house.pictures / RED / "new.jpg"
    shutil.copy(house.pictures / first(house)["id"], new)
    data = new.read_bytes() + b"\0"
    new.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    house.store.write(f"sha256:{sha256}".encode(), "opt_outs", "mail.txt")
    assert house.run().failed == {}
    assert not house.store.has("tiny", sha256)
    assert f"{RED}/new.jpg" in house.snapshot.tombstones.erased


def test_local_copies_and_unfinished_crawls_go(house):
    row, other = first(house), first(house, "plain-blue")
    local = releases.LocalReleases(house.store, house.settings.home_path / "cache" / "releases")
    old = local.fetch("tiny", house.current())
    crawls = house.settings.home_path / "crawl" / "tiny"
    for label, content in (("a", row["id"]), ("b", other["id"]), ("c", "x")):
        (crawls / label).mkdir(parents=True)
        (crawls / label / "crawl.sqlite").write_text(f"...{content}...")
    (crawls / "c" / "crawl.sqlite").write_text(f"...{row['sha256']}...")
    bury(house, row)
    renew(house)
    assert not old.exists()
    assert sorted(path.name for path in crawls.iterdir()) == ["b"]
    assert local.fetch("tiny", house.current()).exists()


def test_a_note_that_is_damaged_holds_nobody_up(house):
    bury(house, first(house))
    house.store.write(b"{ half", "tiny", "erasing", "odd.json")
    renew(house)
    assert house.store.names("tiny", "erasing") == []


def test_nothing_that_is_named_is_erased(house):
    bury(house, first(house))
    renew(house)
    for state in house.snapshot.manifests("images").values():
        assert house.store.missing("tiny", [file.sha256 for file in state.files.values()]) == set()
