"""Exact scores of chosen rows, best first: what every search ends with, whatever found the rows.

The metric is the inner product of unit vectors, i.e. cosine similarity. Vectors are read where they lie,
often a memory-mapped table: of a selection only its own rows are touched, and nothing is copied for a
few queries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# From so many queries on, one matrix product of a copy beats reading each row for each query.
FEW = 4


def exact(vectors: Floats, queries: Floats, k: int, rows: Rows | None = None) -> tuple[Floats, Rows]:
    """The `k` best of `rows` (default: all) by exact scan.

    `vectors` (n, d) and `queries` (q, d) are float32, `rows` (m,) int64 ascending. Returns scores (q, k)
    float32 and rows (q, k) int64, equal scores by row; padded with -inf and -1 where m < k.
    """
    faiss = library()
    count = len(vectors) if rows is None else len(rows)
    if count == 0 or len(queries) == 0:
        return padding(len(queries), k)
    if len(queries) >= FEW:
        subset = np.ascontiguousarray(vectors if rows is None else vectors[rows])
        scores, places = faiss.knn(queries, subset, k, metric=faiss.METRIC_INNER_PRODUCT)
        return ordered(scores, places if rows is None else _named(rows, places))
    if rows is None:
        return ordered(*_all(vectors, queries, k))
    return rerank(vectors, queries, np.broadcast_to(rows, (len(queries), count)), k)


def rerank(vectors: Floats, queries: Floats, candidates: Rows, k: int) -> tuple[Floats, Rows]:
    """The same among each query's own candidates (q, m); a -1 ends a query's list early."""
    faiss = library()
    candidates = np.ascontiguousarray(candidates, dtype=np.int64)
    vectors = np.ascontiguousarray(vectors)
    scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    at, m = faiss.swig_ptr, candidates.shape[1]
    faiss.knn_inner_products_by_idx(
        at(queries), at(vectors), at(candidates), vectors.shape[1], len(queries), len(vectors), m, k,
        at(scores), at(rows), m,
    )  # fmt: skip
    return ordered(scores, rows)


def ordered(scores: Floats, rows: Rows) -> tuple[Floats, Rows]:
    """Those of FAISS, which come best first, with equal scores by row and what is missing as -inf."""
    if not (scores[:, 1:] == scores[:, :-1]).any() and not (rows < 0).any():
        return scores, rows
    scores = np.where(rows >= 0, scores, np.float32(-np.inf))
    order = np.lexsort((rows, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def best(scores: Floats, k: int) -> Rows:
    """The places (k,) of the largest of (n,) scores, best first, equal ones in their order; all, if fewer."""
    places, worse = np.arange(len(scores)), -scores
    if k < len(scores):  # to sort a few is cheaper; all that are as good as the last of them take part
        places = np.flatnonzero(~(worse > np.partition(worse, k - 1)[k - 1]))
    return places[np.argsort(worse[places], kind="stable")][:k]


def padding(q: int, k: int) -> tuple[Floats, Rows]:
    """Nothing found."""
    return np.full((q, k), -np.inf, dtype=np.float32), np.full((q, k), -1, dtype=np.int64)


def library() -> Any:
    """FAISS, imported where it is needed; its stubs know neither parameters nor selectors, hence Any."""
    import faiss

    return faiss


def _named(rows: Rows, places: Rows) -> Rows:
    return np.where(places >= 0, rows[np.maximum(places, 0)], -1)


def _all(vectors: Floats, queries: Floats, k: int) -> tuple[Floats, Rows]:
    """One product at the speed of memory, which FAISS's own scan of a single query does not reach."""
    scores, rows = padding(len(queries), k)
    kept = min(k, len(vectors))
    for i, query in enumerate(queries):
        found = vectors @ query
        rows[i, :kept] = best(found, kept)
        scores[i, :kept] = found[rows[i, :kept]]
    return scores, rows
