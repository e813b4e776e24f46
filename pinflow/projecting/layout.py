"""Where each picture stands on the map: UMAP in two and three dimensions, and clusters.

Not here: the picture of a map (`draw`) and the textures that a viewer needs (`sprites`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pinflow.projecting.neighbours import nearest, neighbour_graph

FEWEST = 15  # rows for UMAP; below it the principal components say all there is
_ANCHORS = 5  # old neighbours that place a new row
_SHARPNESS = 0.05  # cosine; an anchor this much less similar weighs 1/e
_MIN_DIST = 0.12  # UMAP: how tightly a cluster packs; thumbnails need some room


@dataclass(frozen=True)
class Layout:
    """A map of n vectors. Coordinates are centred; the farthest point of a fitted map is 1 from 0."""

    coordinates2: np.ndarray  # (n, 2) float32
    coordinates3: np.ndarray  # (n, 3) float32
    clusters: np.ndarray  # (n,) int32, -1 for none; 0 is the largest
    neighbours: np.ndarray  # (n, k) int32 rows, best first, -1 where there are none
    similarities: np.ndarray  # (n, k) float32 cosine, 0 where there are none
    refitted: bool  # False where new rows were placed into the previous map


class Placed(NamedTuple):
    """The previous map, a row for each of the new vectors; NaN where the old map did not have it."""

    coordinates2: np.ndarray  # (n, 2) float32
    coordinates3: np.ndarray  # (n, 3) float32


def align(ids: list[str], old_ids: list[str], old2: np.ndarray, old3: np.ndarray) -> Placed:
    """The old map's coordinates in the order of `ids`, for `lay_out(previous=...)`."""
    row_of = {key: row for row, key in enumerate(old_ids)}
    rows = np.array([row_of.get(key, -1) for key in ids], np.int64)
    placed = Placed(np.full((len(ids), 2), np.nan, np.float32), np.full((len(ids), 3), np.nan, np.float32))
    for target, old in zip(placed, (old2, old3), strict=True):
        target[rows >= 0] = old[rows[rows >= 0]]
    return placed


def lay_out(
    vectors: np.ndarray, *, previous: Placed | None = None, seed: int = 0, neighbours: int = 15
) -> Layout:
    """Lay out `vectors`, (n, d) float32 of unit length; any n, any duplicates.

    Both maps come from one neighbour graph and one fuzzy set of it (McInnes et al. 2018), started
    from the principal components (Kobak & Linderman 2021), so that they agree and repeat.
    Under `FEWEST` rows the principal components are the map.

    With `previous` (see `align`), if at least half of the rows stand on the old map, old rows do not
    move and each new one goes to the similarity-weighted mean of its 5 most similar old rows.
    Otherwise everything is fitted anew. Vectors of another encoder want no `previous`.
    Raises `ValueError` for vectors that are not finite or not two-dimensional.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(
            f"expected finite vectors of shape (n, d), found shape {vectors.shape} or NaN among them"
        )
    indices, similarities = neighbour_graph(vectors, neighbours, seed)
    placed = None if previous is None else _place(vectors, previous)
    two, three = placed or _fit(vectors, indices, similarities, seed)
    return Layout(two, three, _clusters(two), indices, similarities, refitted=placed is None)


def _place(vectors: np.ndarray, previous: Placed) -> tuple[np.ndarray, np.ndarray] | None:
    """Old rows where they were and new ones among them; None where under half of the rows are old."""
    old = np.isfinite(previous.coordinates2).all(axis=1) & np.isfinite(previous.coordinates3).all(axis=1)
    anchors, new = np.flatnonzero(old), np.flatnonzero(~old)
    if len(anchors) == 0 or len(anchors) < len(new):
        return None
    near, similarity = nearest(vectors[new], vectors[anchors], min(_ANCHORS, len(anchors)))
    weights = np.exp((similarity - similarity[:, :1]) / _SHARPNESS)
    weights /= weights.sum(axis=1, keepdims=True)
    maps = []
    for coordinates in previous:
        whole = np.array(coordinates, np.float32)
        whole[new] = (weights[:, :, None] * whole[anchors[near]]).sum(axis=1)
        maps.append(whole)
    return maps[0], maps[1]


def _fit(
    vectors: np.ndarray, indices: np.ndarray, similarities: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    components = _principal(vectors, 3)
    if len(vectors) < FEWEST:
        return _tidy(components[:, :2]), _tidy(components)
    if np.ptp(vectors, axis=0).max() < 1e-6:
        return _spread(len(vectors))
    graph = _fuzzy_set(vectors, indices, similarities)
    two, three = (_tidy(_embed(graph, components[:, :width], seed)) for width in (2, 3))
    return two, three


def _principal(vectors: np.ndarray, width: int) -> np.ndarray:
    """(n, width) float32 principal components; the largest loading of each is positive."""
    scores = np.zeros((len(vectors), width), np.float32)
    if len(vectors) < 2 or not vectors.shape[1]:
        return scores
    centred = vectors - vectors.mean(axis=0)
    # Through the smaller of the two covariance matrices: labels have fewer rows than columns.
    if len(centred) <= centred.shape[1]:
        values, rows = np.linalg.eigh((centred @ centred.T).astype(np.float64))
        found = rows * np.sqrt(np.maximum(values, 0))
    else:
        values, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        found = centred @ axes
    found = found[:, ::-1][:, :width]
    largest = np.take_along_axis(found, np.abs(found).argmax(axis=0, keepdims=True), axis=0)
    scores[:, : found.shape[1]] = found * np.where(largest < 0, -1.0, 1.0)
    return scores


def _fuzzy_set(vectors: np.ndarray, indices: np.ndarray, similarities: np.ndarray) -> Any:
    """UMAP's fuzzy simplicial set of the neighbour graph, a sparse (n, n) matrix."""
    from umap.umap_ import fuzzy_simplicial_set

    width = min(indices.shape[1], len(vectors) - 1)
    # UMAP counts a row as its own first neighbour.
    own = np.arange(len(vectors), dtype=np.int32)[:, None]
    rows = np.hstack([own, indices[:, :width]])
    distances = np.hstack([np.zeros_like(own, np.float32), np.maximum(1 - similarities[:, :width], 0)])
    return fuzzy_simplicial_set(
        vectors, width + 1, np.random.RandomState(0), "cosine", knn_indices=rows, knn_dists=distances
    )[0]


