"""The index is exact when small, measured when large, and never trusts bytes it did not write."""

import json

import numpy as np
import pytest

from pinflow.errors import CorruptError
from pinflow.retrieval import index as module
from pinflow.retrieval.index import Index, build, exact, recall

RNG = np.random.default_rng(3)


def unit(n: int, d: int = 16, centres: int = 40) -> np.ndarray:
    """Unit vectors in overlapping clumps."""
    middle = RNG.standard_normal((centres, d))
    vectors = middle[RNG.integers(0, centres, n)] + 0.7 * RNG.standard_normal((n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def small_limits():
    """The large-collection path at a size that a test can afford."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FLAT_ROWS", 1000)
        patch.setattr(module, "EXACT_ROWS", 300)
        yield


@pytest.fixture(scope="module")
def large(small_limits):
    vectors = unit(3000)
    return build(vectors), vectors


def brute(vectors, queries, k, allowed):
    scores = np.where(allowed, queries @ vectors.T, -np.inf)
    return np.take_along_axis(scores, np.argsort(-scores, axis=1)[:, :k], 1)


def test_a_small_index_is_flat_and_exact():
    vectors, queries = unit(300), unit(7)
    index = build(vectors)
    scores, rows = index.search(queries, 5)
    assert (index.kind, index.recall) == ("flat", 1.0)
    assert scores.dtype == np.float32
    assert rows.dtype == np.int64
    np.testing.assert_allclose(scores, brute(vectors, queries, 5, np.ones(300, bool)), atol=1e-5)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", queries, vectors[rows]), atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_fewer_rows_than_asked_for_are_padded(n):
    scores, rows = build(unit(n)).search(unit(2), 5)
    assert (rows[:, n:] == -1).all()
    assert np.isneginf(scores[:, n:]).all()
    assert (np.sort(rows[:, :n]) == np.arange(n)).all()


def test_no_query_gives_no_rows():
    scores, rows = build(unit(5)).search(np.empty((0, 16), np.float32), 3)
    assert scores.shape == rows.shape == (0, 3)


@pytest.mark.parametrize("share", [0.5, 0.01, 0.0])
def test_a_filter_returns_the_best_allowed_rows(share):
    vectors, queries = unit(900), unit(5)
    allowed = np.random.default_rng(1).random(900) < share
    scores, rows = build(vectors).search(queries, 20, allowed)
    found = min(20, int(allowed.sum()))
    assert (rows[:, found:] == -1).all()
    assert allowed[rows[:, :found]].all()
    np.testing.assert_allclose(scores[:, :found], brute(vectors, queries, found, allowed), atol=1e-5)


def test_equal_scores_are_ordered_by_row():
    vectors = np.repeat(unit(1), 6, axis=0)
    assert build(vectors).search(vectors[:1], 6)[1].tolist() == [[0, 1, 2, 3, 4, 5]]


def test_a_large_index_is_tuned_to_the_recall_it_promises(large):
    index, vectors = large
    assert index.kind == "ivf_pq"
    assert index.recall >= 0.95
    assert recall(index, vectors) == index.recall
    queries = unit(50)
    scores, rows = index.search(queries, 10)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", queries, vectors[rows]), atol=1e-5)


@pytest.mark.parametrize("count", [2500, 800, 350, 200, 4])
def test_a_large_index_never_loses_results_to_a_filter(large, count):
    index, vectors = large
    allowed = np.zeros(len(vectors), bool)
    allowed[np.random.default_rng(2).permutation(len(vectors))[:count]] = True
    _, rows = index.search(unit(40), 10, allowed)
    found = rows >= 0
    assert (found.sum(axis=1) == min(10, count)).all()
    assert allowed[rows[found]].all()


def test_a_large_index_gives_every_row_if_asked(large):
    index, vectors = large
    _, rows = index.search(vectors[:1], len(vectors))
    assert np.array_equal(np.sort(rows[0]), np.arange(len(vectors)))


def test_odd_widths_work(small_limits):
    vectors = unit(1100, d=15)
    index = build(vectors)
    again = Index.from_bytes(index.to_bytes(), index.meta, vectors)
    assert np.array_equal(again.search(vectors[:9], 5)[1], index.search(vectors[:9], 5)[1])


def test_recall_measures_what_is_missing(large):
    index, vectors = large
    worse = module.replace(index, nprobe=1)
    assert recall(worse, vectors) < index.recall
    assert recall(build(unit(1)), unit(1)) == 1.0


@pytest.mark.parametrize("n", [0, 1, 200, 1100])
def test_the_same_vectors_give_the_same_bytes(small_limits, n):
    vectors = unit(n)
    assert build(vectors).to_bytes() == build(vectors.copy()).to_bytes()
    assert build(vectors).meta == build(vectors).meta


@pytest.mark.parametrize("n", [0, 1, 200, 1100])
def test_an_index_survives_its_bytes(small_limits, n):
    vectors, queries = unit(n), unit(3)
    index = build(vectors)
    meta = json.loads(json.dumps(index.meta))
    again = Index.from_bytes(index.to_bytes(), json.dumps(meta), vectors)
    for mine, theirs in zip(index.search(queries, 4), again.search(queries, 4), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert again.meta == index.meta
    assert {"kind", "n", "d", "metric", "recall", "faiss", "nprobe", "sha256"} <= meta.keys()


def test_a_flat_index_needs_no_vectors_beside_it():
    vectors = unit(50)
    index = build(vectors)
    again = Index.from_bytes(index.to_bytes(), index.meta)
    allowed = np.arange(50) > 40
    np.testing.assert_array_equal(
        again.search(vectors[:2], 3, allowed)[1], index.search(vectors[:2], 3, allowed)[1]
    )


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-3], lambda b: b"", lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:]]
)
def test_harmed_bytes_are_corrupt(harm):
    index = build(unit(30))
    with pytest.raises(CorruptError):
        Index.from_bytes(harm(index.to_bytes()), index.meta)


@pytest.mark.parametrize(
    "meta",
    ["", "[]", b"\xff", "{}", '{"kind": "pickle"}'],
)
def test_a_meta_file_that_says_nothing_is_corrupt(meta):
    with pytest.raises(CorruptError):
        Index.from_bytes(build(unit(3)).to_bytes(), meta)


def test_bytes_that_faiss_cannot_read_are_corrupt_even_with_a_true_checksum():
    index = build(unit(30))
    data = index.to_bytes()[:100]
    meta = {**index.meta, "sha256": module.hashlib.sha256(data).hexdigest()}
    with pytest.raises(CorruptError, match="cannot read"):
        Index.from_bytes(data, meta)


def test_an_index_of_other_vectors_is_corrupt():
    index = build(unit(30))
    with pytest.raises(CorruptError, match="made for"):
        Index.from_bytes(index.to_bytes(), index.meta, unit(29))
    with pytest.raises(CorruptError, match="its meta says"):
        Index.from_bytes(index.to_bytes(), {**index.meta, "n": 31})


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((3, 4), np.float32),
        np.ones((3, 4), np.float64) / 2,
        np.full((3, 4), np.nan, np.float32),
        np.ones(4, np.float32) / 2,
        np.empty((2, 0), np.float32),
    ],
)
def test_only_finite_float32_unit_vectors_are_indexed(vectors):
    with pytest.raises(ValueError, match=r"vectors"):
        build(vectors)


def test_wrong_questions_are_refused():
    index = build(unit(5))
    with pytest.raises(ValueError, match="queries"):
        index.search(unit(1, d=8), 1)
    with pytest.raises(ValueError, match="allowed"):
        index.search(unit(1), 1, np.ones(4, bool))
    with pytest.raises(ValueError, match="k must"):
        index.search(unit(1), 0)


def test_exact_search_over_no_rows_is_all_padding():
    assert (exact(unit(5), unit(2), 3, np.empty(0, np.int64))[1] == -1).all()
