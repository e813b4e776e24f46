"""One stage of one label: what it takes for its state to count as unchanged."""

from __future__ import annotations

import pytest

from pinflow.pipeline.assets import make
from pinflow_tests.pipeline.houses import Tiny

LABEL = "plain-red"


@pytest.mark.parametrize(("stage", "label"), [("atlas", None), ("images", LABEL), ("evaluation", None)])
def test_a_state_that_is_whole_is_left_alone(house: Tiny, stage: str, label: str | None):
    part = house.part(stage, label)
    assert part.unchanged == part.previous is not None
    assert part.commit(make(part, house.house)) == part.previous


@pytest.mark.parametrize("lost", ["map.png", "preview"])
def test_a_state_that_lost_a_file_nobody_reads_is_made_again_just_the_same(house: Tiny, lost: str):
    before = house.part("atlas").previous
    assert before is not None
    sha256 = before.stats["preview"]["sha256"] if lost == "preview" else before.files[lost].sha256
    house.store.delete("tiny", "blobs", sha256[:2], sha256[2:4], sha256)
    part = house.part("atlas")
    assert part.unchanged is None
    after = part.commit(make(part, house.house))
    assert (after.version, after.files) == (before.version, before.files)
    assert house.store.missing("tiny", [sha256]) == set()


def test_a_damaged_manifest_counts_as_none_and_is_made_again_just_the_same(house: Tiny):
    before = house.part("splits", LABEL).previous
    assert before is not None
    house.store.write(b"{", "tiny", "splits", LABEL, "manifest.json")
    part = house.part("splits", LABEL)
    assert part.previous is None
    after = part.commit(make(part, house.house))
    assert (after.version, after.files) == (before.version, before.files)
