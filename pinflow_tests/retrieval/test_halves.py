"""Half precision finds candidates; what is returned is exact, whatever the vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow.retrieval import halves, scan
from pinflow.retrieval.halves import Halves
from pinflow.retrieval.index import build


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def drawn(seed, n=600, d=24, centres=0, noise=1.0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    if centres:
        rows = rng.standard_normal((centres, d))[rng.integers(0, centres, n)] + noise * rows
    return unit(rows).astype(np.float32)


@given(
    seed=st.integers(0, 1000),
    centres=st.sampled_from([0, 1, 3, 50]),
    noise=st.sampled_from([0.0, 1e-4, 1e-2, 1.0]),
    k=st.sampled_from([1, 10, 200]),
)
@settings(max_examples=60, deadline=None)
def test_it_is_exact_also_where_many_are_as_near_as_the_last(seed, centres, noise, k):
    vectors = drawn(seed, centres=centres, noise=noise)
    queries = vectors[:2]
    scores, rows = Halves(vectors).exact(queries, k)
    wanted, _ = scan.exact(vectors, queries, k)
    np.testing.assert_allclose(scores, wanted, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(queries @ vectors.T, rows, 1), wanted, atol=1e-6)
    assert [len(set(row)) for row in rows.tolist()] == [k] * 2
    for found in zip(scores, rows, strict=True):  # equal ones, of the same picture many times, by row
        places = list(zip(-found[0], found[1], strict=True))
        assert places == sorted(places)


def test_no_inner_product_is_farther_off_than_is_reckoned_with():
    vectors = np.vstack([drawn(seed, n=300, d=1280, centres=c) for seed, c in ((0, 0), (1, 5))])
    sparse = np.zeros((2, 1280), np.float32)
    sparse[0, 0] = sparse[1, :1000:2] = 1
    vectors = np.vstack([vectors, unit(sparse)]).astype(np.float32)
    made = Halves(vectors)
    about, rows = made._codes.search(vectors, len(vectors))
    true = np.take_along_axis(vectors.astype(np.float64) @ vectors.T.astype(np.float64), rows, 1)
    assert np.abs(about - true).max() < halves._OFF


def test_an_exact_index_uses_it_for_many_numbers_and_few_queries(monkeypatch):
    vectors, used = drawn(3), []
    plain = Halves.exact
    monkeypatch.setattr(Halves, "exact", lambda self, *given: used.append(1) or plain(self, *given))
    index = build(vectors)
    before = index.search(vectors[:1], 10)
    assert not used
    monkeypatch.setattr(halves, "FROM_NUMBERS", 1000)
    after = index.search(vectors[:1], 10)
    assert used == [1]
    np.testing.assert_array_equal(before[1], after[1])
    np.testing.assert_allclose(before[0], after[0], atol=1e-6)
    for queries, k, allowed in (
        (vectors[:9], 10, None),
        (vectors[:1], 400, None),
        (vectors[:1], 10, vectors[:, 0] > 0),
    ):
        index.search(queries, k, allowed)
    assert used == [1]


def test_what_the_first_search_needs_can_be_made_before_it(monkeypatch):
    index, made = build(drawn(3)), []
    monkeypatch.setattr(halves, "Halves", lambda vectors: made.append(len(vectors)) or Halves(vectors))
    index.warm()
    assert made == [], "few numbers need none"
    monkeypatch.setattr(halves, "FROM_NUMBERS", 1000)
    index.warm()
    index.search(drawn(4)[:1], 10)
    assert made == [600]


@pytest.mark.parametrize("k", [1, 40, 64])
def test_few_rows_are_all_looked_at(k):
    vectors = drawn(4, n=64)
    np.testing.assert_array_equal(
        Halves(vectors).exact(vectors[:3], k)[1], scan.exact(vectors, vectors[:3], k)[1]
    )


def test_the_best_of_many_keep_their_order_and_leave_what_is_no_number_last():
    scores = np.array([0.5, np.nan, 0.7, 0.5, 0.1, 0.7], np.float32)
    for k in range(1, 7):
        assert scan.best(scores, k).tolist() == [2, 5, 0, 3, 4, 1][:k]
