from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow import schema
from pinflow.learning import evaluate, protocols, report, splits
from pinflow.learning.dataset import join
from pinflow.learning.head import IDENTITY
from pinflow_tests.learning.conftest import clustered, features, pictures, sha


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


def test_what_is_excluded_is_neither_found_nor_missed() -> None:
    # From 0 degrees: right at 10 but of the same shop, wrong at 20, right at 30.
    vectors, shop = on_a_circle(0, 10, 20, 30), np.array([0, 0, 1, 1])
    args = (vectors, np.array([0]), np.arange(4), relevance([1, 1, 0, 1]))
    assert evaluate.per_query(*args).values["recall@1"].tolist() == [1]
    apart = evaluate.per_query(*args, excluded=lambda a, b: shop[a][:, None] == shop[b][None])
    assert apart.values["recall@1"].tolist() == [0]
    assert apart.values["r-precision"].tolist() == [0]  # R is 1 now
    assert apart.values["recall@5"].tolist() == [1]


def test_r_precision_by_hand() -> None:
    found = evaluate.per_query(
        on_a_circle(0, 10, 20, 40, 90), np.array([0]), np.arange(5), relevance([1, 0, 1, 1, 0])
    )
    assert found.values["r-precision"].tolist() == [0.5]


def test_nmi_tells_clusters_from_noise() -> None:
    of = np.repeat([0, 1], 20)
    apart = on_a_circle(*np.where(of == 0, 0, 120) + np.arange(40) / 10)
    assert evaluate.nmi(apart, of) == pytest.approx(1)
    mixed = evaluate.nmi(apart, np.tile([0, 1], 20))
    assert mixed is not None
    assert mixed < 0.1
    assert evaluate.nmi(apart, of * 0) is None
    assert evaluate.nmi(np.ones((4, 2), np.float32), np.array([0, 0, 1, 1])) is None


def test_a_crop_finds_its_picture() -> None:
    every = np.arange(4)

    def found(crops: np.ndarray, *labels: str) -> list[float]:
        tables = [
            splits.assign(pictures([i for i, own in zip("abcd", labels, strict=True) if own == label]), label)
            for label in sorted(set(labels))
        ]
        table = features(list("abcd"), on_a_circle(0, 30, 60, 90))
        parts = table.set_column(2, table.schema.field("vector"), schema.vectors(crops))
        data = join(table, splits.resolve(tables), parts)
        assert data.crops is not None
        again = evaluate.found_again(data, IDENTITY, np.ones(4, bool), every)
        of = {sha(name): name for name in "abcd"}
        by_name = {of[data.sha256[row]]: one for row, one in zip(data.crops.rows, again, strict=True)}
        return [float(by_name[name]) for name in "abcd"]

    assert found(on_a_circle(2, 31, 58, 80), *"1111") == [1, 1, 1, 1]
    assert found(on_a_circle(2, 31, 58, 50), *"1111") == [1, 1, 1, 0]
    # Among its own label alone: the one at 60 degrees is of another.
    assert found(on_a_circle(2, 31, 58, 50), *"1212") == [1, 1, 1, 0]
    assert found(on_a_circle(2, 31, 58, 61), *"1112") == [1, 1, 1, 1]


def test_the_report_tells_confusion_and_the_worst_queries() -> None:
    ids, labels, vectors = clustered(3, 40)
    tables = [
        splits.assign(pictures([i for i, own in zip(ids, labels, strict=True) if own == label]), label)
        for label in sorted(set(labels))
    ]
    found = evaluate.report(features(ids, vectors), splits.resolve(tables), {"frozen": IDENTITY})
    assert [pytest.approx(1)] * 3 == [sum(row) for row in found.confusion["frozen"]]
    assert [one.average for one in found.worst] == sorted(one.average for one in found.worst)
    assert all(one.query not in one.neighbours for one in found.worst)
    assert found.nmi["frozen"] is not None
    html = report.page(
        {**found.to_json(), "promoted": False, "why": "<b>"},
        b"png",
        "x",
        thumbnails={found.worst[0].query: b"webp"},
    )
    assert "&lt;b&gt;" in html
    assert html.count('class="query"') == 1
    assert "Which label is nearest" in html


def test_a_hundred_thousand_pictures_take_bounded_memory() -> None:
    """A similarity matrix of all of them would take 40 GB."""
    code = (
        "import resource, numpy as np\n"
        "from pinflow.learning.evaluate import per_query\n"
        "n, d = 100_000, 512\n"
        "of = np.arange(n) // 10\n"
        "vectors = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "same = lambda a, b: of[a][:, None] == of[b][None]\n"
        "found = per_query(vectors, np.arange(0, n, 1000), np.arange(n), same)\n"
        "assert len(found.rows) == 100\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 600, "MB above the vectors themselves"


def test_protocols_report_known_and_unseen_labels_apart() -> None:
    _, labels, vectors = clustered(4, 15, hidden=0.6)
    of = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    found = protocols.known_and_unseen(vectors.astype(np.float32), of, groups=np.arange(60), seeds=(0,))
    assert set(found) == {"known labels", "unseen labels"}
    gain = found["known labels"]["gain map@r"]
    assert gain.low is not None
    assert gain.low > 0
    again = protocols.known_and_unseen(vectors.astype(np.float32), of, groups=np.arange(60), seeds=(0,))
    assert again == found
