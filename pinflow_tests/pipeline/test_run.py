"""`pinflow run`, whole: from pictures in a folder or on a site to a release."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pinflow import registry
from pinflow.collection import Collection, Source
from pinflow.errors import CollectionError, LabelError
from pinflow.pipeline.run import Ran
from pinflow.pipeline.stages import STAGES
from pinflow.sample.samples import read
from pinflow.sample.site import SampleSite
from pinflow_tests.pipeline.houses import Tiny, change_pictures

CAPTIONS = """file,label,title,caption,price,currency,creator,licence,link,period
two/0.jpg,two,A red disc,Round and red,12.50,EUR,Ada,CC0,https://example.org/two/0,modern
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Iterator[tuple[Tiny, Ran]]:
    """Labels with no picture, one and two; one picture of `plain red` stands under `shared` too."""
    root = tmp_path_factory.mktemp("odd")
    red = sorted((drawn / "market" / "plain-red").glob("*.jpg"))
    green = sorted((drawn / "market" / "plain-green").glob("*.jpg"))
    blue = sorted((drawn / "market" / "plain-blue").glob("*.jpg"))
    market = root / "pictures" / "market"
    contents = {"none": [], "one": green[:1], "two": blue[:2], "plain red": red, "shared": [red[0], blue[3]]}
    for label, pictures in contents.items():
        (market / label).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            shutil.copy(picture, market / label / f"{number}.jpg")
    (market / "captions.csv").write_text(CAPTIONS, encoding="utf-8")
    house = Tiny(root, queries=list(contents))
    yield house, house.run()
    house.instance.dispose()


def test_labels_with_none_one_and_two_pictures_go_all_the_way(odd):
    house, ran = odd
    assert ran.failed == {}
    labels = house.release()["labels"]
    assert {slug: label["pictures"] for slug, label in labels.items()} == {
        "none": 0,
        "one": 1,
        "two": 2,
        "plain-red": 4,
        "shared": 2,
    }
    for stage in STAGES.values():
        if stage.per_label:
            assert set(house.snapshot.manifests(stage.name)) == set(labels)


def test_a_label_without_pictures_is_incomplete_and_says_why(odd):
    house, _ = odd
    labels = house.release()["labels"]
    assert labels["none"]["status"] == "incomplete"
    assert "no pins found for 'none'" in labels["none"]["reason"]
    assert {labels[slug]["status"] for slug in ("one", "two", "plain-red", "shared")} == {"complete"}


def test_a_picture_under_two_labels_is_of_one_group_and_never_in_two_splits(odd):
    house, _ = odd
    rows = house.store.table(house.store.manifest("tiny", "encoder"), "rows.parquet")
    by_picture: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows.select(["sha256", "label", "group", "split"]).to_pylist():
        by_picture.setdefault(row["sha256"], []).append((row["label"], row["group"], row["split"]))
    (twice,) = [found for found in by_picture.values() if len(found) > 1]
    assert {label for label, _, _ in twice} == {"plain-red", "shared"}
    assert len({group for _, group, _ in twice}) == 1
    assert len({split for _, _, split in twice if split != "held_out"}) == 1


def test_what_is_known_of_a_pin_travels_to_the_release(odd):
    house, _ = odd
    digest = house.release()["files"]["pins.parquet"]["sha256"]
    pins = pa.parquet.read_table(pa.BufferReader(house.store.get("tiny", digest)))
    row = next(row for row in pins.to_pylist() if row["id"] == "two/0.jpg")
    expected = {
        "labels": ["two"],
        "title": "A red disc",
        "caption": "Round and red",
        "price": 12.5,
        "currency": "EUR",
        "creator": "Ada",
        "licence": "CC0",
        "page_url": "https://example.org/two/0",
    }
    assert {name: row[name] for name in expected} == expected
    assert ("period", "modern") in row["attributes"]
    assert (row["width"], row["height"]) == (240, 180)
    assert pins.num_rows == 9


def test_a_release_names_its_encoder_and_holds_each_labels_own_index(odd):
    house, _ = odd
    release = house.release()
    encoder = house.store.manifest("tiny", "encoder")
    assert release["encoder"]["digest"] == encoder.facts["served"]
    assert {"pins.parquet", "gallery.faiss", "vectors.npy", "encoder.safetensors"} <= set(release["files"])
    assert {"lookup.json", "price.json"} <= set(release["files"])
    assert "labels/two/index.faiss" in release["files"]
    assert "labels/none/index.faiss" not in release["files"]


def test_a_second_run_makes_no_new_data_version(house):
    before = house.versions()
    release = house.current()
    ran = house.run()
    assert ran.failed == {}
    assert house.versions() == before
    assert house.current() == release
    assert set(ran.seconds) == {"pins"}


