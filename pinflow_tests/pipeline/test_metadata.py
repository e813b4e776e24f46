"""What a materialisation tells in the Dagster UI."""

from dataclasses import replace

import pytest

from pinflow.pipeline.metadata import PREVIEW_BYTES, bars, report, rows
from pinflow.pipeline.partition import Partition
from pinflow.store import File, Manifest

A, B = "a" * 64, "b" * 64
IMAGES = Manifest(
    collection="tiny",
    stage="images",
    label="plain-red",
    version=A,
    recipe=B,
    inputs={"pins": B},
    files={"pictures.parquet": File(A, 10, 5), "shard-00000.parquet": File(B, 90, 5)},
    facts={"kept": 5, "rejected": {"too_small": 2, "corrupt": 7}, "trunk": A, "why": "a sentence"},
)


@pytest.fixture
def part(house):
    return Partition(house.store, house.collection, "images", "plain-red")


def test_rows_are_those_of_the_table_that_the_stage_is_about(part):
    assert rows(IMAGES) == 5
    assert rows(replace(IMAGES, stage="splits")) == 10
    assert rows(replace(IMAGES, files={"a.json": File(A, 1)})) is None


def test_facts_are_told_one_by_one_in_words_and_digests_are_shortened(part):
    told = report(part, IMAGES, 0.5)

    assert told["kept"] == 5
    assert told["rejected"] == "too_small 2, corrupt 7"
    assert told["trunk"] == "a" * 16
    assert told["why"] == "a sentence"
    assert told["status"] == "complete"
    assert told["dagster/row_count"] == 5
    assert told["bytes"] == 100


def test_an_incomplete_state_says_why_in_its_status(part):
    told = report(part, replace(IMAGES, status="incomplete", reason="the site is down"), 0.5)

    assert told["status"] == "incomplete: the site is down"


def test_the_preview_draws_counts_and_the_provenance_names_inputs_and_files(part):
    told = report(part, IMAGES, 0.5)

    assert "| corrupt | 7 | ████████████████████████ |" in told["preview"].value
    assert f"| pins | `{'b' * 16}` |" in told["provenance"].value
    assert f"| pictures.parquet | 5 | 10 | `{'a' * 16}` |" in told["provenance"].value


def test_many_labels_are_counted_not_listed(part):
    told = report(part, replace(IMAGES, inputs={"pins": {f"label-{n}": A for n in range(300)}}), 0.5)

    assert "| pins | 300 labels |" in told["provenance"].value
    assert "label-299" not in told["provenance"].value


def test_a_picture_over_the_cap_is_left_out_and_that_is_said(part):
    stats = {"preview": {"sha256": A, "bytes": PREVIEW_BYTES + 1}}

    told = report(part, replace(IMAGES, stats=stats), 0.5)

    assert f"{PREVIEW_BYTES + 1} bytes: over the cap" in told["preview"].value
    assert "data:image" not in told["preview"].value


def test_bars_are_ordered_scaled_and_limited():
    drawn = bars({"few": 1, "many": 4}, width=8).splitlines()[2:]

    assert drawn == ["| many | 4 | ████████ |", "| few | 1 | ██ |"]
    assert bars({f"label-{n}": n for n in range(100)}).splitlines()[-1] == "| and 60 more | | |"
