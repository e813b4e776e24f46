"""Rows come and go without a rebuild, and what is found is what a fresh index finds."""

import numpy as np
import pytest

from pinflow.retrieval import changes, tuning
from pinflow.retrieval import index as module
from pinflow.retrieval.changes import places, update
from pinflow.retrieval.index import Index, build
from pinflow.retrieval.tuning import recall

D = 16


def unit(n: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around the same forty middles, whatever the seed."""
    middle, rng = np.random.default_rng(1).standard_normal((40, D)), np.random.default_rng([2, seed])
    vectors = middle[rng.integers(0, 40, n)] + 0.7 * rng.standard_normal((n, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch):
    monkeypatch.setattr(module, "FLAT_ROWS", 1000)
    monkeypatch.setattr(module, "OVERHEAD_ROWS", 20)


@pytest.fixture(scope="module")
def old():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FLAT_ROWS", 1000)
        vectors = unit(3000)
        yield build(vectors), vectors


def changed(vectors: np.ndarray, gone: int, added: int) -> tuple[np.ndarray, np.ndarray]:
    """What is left of shuffled rows and new ones between them; and where each old row stands now."""
    rng = np.random.default_rng(3)
    source = np.concatenate([rng.permutation(len(vectors))[gone:], np.full(added, -1)])
    source = rng.permutation(source)
    now = np.full(len(vectors), -1, np.int64)
    now[source[source >= 0]] = np.flatnonzero(source >= 0)
    rows = np.empty((len(source), vectors.shape[1]), np.float32)
    rows[source >= 0], rows[source < 0] = vectors[source[source >= 0]], unit(added, seed=9)
    return rows, now


@pytest.mark.parametrize(("gone", "added"), [(200, 0), (0, 200), (150, 200), (0, 0)])
def test_it_finds_what_a_fresh_index_finds(old, gone, added, monkeypatch):
    index, vectors = old
    rows, now = changed(vectors, gone, added)
    fresh = build(rows)
    monkeypatch.setattr(changes, "build", None)  # it must do without
    mine = update(index, now, rows)
    assert (mine.n, mine.changed) == (len(rows), gone + added)
    assert mine.recall == pytest.approx(recall(mine, rows))
    assert mine.recall >= 0.95
    queries = unit(60, seed=4)
    truth = np.sort(queries @ rows.T, axis=1)[:, -10]
    for one in (mine, fresh):
        assert (one.search(queries, 10)[0] >= truth[:, None] - 1e-5).mean() >= 0.93
    assert np.array_equal(np.sort(mine.search(queries[:1], len(rows))[1][0]), np.arange(len(rows)))


def test_added_rows_are_found_and_removed_ones_are_not(old):
    index, vectors = old
    rows, now = changed(vectors, 150, 200)
    mine = update(index, now, rows)
    added = np.setdiff1d(np.arange(len(rows)), now)
    found = mine.search(rows[added], 1)[1]
    assert (found[:, 0] == added).mean() >= 0.99
    gone = vectors[now < 0]
    assert (mine.search(gone, 1)[0] < 1 - 1e-4).all()
    assert index.n == 3000  # the old one is as it was
    assert (index.search(gone, 1)[0] > 1 - 1e-4).mean() >= 0.99
    allowed = np.isin(np.arange(len(rows)), added)
    assert allowed[mine.search(unit(5, seed=6), 10, allowed)[1]].all()


def test_an_updated_index_survives_its_bytes(old):
    index, vectors = old
    rows, now = changed(vectors, 100, 100)
    mine = update(index, now, rows)
    again = Index.from_bytes(mine.to_bytes(), mine.meta, rows)
    assert again.meta == mine.meta
    np.testing.assert_array_equal(again.search(rows[:9], 5)[1], mine.search(rows[:9], 5)[1])


def test_changes_add_up_until_it_is_built_again(old):
    index, vectors = old
    for step in range(3):
        rows, now = changed(vectors, 100, 100)
        index, vectors = update(index, now, rows), rows
        assert index.changed == (0 if step == 2 else 200 * (step + 1))


def test_it_is_built_again_where_it_finds_too_little(old, monkeypatch):
    index, vectors = old
    rows, now = changed(vectors, 50, 50)
    monkeypatch.setattr(tuning, "confirm", lambda *_: None)
    tuned, tune = [], tuning.tune
    monkeypatch.setattr(tuning, "tune", lambda *given: tuned.append(given) or tune(*given))
    assert update(index, now, rows).changed == 100
    assert len(tuned) == 1
    monkeypatch.setattr(
        tuning,
        "tune",
        lambda one, *given: module.replace(tune(one, *given), recall=0.9 if one.changed else 1),
    )
    assert update(index, now, rows).changed == 0


def test_a_small_one_is_simply_built():
    vectors = unit(200)
    now = np.arange(200)
    now[:5] = -1
    mine = update(build(vectors), now, vectors)
    assert (mine.kind, mine.changed) == ("flat", 0)


def test_nothing_changed_is_the_same_index(old):
    index, vectors = old
    assert update(index, np.arange(3000), vectors) is index


def test_where_rows_stand_is_known_by_name_and_vector():
    vectors = unit(4)
    other = vectors[[2, 0, 3]].copy()
    other[2] = -other[2]
    assert places(["a", "b", "c", "d"], vectors, ["c", "a", "d"], other).tolist() == [1, -1, 0, -1]
    assert places(["a"], vectors[:1], ["a"], np.ones((1, 3), np.float32)).tolist() == [-1]
    assert places([], vectors[:0], ["a"], vectors[:1]).tolist() == []