def _embed(graph: Any, start: np.ndarray, seed: int) -> np.ndarray:
    """UMAP's embedding of the graph in as many dimensions as `start` has columns."""
    from umap.umap_ import find_ab_params, simplicial_set_embedding

    random = np.random.RandomState(seed)
    # A flat axis would divide by zero, and equal rows would never part.
    scale = max(float(start.std()), 1e-6)
    start = start + random.normal(scale=1e-3 * scale, size=start.shape)
    a, b = find_ab_params(1.0, _MIN_DIST)
    embedding, _ = simplicial_set_embedding(
        data=None,
        graph=graph.copy(),
        n_components=start.shape[1],
        initial_alpha=1.0,
        a=a,
        b=b,
        gamma=1.0,
        negative_sample_rate=5,
        n_epochs=None,
        init=start.astype(np.float32),
        random_state=random,
        metric="cosine",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
        parallel=False,
    )
    return np.asarray(embedding)


def _tidy(points: np.ndarray) -> np.ndarray:
    """Centred, its widest direction along x, the farthest point at distance 1."""
    turned = _principal(points.astype(np.float32), points.shape[1])
    radius = float(np.linalg.norm(turned, axis=1).max(initial=0.0))
    return turned / np.float32(radius) if radius > 0 else turned


def _spread(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Equal vectors have no map; a sunflower and a sphere show each of them."""
    number = np.arange(count) + 0.5
    angle = number * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(number / count)
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    height = 1 - 2 * number / count
    ring = np.sqrt(1 - height**2)
    ball = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    return flat.astype(np.float32), ball.astype(np.float32)


def _clusters(points: np.ndarray) -> np.ndarray:
    """HDBSCAN (Campello et al. 2013) clusters of the map's points, renumbered by size, largest first."""
    if len(points) < FEWEST or np.ptp(points, axis=0).max() == 0:
        return np.full(len(points), -1, np.int32)
    from sklearn.cluster import HDBSCAN

    smallest = max(5, round(len(points) ** 0.5 / 2))
    found = HDBSCAN(min_cluster_size=smallest, min_samples=3, copy=True).fit_predict(
        points.astype(np.float64)
    )
    sizes = np.bincount(found[found >= 0])
    rank = np.empty(len(sizes) + 1, np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    rank[-1] = -1  # found is -1 for none
    return np.asarray(rank[found], np.int32)
