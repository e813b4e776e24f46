"""One whole run through S3 over real HTTP: from a label list in a bucket to a release that is searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinflow import registry
from pinflow.pipeline import removal
from pinflow.pipeline.partitions import partitions_name
from pinflow.pipeline.run import renew_collection
from pinflow.pipeline.sensors import label_list_sensor
from pinflow.releases import LocalReleases
from pinflow.retrieval.query import Example, Query
from pinflow.retrieval.searcher import Searcher
from pinflow.sample.made import make_samples
from pinflow.settings import Settings
from pinflow_tests.pipeline.houses import Tiny

pytestmark = pytest.mark.system


@dataclass
class InBucket(Tiny):
    """The tiny house, all of its storage in a bucket."""

    storage: str = ""

    @cached_property
    def settings(self) -> Settings:
        return Settings(home=self.root / "home", storage=self.storage)

    def tick(self, cursor: str | None = None) -> dg.SensorResult:
        """One tick of the label-list sensor; its partitions are added, as the daemon does."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources={"house": self.house}, definitions=self.defs
        )
        result = label_list_sensor(self.collection)(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(partitions_name("tiny"), list(request.partition_keys))
        return result


@pytest.fixture
def house(s3: str, tmp_path: Path) -> Iterator[InBucket]:
    make_samples(tmp_path / "pictures", labels=3, per_label=4)
    house = InBucket(tmp_path, queries=["plain red"], storage=s3)
    yield house
    house.instance.dispose()


def test_lists_in_the_bucket_become_labels_and_the_run_a_release_that_is_searched(house: InBucket):
    house.store.write(b"plain green\n# a comment\n../../x\n", "label_lists", "tiny", "more.txt")
    first = house.tick()
    assert [one.partition_key for one in first.run_requests or ()] == ["plain-green", "plain-red"]
    house.store.write(b"plain green\nplain blue\n", "label_lists", "tiny", "more.txt")
    second = house.tick(first.cursor)
    assert [one.partition_key for one in second.run_requests or ()] == ["plain-blue"]
    assert not house.tick(second.cursor).run_requests
    assert set(registry.live(house.store, "tiny")) == {"plain-red", "plain-green", "plain-blue"}

    ran = house.run()
    assert ran.failed == {}
    assert {label: about["status"] for label, about in house.release()["labels"].items()} == {
        "plain-blue": "complete",
        "plain-green": "complete",
        "plain-red": "complete",
    }
    assert_searched(house)

    versions, stored = house.versions(), set(house.store.objects("tiny", "blobs"))
    again = house.run()
    assert again.failed == {}
    assert house.versions() == versions
    seen = {pins.files["sightings.parquet"].sha256 for pins in house.store.manifests("tiny", "pins").values()}
    written = {path.rsplit("/", 1)[-1] for path in set(house.store.objects("tiny", "blobs")) - stored}
    assert written <= seen  # when each pin was seen last, and nothing else
    assert house.store.sweep("tiny", age_seconds=-1) == len(written)  # what was known before

    local = [path for path in (house.root / "home").rglob("*") if path.is_file()]
    assert not [path for path in local if "cache" not in path.parts], "something was kept beside the bucket"


def assert_searched(house: InBucket) -> None:
    local = LocalReleases(house.store, house.root / "home" / "cache")
    assert local.collections() == ["tiny"]
    searcher = Searcher.open(local.fetch("tiny", house.current() or ""))
    picture = next((house.pictures / "plain-green").glob("*.jpg")).read_bytes()
    found = searcher.search(Query(positive=[Example(image=picture)], limit=3)).results
    assert found[0].score == pytest.approx(1.0, abs=1e-3)
    assert found[0].label == "plain-green"
    assert (
        len(searcher.search(Query(limit=50)).results)
        == house.snapshot.manifests("pins")["plain-red"].rows * 3
    )


def test_a_damaged_object_in_the_bucket_is_mended_by_the_next_runs(house: InBucket):
    assert house.run().failed == {}
    release, versions = house.current(), house.versions()
    images = house.store.manifest("tiny", "images", "plain-red")
    assert images is not None
    sha256 = images.files["pictures.parquet"].sha256
    house.store.write(b"PAR1 damaged", "tiny", "blobs", sha256[:2], sha256[2:4], sha256)
    house.store.write(b"{", "tiny", "splits", "plain-red", "manifest.json")
    for _ in range(3):
        if not (ran := house.run()).failed and house.versions() == versions:
            break
        assert all("materialise" in error for error in ran.failed.values()), ran.failed
    assert house.versions() == versions
    assert house.current() == release
    assert house.store.missing("tiny", [sha256]) == set()


def test_a_purged_pin_leaves_the_bucket(house: InBucket):
    house.store.write(b"plain green\n", "label_lists", "tiny", "more.txt")
    assert house.run().failed == {}
    pins = house.store.table(house.store.manifest("tiny", "pins", "plain-red"), "pins.parquet")
    id, sha256 = pins["id"][0].as_py(), pins["sha256"][0].as_py()
    releases_before = house.store.names("tiny", "releases")
    removal.bury(
        house.store,
        "tiny",
        [removal.stone(id, {sha256}, lambda one: house.store.get("tiny", one), reason="purged")],
    )

    assert renew_collection(house.defs, house.collection, house.house, house.instance).failed == {}

    assert not house.store.has("tiny", sha256)
    assert not set(releases_before) & set(house.store.names("tiny", "releases"))
    for path in house.store.objects("tiny"):
        data = house.store.read(*path.removeprefix(house.store.path()).strip("/").split("/"))
        if data.startswith(b"PAR1"):
            assert id not in str(pq.read_table(pa.BufferReader(data)).to_pylist()), path
        elif "/tombstones/" not in path:
            assert id.encode() not in data, path
