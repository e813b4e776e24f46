"""The nearest-neighbour graph that both maps and the viewer share."""

from __future__ import annotations

import numpy as np

EXACT_ROWS = 50_000  # beyond it the exact graph takes minutes on two cores
_CHUNK_BYTES = 64 * 2**20


def neighbour_graph(vectors: np.ndarray, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Each row's `k` most similar other rows, best first, and their cosine similarities.

    `vectors`: (n, d) float32, unit length. Returns (n, k) int32 and (n, k) float32, padded with -1
    and 0 where there are fewer than k others. Exact up to `EXACT_ROWS`, ties to the lower row;
    beyond that by an inverted file that looks into a sixteenth of its cells.
    """
    count = len(vectors)
    indices = np.full((count, k), -1, np.int32)
    similarities = np.zeros((count, k), np.float32)
    width = min(k, count - 1)
    if width <= 0:
        return indices, similarities
    if count > EXACT_ROWS:
        found = _partitioned(vectors, width, seed)
    else:
        found = nearest(vectors, vectors, width, skip_self=True)
    indices[:, :width], similarities[:, :width] = found
    return indices, similarities


def nearest(
    queries: np.ndarray, base: np.ndarray, k: int, *, skip_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Exact `k` best rows of `base` for each query by dot product: (q, k) int32 and float32.

    With `skip_self`, `queries` are `base` and no row finds itself.
    """
    indices = np.empty((len(queries), k), np.int32)
    similarities = np.empty((len(queries), k), np.float32)
    rows = max(1, _CHUNK_BYTES // (4 * max(1, len(base))))
    for start in range(0, len(queries), rows):
        scores = queries[start : start + rows] @ base.T
        if skip_self:
            scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        best = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        values = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        indices[start : start + rows] = np.take_along_axis(best, order, axis=1)
        similarities[start : start + rows] = np.take_along_axis(values, order, axis=1)
    return indices, np.clip(similarities, -1.0, 1.0)


def _partitioned(vectors: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    count, width = vectors.shape
    cells = int(4 * count**0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed
    index.cp.min_points_per_centroid = 1
    index.train(vectors)
    index.add(vectors)
    index.nprobe = max(32, cells // 16)
    # One more than asked: a row finds itself, or among equals may miss itself.
    similarities, indices = index.search(vectors, k + 1)
    own = indices == np.arange(count)[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (count, k)
    return indices[~own].reshape(shape).astype(np.int32), np.clip(similarities[~own].reshape(shape), -1, 1)
