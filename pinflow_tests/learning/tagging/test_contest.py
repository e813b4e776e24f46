"""Who takes part in a comparison of taggers, and what is said of it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pinflow.learning import weights
from pinflow.learning.splits import assign, resolve
from pinflow.learning.tagging import contest as contests
from pinflow.learning.tagging.contenders import contenders
from pinflow.learning.tagging.contest import GROUPS_AT_LEAST, Entries, choose, contest, remarks
from pinflow_tests.learning.conftest import pictures


def rows(**sizes: int) -> pa.Table:
    """Split rows of labels of that many pictures, each a group of its own."""
    return resolve(
        [assign(pictures([f"{label}{n}" for n in range(count)]), label) for label, count in sizes.items()]
    )


def of_splits(table: pa.Table, found: Entries) -> set[str]:
    splits = dict(zip(table["sha256"].to_pylist(), table["split"].to_pylist(), strict=True))
    return {splits[one] for one in found.sha256}


def test_each_picture_has_the_tag_of_its_label_and_test_pictures_stay_out() -> None:
    table = rows(red=40, blue=40)
    found = choose(table)
    labels = dict(zip(table["sha256"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert found.names == ("blue", "red")
    assert [found.names[tag] for tag in found.tags] == [labels[one] for one in found.sha256]
    assert of_splits(table, found) == {"train", "val"}
    assert len(found.sha256) == table.num_rows - table["split"].to_pylist().count("test")
    assert choose(table).sha256 == found.sha256


def test_a_label_of_few_groups_is_left_out_and_named() -> None:
    found = choose(rows(red=40, blue=40, rare=GROUPS_AT_LEAST - 1))
    assert (found.names, found.left_out) == (("blue", "red"), ("rare",))


def test_a_picture_under_two_labels_has_no_one_right_answer() -> None:
    both = pictures(["twice"])
    table = resolve(
        [
            assign(pa.concat_tables([pictures([f"{label}{n}" for n in range(20)]), both]), label)
            for label in ("red", "blue")
        ]
    )
    assert both["sha256"][0].as_py() not in choose(table).sha256


def test_of_a_large_collection_the_largest_labels_and_some_pictures(monkeypatch) -> None:
    monkeypatch.setattr(contests, "MOST", 30)
    monkeypatch.setattr(contests, "TAGS_AT_MOST", 2)
    found = choose(rows(red=60, blue=50, small=10))
    assert (found.names, found.left_out, len(found.sha256)) == (("blue", "red"), ("small",), 30)


@pytest.mark.parametrize("table", [rows(red=40), rows(red=2, blue=2), rows(red=0)])
def test_where_there_is_too_little_nothing_is_trained_and_it_says_so(table) -> None:
    report = contest({}, choose(table), trunk="tf_efficientnet_lite0")
    assert (report["rows"], report["served"], report["folds"]) == ([], None, 0)
    assert "too few pictures" in remarks(report)[0]


REPORT = {
    "why": "9 pictures of 2 labels",
    "folds": 3,
    "left_out": [],
    "absent": [],
    "trunk": "tf_efficientnet_lite0",
    "served": "Lite0 linear probe",
    "rows": [{"name": "Lite0 linear probe"}],
}


def test_a_reader_is_told_what_is_served() -> None:
    assert remarks(REPORT) == ["9 pictures of 2 labels; 3 folds by group", "served: Lite0 linear probe"]
    other = remarks({**REPORT, "served": None, "trunk": "resnet50"})
    assert other[1] == "served: a linear probe on resnet50, which is not among these"


def test_trunks_that_are_not_installed_are_left_out_and_said_so(monkeypatch) -> None:
    monkeypatch.setattr(weights, "packaged", lambda: ("tf_efficientnet_lite0",))
    monkeypatch.setattr("pinflow.learning.tagging.contenders.packaged", weights.packaged)
    assert len(contenders(2)) == 4  # two baselines, a probe, a fine-tuned one
    report = contest({}, choose(rows(red=1)), trunk="tf_efficientnet_lite0")
    assert report["absent"] == ["Lite1 linear probe", "Lite2 linear probe"]
    assert "pinflow[lite]" in remarks(report)[-1]
