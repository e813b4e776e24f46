"""The index is exact when small, measured when large, and never trusts bytes it did not write."""

import json

import numpy as np
import pytest

from pinflow.errors import CorruptError
from pinflow.retrieval import index as module
from pinflow.retrieval.index import Index, build
from pinflow.retrieval.scan import exact, rerank
from pinflow.retrieval.selection import Selection
from pinflow.retrieval.tuning import recall

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
        patch.setattr(module, "OVERHEAD_ROWS", 20)
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


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_a_filter_costs_a_large_index_hardly_any_of_the_truth(large, share):
    index, vectors = large
    queries, allowed = vectors[:200], np.random.default_rng(4).random(len(vectors)) < share
    selection = Selection(allowed)
    found = index.probed(queries, 10, selection, int(index.reach.at(share)))
    assert allowed[found[found >= 0]].all()
    scores = rerank(vectors, queries, found, 10)[0]
    truth = brute(vectors, queries, 10, allowed)
    assert (scores >= truth[:, -1:] - 1e-5).mean() >= 0.98
    assert index.recalls["filtered"] >= 0.99


def test_lists_without_an_allowed_row_are_not_opened(large):
    """Rows of one far list alone are met at once, however many lists lie nearer."""
    index, vectors = large
    number = int(np.argmax(index._sizes))
    allowed = index.list_of == number
    queries = -vectors[allowed][:3]
    found = index.probed(queries, 5, Selection(allowed), 1)
    assert (index.list_of[found] == number).all()


def test_a_small_or_dear_selection_is_scanned_exactly(large):
    index, vectors = large
    few = np.arange(len(vectors)) < 40
    queries = unit(6)
    np.testing.assert_allclose(index.search(queries, 10, few)[0], brute(vectors, queries, 10, few), atol=1e-5)
    never = module.replace(index, reach=None)
    half = np.arange(len(vectors)) % 2 == 0
    np.testing.assert_allclose(
        never.search(queries, 10, half)[0], brute(vectors, queries, 10, half), atol=1e-5
    )


def test_a_selection_may_be_used_again_and_by_another_index(large):
    index, vectors = large
    selection = Selection(np.random.default_rng(6).random(len(vectors)) < 0.6)
    queries, other = unit(3), build(vectors[::-1].copy())
    first = index.search(queries, 5, selection)
    other.search(queries, 5, selection)
    for mine, again in zip(first, index.search(queries, 5, selection), strict=True):
        np.testing.assert_array_equal(mine, again)


def test_queries_of_another_kind_are_tuned_for_too(small_limits):
    vectors = unit(2000)
    texts = unit(60, centres=3)
    index = build(vectors, {"texts": texts})
    truth = brute(vectors, texts, 10, np.ones(len(vectors), bool))
    share = (index.search(texts, 10)[0] >= truth[:, -1:] - 1e-5).mean()
    assert index.recalls["texts"] == pytest.approx(share, abs=0.02)
    assert index.recall == min(index.recalls["texts"], index.recalls["pictures"]) >= 0.95
    with pytest.raises(ValueError, match="texts must have length 1"):
        build(vectors, {"texts": 2 * texts})


def test_odd_widths_work(small_limits):
    vectors = unit(1100, d=15)
    index = build(vectors)
    again = Index.from_bytes(index.to_bytes(), index.meta, vectors)
    assert np.array_equal(again.search(vectors[:9], 5)[1], index.search(vectors[:9], 5)[1])


def test_the_best_alone_is_found_as_surely_as_ten(large):
    index, vectors = large
    assert (index.search(vectors[:300], 1)[1][:, 0] == np.arange(300)).mean() >= 0.99


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
    assert {"kind", "n", "d", "metric", "recall", "recalls", "faiss", "nprobe", "sha256"} <= meta.keys()


@pytest.mark.parametrize("n", [0, 200, 1100])
def test_an_index_is_searched_where_it_lies(small_limits, tmp_path, n):
    vectors, queries = unit(n), unit(3)
    index, path = build(vectors), tmp_path / "index.faiss"
    path.write_bytes(index.to_bytes())
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = Index.open(
        path, json.dumps(index.meta), np.load(tmp_path / "vectors.npy", mmap_mode="r" if n else None)
    )
    allowed = np.arange(n) % 3 > 0
    for given in (None, allowed):
        for mine, theirs in zip(
            index.search(queries, 4, given), mapped.search(queries, 4, given), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert mapped.meta == index.meta


def test_a_damaged_file_is_not_opened(tmp_path):
    vectors = unit(30)
    index, path = build(vectors), tmp_path / "index.faiss"
    data = index.to_bytes()
    with pytest.raises(CorruptError, match="cannot be read"):
        Index.open(path, index.meta, vectors)
    for harmed in (data[:-3], data[:200] + bytes([data[200] ^ 1]) + data[201:]):
        path.write_bytes(harmed)
        with pytest.raises(CorruptError, match="not what its meta file promises"):
            Index.open(path, index.meta, vectors)
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="the file holds a IndexFlatIP"):
        Index.open(path, {**index.meta, "kind": "ivf_pq"}, vectors)


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


def test_a_meta_file_of_an_older_release_still_serves(small_limits):
    vectors = unit(1100)
    index = build(vectors)
    older = {k: v for k, v in index.meta.items() if k not in ("rerank", "reach", "recalls", "changed")}
    again = Index.from_bytes(index.to_bytes(), older, vectors)
    assert (again.search(vectors[:9], 1)[1][:, 0] == np.arange(9)).all()
    with pytest.raises(CorruptError, match="no valid rerank, reach"):
        Index.from_bytes(index.to_bytes(), {**index.meta, "rerank": 0, "reach": [1]}, vectors)


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
