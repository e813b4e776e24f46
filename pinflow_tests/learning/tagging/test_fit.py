"""A tagger from features and splits: what it learns from, what it promises, how it is stored."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pinflow import schema
from pinflow.errors import CorruptError
from pinflow.learning.splits import assign, resolve
from pinflow.learning.tagging.draw import plot
from pinflow.learning.tagging.fit import TaggerFit, fit_tagger
from pinflow.learning.tagging.probe import Probe
from pinflow.learning.tagging.tagger import Tagger
from pinflow_tests.learning.conftest import features, pictures, sha


def collection(
    labels: int = 3, each: int = 60, *, noise: float = 0.25, seed: int = 0
) -> tuple[pa.Table, pa.Table]:
    """Features and resolved rows of labels that lie around one axis each."""
    rng = np.random.default_rng(seed)
    ids = [f"p{i:04}" for i in range(labels * each)]
    vectors = np.eye(24)[np.repeat(np.arange(labels), each)] + noise * rng.normal(size=(len(ids), 24))
    parts = [assign(pictures(ids[n * each : (n + 1) * each]), f"label-{n}") for n in range(labels)]
    return features(ids, 3.0 * vectors), resolve(parts)


@pytest.fixture(scope="module")
def made() -> tuple[pa.Table, pa.Table]:
    return collection()


@pytest.fixture(scope="module")
def fit(made) -> TaggerFit:
    return fit_tagger(*made, trunk="t1")


def of_split(rows: pa.Table, *splits: str) -> pa.Table:
    return rows.filter(pc.is_in(rows["split"], value_set=pa.array(splits)))


def test_it_tags_test_pictures_and_says_how_well(fit) -> None:
    assert fit.tagger.tags == ("label-0", "label-1", "label-2")
    assert fit.figures["accuracy"].value > 0.95
    assert fit.figures["ece"].value < 0.1
    assert fit.figures["coverage"].value > 0.7
    assert fit.figures["precision_where_tagged"].value > 0.9
    assert fit.figures["stranger_auroc"].low > 0.9
    assert sum(one["tested"] for one in fit.tags.values()) == fit.figures["accuracy"].n
    assert sum(one["pictures"] for one in fit.reliability) == fit.figures["accuracy"].n


def test_it_learns_from_train_alone(made, fit) -> None:
    train = of_split(made[1], "train")
    assert set(fit.learned) == {*train["sha256"].to_pylist(), *train["group"].to_pylist()}


def test_what_test_and_held_out_pictures_look_like_changes_nothing_but_the_figures(made, fit) -> None:
    table, rows = made
    held = set(of_split(rows, "train")["id"].to_pylist()[:9])
    splits = [
        "held_out" if one in held else split
        for one, split in zip(rows["id"].to_pylist(), rows["split"].to_pylist(), strict=True)
    ]
    rows = rows.set_column(
        rows.schema.get_field_index("split"), schema.SPLIT_ROWS.field("split"), pa.array(splits)
    )
    unseen = set(of_split(rows, "test", "held_out")["id"].to_pylist())
    taggers = []
    for scale in (1.0, -5.0):
        vectors = [
            [scale * x for x in vector] if one in unseen else vector
            for one, vector in zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True)
        ]
        column = pa.array(vectors, table["vector"].type)
        changed = table.set_column(2, table.schema.field("vector"), column)
        taggers.append(fit_tagger(changed, rows))
    assert taggers[0].tagger.to_bytes() == taggers[1].tagger.to_bytes()
    assert taggers[0].figures["accuracy"] != taggers[1].figures["accuracy"]
    assert taggers[0].tagger.digest != fit.tagger.digest  # nine pictures fewer to learn from


def test_a_picture_held_out_under_another_label_is_not_learned_from(made) -> None:
    table, rows = made
    twin = of_split(rows, "train").slice(0, 1)
    again = twin.set_column(
        rows.schema.get_field_index("split"), schema.SPLIT_ROWS.field("split"), pa.array(["held_out"])
    ).set_column(
        rows.schema.get_field_index("label"), schema.SPLIT_ROWS.field("label"), pa.array(["label-2"])
    )
    fitted = fit_tagger(table, pa.concat_tables([rows, again]))
    assert twin["sha256"][0].as_py() not in fitted.learned


def test_the_same_input_gives_the_same_bytes(made, fit) -> None:
    again = fit_tagger(*made, trunk="t1")
    assert again.tagger.to_bytes() == fit.tagger.to_bytes()
    assert again.to_json() == fit.to_json()


def test_a_stranger_gets_no_tag_and_an_unclear_picture_none_either(fit) -> None:
    known, unclear, stranger = np.eye(24)[0], np.eye(24)[:3].sum(axis=0), np.eye(24)[9]
    even = Probe(8 * np.eye(24, dtype=np.float32)[:3], np.zeros(3, np.float32))
    told = dataclasses.replace(fit.tagger, probe=even).tag(
        np.stack([known, unclear, stranger]).astype(np.float32)
    )
    assert [one.verdict for one in told] == ["tagged", "unsure", "stranger"]
    assert [[tag.tag for tag in one.tags if tag.given] for one in told] == [["label-0"], [], []]
    assert all(len(one.tags) == 3 for one in told)
    for one in told:
        assert all(a.probability >= b.probability for a, b in pairwise(one.tags))
    assert told[0].to_json()["tags"][0]["given"] is True


def test_a_wanted_precision_costs_coverage() -> None:
    hard = collection(noise=0.6)
    some = [fit_tagger(*hard, precision=wanted).figures for wanted in (0.7, 0.95)]
    assert some[0]["coverage"].value > some[1]["coverage"].value
    assert some[0]["precision_where_tagged"].value < some[1]["precision_where_tagged"].value


def test_label_errors_are_named_by_picture(made) -> None:
    table, rows = made
    train = of_split(rows, "train")
    wrong = train["id"].to_pylist()[0]
    labels = [
        "label-2" if one == wrong else label
        for one, label in zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True)
    ]
    place = rows.schema.get_field_index("label")
    found = fit_tagger(
        table, rows.set_column(place, schema.SPLIT_ROWS.field("label"), pa.array(labels))
    ).suspects
    assert found[0]["sha256"] == sha(wrong)
    assert (found[0]["label"], found[0]["suggested"]) == ("label-2", "label-0")


@pytest.mark.parametrize(
    ("labels", "each", "why"), [(0, 0, "0 labels"), (1, 30, "1 labels have training pictures"), (3, 1, "")]
)
def test_too_little_gives_no_tagger_or_a_careful_one_and_never_an_error(labels, each, why) -> None:
    table, rows = (
        collection(labels, each)
        if labels
        else (schema.empty(schema.features(24)), schema.empty(schema.SPLIT_ROWS))
    )
    fitted = fit_tagger(table, rows)
    assert why in fitted.why
    if fitted.tagger:
        assert np.isinf(fitted.tagger.thresholds).all()
    else:
        assert fitted.to_json()["figures"] == {}


def test_all_pictures_of_one_group_cannot_be_judged(made) -> None:
    table, rows = made
    place = rows.schema.get_field_index("group")
    rows = of_split(rows, "train").set_column(
        place, schema.SPLIT_ROWS.field("group"), pa.array(["one"] * of_split(rows, "train").num_rows)
    )
    assert "one group" in fit_tagger(table, rows).why


def test_a_tagger_comes_back_as_it_was_stored(fit) -> None:
    again = Tagger.from_bytes(fit.tagger.to_bytes())
    vectors = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)
    assert again.tag(vectors) == fit.tagger.tag(vectors)
    assert again.digest == fit.tagger.digest
    assert again.trunk == "t1"


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: b"{}" + data, lambda _: b""])
def test_a_damaged_tagger_is_named(fit, damage) -> None:
    with pytest.raises(CorruptError, match="materialise `tagger` again"):
        Tagger.from_bytes(damage(fit.tagger.to_bytes()))


def test_vectors_of_another_width_are_refused(fit) -> None:
    with pytest.raises(ValueError, match="24"):
        fit.tagger.tag(np.zeros((1, 7), np.float32))


def test_the_report_is_drawn_and_names_no_picture(fit) -> None:
    report = fit.to_json()
    assert plot(report).startswith(b"\x89PNG")
    assert not any(key in str(report) for key in fit.learned)
    assert plot(dataclasses.replace(fit, reliability=[]).to_json()) is None