def test_only_what_changed_is_made_again(house):
    before = house.versions()
    change_pictures(house, "plain-red")
    house.run()
    changed = {place for place, version in house.versions().items() if version != before[place]}
    assert {label for _, label in changed} == {"plain-red", None}
    assert ("encoder", None) not in changed
    assert ("release", None) in changed


def test_a_removed_label_leaves_the_next_release_and_stays_away(house):
    registry.remove(house.store, "tiny", ["plain red"])
    for _ in range(2):
        assert house.run().failed == {}
        assert set(house.release()["labels"]) == {"plain-blue", "plain-green"}
        digest = house.release()["files"]["pins.parquet"]["sha256"]
        pins = pa.parquet.read_table(pa.BufferReader(house.store.get("tiny", digest)))
        assert pins.num_rows == 8


def test_one_label_can_be_run_by_slug_or_by_query(house):
    change_pictures(house, "plain-red")
    change_pictures(house, "plain-blue")
    told: list[tuple[str, str | None]] = []
    house.run(labels=["Plain  Red"], tell=lambda stage, label, *_: told.append((stage, label)))
    assert ("pins", "plain-red") in told
    assert all(label in ("plain-red", None) for _, label in told)


def test_an_unknown_label_is_refused_with_what_to_do(house):
    with pytest.raises(LabelError, match="no label 'plain purple'; add it: pinflow labels add tiny"):
        house.run(labels=["plain purple"])


def test_a_collection_without_labels_says_so(tmp_path):
    house = Tiny(tmp_path, queries=[])
    with pytest.raises(CollectionError, match="tiny has no labels"):
        house.run()


def test_a_stage_that_raises_for_one_label_costs_nobody_else_the_release(house, monkeypatch):
    from pinflow.pipeline import assets

    real = assets.BODIES["images"]

    def broken(part, resources):
        if part.label == "plain-red":
            raise ZeroDivisionError("a bug")
        return real(part, resources)

    monkeypatch.setitem(assets.BODIES, "images", broken)
    change_pictures(house, "plain-red")
    change_pictures(house, "plain-blue")
    before = house.current()
    ran = house.run()
    assert list(ran.failed) == ["tiny__images[plain-red]"]
    assert "a bug" in ran.failed["tiny__images[plain-red]"]
    assert house.current() != before
    # The label keeps its last good state.
    assert house.release()["labels"]["plain-red"]["pictures"] == 4


def test_a_vector_space_that_the_encoder_has_left_is_served_with_the_head_that_made_it(house):
    """The gallery still holds vectors of the head before the last promotion: queries go through that."""
    from pinflow.pipeline.assets.rollups import _space

    encoder, gallery = house.store.manifest("tiny", "encoder"), house.store.manifest("tiny", "gallery")
    old = gallery.facts["encoders"][0]
    promoted = encoder.__class__(**{**encoder.__dict__, "facts": {"served": "new", "previous": old}})
    assert _space(promoted, gallery) == "previous"
    assert _space(encoder, gallery) == "served"


@pytest.fixture
def down(tmp_path: Path, drawn: Path) -> Iterator[tuple[Tiny, SampleSite]]:
    """A site that answers 503 to the search for one of three labels."""
    with SampleSite(read(drawn), port=0) as site:
        house = Tiny(tmp_path)
        source = Source(kind="pinterest", base_url=site.base_url, per_label=10)
        house.__dict__["collection"] = Collection(name="tiny", source=source, labels=house.queries)
        site.fail("plain green", 503)
        yield house, site
    house.instance.dispose()


@pytest.mark.system
def test_a_site_that_is_down_for_one_label_costs_no_other(down):
    house, site = down
    assert house.run().failed == {}
    labels = house.release()["labels"]
    assert {slug: label["status"] for slug, label in labels.items()} == {
        "plain-blue": "complete",
        "plain-green": "incomplete",
        "plain-red": "complete",
    }
    assert "503" in labels["plain-green"]["reason"]
    evaluations = house.materialize(["pins"], "plain-green").get_asset_check_evaluations()
    (complete,) = [one for one in evaluations if one.check_name == "complete"]
    assert (complete.passed, complete.partition) == (False, "plain-green")
    assert "503" in complete.description

    site.heal()
    assert house.run().failed == {}
    assert house.release()["labels"]["plain-green"]["status"] == "complete"
    assert house.release()["labels"]["plain-green"]["pictures"] == 4
    assert house.release()["labels"]["plain-green"]["reason"] is None


def test_a_label_whose_site_goes_down_later_keeps_its_last_pictures(house):
    (house.pictures / "plain-red").rename(house.root / "away")
    assert house.run().failed == {}
    label = house.release()["labels"]["plain-red"]
    assert label["status"] == "incomplete"
    assert label["pictures"] == 4
    assert json.dumps(label["reason"])
