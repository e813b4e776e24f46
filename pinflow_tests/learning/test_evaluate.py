from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow.learning import evaluate, splits
from pinflow.learning.dataset import join
from pinflow.learning.head import IDENTITY
from pinflow_tests.learning.conftest import clustered, features, pictures


def on_a_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def relevance(classes: list[int]):
    of = np.array(classes)
    return lambda rows, others: of[rows][:, None] == of[others][None, :]


def test_figures_worked_out_by_hand() -> None:
    # From 0 degrees: wrong at 10, right at 20, right at 40, wrong at 90. R = 2.
    vectors = on_a_circle(0, 10, 20, 40, 90)
    found = evaluate.per_query(vectors, np.array([0]), np.arange(5), relevance([1, 0, 1, 1, 0]))
    assert found.values["recall@1"].tolist() == [0]
    assert found.values["recall@5"].tolist() == [1]
    # Among the first R = 2: P(1) = 0 (miss), P(2) = 1/2 (hit); divided by R.
    assert found.values["map@r"].tolist() == [0.25]


def test_perfect_order_scores_one_and_r_is_counted_per_query() -> None:
    vectors = on_a_circle(0, 1, 2, 50, 51)
    found = evaluate.per_query(vectors, np.arange(5), np.arange(5), relevance([0, 0, 0, 1, 1]))
    assert found.values["map@r"].tolist() == [1, 1, 1, 1, 1]


def test_query_never_finds_itself_and_lonely_ones_do_not_count() -> None:
    found = evaluate.per_query(on_a_circle(0, 5, 9), np.arange(3), np.arange(3), relevance([0, 1, 1]))
    assert found.rows.tolist() == [1, 2]
    assert found.values["recall@1"].tolist() == [0, 1] or found.values["recall@1"].tolist() == [1, 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 99))
def test_agrees_with_a_plain_loop(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = IDENTITY.apply(rng.normal(size=(n, 6)).astype(np.float32))
    of = rng.integers(classes, size=n)
    found = evaluate.per_query(vectors, np.arange(n), np.arange(n), relevance(of.tolist()))
    for row, score in zip(found.rows, found.values["map@r"], strict=True):
        others = [i for i in np.argsort(-(vectors @ vectors[row]), kind="stable") if i != row]
        hits = [of[i] == of[row] for i in others]
        r = sum(hits)
        expected = sum(sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]) / r
        assert score == pytest.approx(expected)


def test_chunks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = IDENTITY.apply(rng.normal(size=(200, 16)).astype(np.float32))
    args = (vectors, np.arange(200), np.arange(200), relevance(rng.integers(9, size=200).tolist()))
    whole = evaluate.per_query(*args)
    monkeypatch.setattr(evaluate, "_CELLS", 1000)
    parts = evaluate.per_query(*args)
    for metric in evaluate.METRICS:
        np.testing.assert_allclose(parts.values[metric], whole.values[metric])


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        found = evaluate.bootstrap(rng.random(60), seed=seed)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 200 <= 0.99


def test_bootstrap_is_seeded_and_empty_input_says_nothing() -> None:
    values = np.random.default_rng(1).random(30)
    assert evaluate.bootstrap(values, seed=3) == evaluate.bootstrap(values, seed=3)
    assert evaluate.bootstrap(values, seed=3) != evaluate.bootstrap(values, seed=4)
    assert evaluate.bootstrap(np.zeros(0)) == evaluate.Estimate(None, None, None, 0)


def test_pairing_sees_a_small_steady_gain() -> None:
    theirs = np.random.default_rng(0).random(50)
    gain = evaluate.paired_gain(theirs + 0.01, theirs)
    assert gain.low == pytest.approx(0.01)
    with pytest.raises(ValueError, match="same queries"):
        evaluate.paired_gain(theirs, theirs[:-1])


def test_report_asks_test_of_val_and_test_and_is_json() -> None:
    ids, labels, vectors = clustered(3, 40)
    tables = [
        splits.assign(pictures([i for i, own in zip(ids, labels, strict=True) if own == label]), label)
        for label in sorted(set(labels))
    ]
    rows = splits.resolve(tables)
    found = evaluate.report(features(ids, vectors), rows, {"frozen": IDENTITY, "served": IDENTITY})
    names = rows["split"].to_pylist()
    assert found.queries == names.count("test")
    assert found.gallery == names.count("test") + names.count("val")
    assert set(found.labels) == set(labels)
    assert found.overall["frozen"] == found.overall["served"]
    assert json.loads(json.dumps(found.to_json()))["overall"]["frozen"]["map@r"]["n"] == found.queries


def test_a_picture_under_two_labels_is_one_row_with_both() -> None:
    tables = [splits.assign(pictures(["a", "b"]), "x"), splits.assign(pictures(["a", "c"]), "y")]
    data = join(features(["a", "b", "c"], np.eye(3)), splits.resolve(tables))
    assert len(data) == 3
    both = np.flatnonzero((data.labels >= 0).sum(axis=1) == 2)
    assert len(both) == 1
    assert data.same_label(both, np.arange(3)).all()
    others = np.setdiff1d(np.arange(3), both)
    assert not data.same_label(others[:1], others[1:]).any()
