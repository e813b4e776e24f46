"""Who is asked to calibrate a release, and who may not answer."""

import pyarrow as pa

from pinflow import schema
from pinflow.retrieval.calibration import held_out


def pins(*ids):
    rows = [
        {"id": one, "labels": [], "attributes": [], "related": [], "sha256": "", "width": 1, "height": 1}
        for one in ids
    ]
    return pa.Table.from_pylist(rows, schema=schema.RELEASE_PINS)


def splits(**of):
    made = [
        {
            "id": one,
            "label": "a",
            "sha256": one,
            "phash": 0,
            "group": group,
            "keys": [],
            "split": split,
            "fold": 0,
            "attributes": [],
            "related": [],
        }
        for one, (group, split) in of.items()
    ]
    return pa.Table.from_pylist(made, schema=schema.SPLIT_ROWS)


KNOWN = splits(a=("g", "train"), b=("g", "val"), c=("h", "test"), d=("i", "held_out"))


def test_in_a_tuned_space_only_what_training_never_saw_is_asked():
    assert held_out(pins("a", "b", "c", "d"), KNOWN, frozen=False).unseen.tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_in_a_frozen_space_everything_is():
    assert held_out(pins("a", "d"), KNOWN, frozen=True).unseen.all()


def test_groups_are_those_of_the_splits_and_a_pin_without_one_stands_alone():
    groups = held_out(pins("a", "b", "c", "new"), KNOWN, frozen=False).groups
    assert groups[0] == groups[1]
    assert len({*groups.tolist()}) == 3
