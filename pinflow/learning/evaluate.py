"""Metrics: the one place where retrieval is measured. Exact search, intervals always.

Measures: recall@k (a relevant picture among the k nearest), R-precision and MAP@R (Musgrave et al. 2020,
"A Metric Learning Reality Check", arXiv 2003.08505) with R counted for each query in the gallery it is
asked of; NMI of k-means clusters against classes. Intervals: percentile bootstrap over queries (Efron 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow.learning.dataset import Dataset, Floats, Ints, Mask, join
from pinflow.learning.head import Head

METRICS = ("recall@1", "recall@5", "recall@10", "r-precision", "map@r")
RESAMPLES = 2000
WORST, SHOWN = 8, 8  # queries of a report, and neighbours of each
LEVEL = 0.95
# Similarities held at once: 16 MB of float32 (and some 100 MB around them), however large the gallery.
_CELLS = 4 * 1024 * 1024

Values = npt.NDArray[np.float64]
Relevance = Callable[[Ints, Ints], Mask]  # rows, other rows -> bool (len(rows), len(others))


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval over `n` queries; all None where there was no query."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class PerQuery:
    """Metrics of each query that has something to find. Arrays are parallel."""

    rows: Ints
    values: dict[str, Values]


@dataclass(frozen=True)
class Missed:
    """A query and what the served space finds nearest to it, best first; pictures by sha256."""

    query: str
    average: float  # MAP@R
    neighbours: list[str]
    right: list[bool]


@dataclass(frozen=True)
class Report:
    """Every head on the same queries. `to_json` gives plain dicts."""

    queries: int
    gallery: int
    overall: dict[str, dict[str, Estimate]]  # head -> metric -> estimate
    labels: dict[str, dict[str, dict[str, Estimate]]]  # label -> head -> metric -> estimate
    nmi: dict[str, float | None] = field(default_factory=dict)  # head -> k-means against labels
    # Head -> share of the queries of a label (row) whose nearest neighbour has a label (column), by name.
    confusion: dict[str, list[list[float]]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # of the rows and columns
    worst: list[Missed] = field(default_factory=list)  # of the last head
    # Head -> how often a crop finds its own picture first among those of its label, and what that is more
    # or less than in the first space.
    crops: dict[str, Estimate] = field(default_factory=dict)
    crops_gain: dict[str, Estimate] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as dicts, strings and numbers."""
        return asdict(self)


def report(
    features: pa.Table,
    rows: pa.Table,
    heads: Mapping[str, Head],
    *,
    crops: pa.Table | None = None,
    tuned: Mapping[str, tuple[pa.Table, pa.Table]] | None = None,
    seed: int = 0,
) -> Report:
    """Test pictures ask, all pictures that training never saw (val and test) answer, label is relevance.

    `features`: `schema.features`; `rows`: resolved `schema.SPLIT_ROWS`; `heads`: usually `frozen`,
    `candidate`, `served`; `crops`: `schema.features` of parts of some of the pictures; `tuned`: both as tuned
    trunks see them. A query never finds itself; one that nothing in the gallery matches does not count.
    """
    return report_on(join(features, rows, crops, tuned), heads, seed=seed)


def report_on(data: Dataset, heads: Mapping[str, Head], *, seed: int = 0) -> Report:
    """`report` on joined data."""
    queries = np.flatnonzero(data.in_splits("test"))
    gallery = np.flatnonzero(data.in_splits("val", "test"))
    scores = {
        name: per_query(data.space(head), queries, gallery, data.same_label) for name, head in heads.items()
    }
    asked = next(iter(scores.values())).rows if scores else queries[:0]
    labels = {}
    for code, label in enumerate(data.label_names):
        mine = (data.labels[asked] == code).any(axis=1)
        if mine.any():
            labels[label] = {name: _estimates(score, mine, seed) for name, score in scores.items()}
    overall = {name: _estimates(score, np.ones(len(asked), bool), seed) for name, score in scores.items()}
    spaces = {name: data.space(head) for name, head in heads.items()}
    again = {name: found_again(data, head, data.in_splits("test"), gallery) for name, head in heads.items()}
    first = next(iter(again.values()), np.zeros(0))
    nearest = {name: neighbours(space, asked, gallery, SHOWN) for name, space in spaces.items()}
    return Report(
        len(asked),
        len(gallery),
        overall,
        labels,
        {name: nmi(space[gallery], data.primary[gallery], seed=seed) for name, space in spaces.items()},
        {name: confusion(data, asked, found) for name, found in nearest.items()},
        list(data.label_names),
        _worst(data, list(scores.values())[-1], list(nearest.values())[-1]) if scores else [],
        {name: bootstrap(values, seed=seed) for name, values in again.items()},
        {name: paired_gain(values, first, seed=seed) for name, values in again.items()},
    )


def neighbours(vectors: Floats, queries: Ints, gallery: Ints, count: int) -> Ints:
    """The `count` rows of the gallery most similar to each query (q, count), never itself, best first."""
    found = [np.zeros((0, min(count, max(0, len(gallery) - 1))), dtype=np.int64)]
    step = max(1, _CELLS // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        rows = queries[start : start + step]
        similarity = vectors[rows] @ vectors[gallery].T
        similarity[rows[:, None] == gallery[None, :]] = -np.inf
        if found[0].shape[1]:
            found.append(gallery[_nearest(similarity, found[0].shape[1])])
    return np.concatenate(found)


def nmi(vectors: Floats, classes: Ints, *, seed: int = 0) -> float | None:
    """Normalised mutual information of k-means clusters (as many as classes) and classes (n,)."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    number = len(np.unique(classes))
    if number < 2 or len(np.unique(vectors, axis=0)) < number:
        return None
    found = KMeans(number, n_init=3, random_state=seed).fit_predict(vectors)
    return float(normalized_mutual_info_score(classes, found))


def confusion(data: Dataset, queries: Ints, nearest: Ints) -> list[list[float]]:
    """For each label of the queries the share whose nearest neighbour (q, 1 or more) has each label. A shared
    label counts as the query's own; rows sum to 1, or to 0 without a query."""
    table = np.zeros((len(data.label_names),) * 2)
    if nearest.shape[1]:
        first = nearest[:, 0]
        for mine in range(len(table)):
            asked = (data.labels[queries] == mine).any(axis=1)
            shared = (data.labels[first] == mine).any(axis=1)
            found = np.where(shared, mine, data.primary[first])[asked]
            table[mine] = np.bincount(found, minlength=len(table)) / max(1, len(found))
    rows: list[list[float]] = table.tolist()
    return rows


def found_again(data: Dataset, head: Head, asked: Mask, gallery: Ints) -> Values:
    """Of each crop of a picture that is `asked` whether it finds the very picture that it was cut from first,
    among the pictures of its label in `gallery`: what a space that only knows classes loses."""
    crops = data.seen_for(head).crops
    if crops is None:
        return np.zeros(0)
    mine = np.flatnonzero(asked[crops.rows] & np.isin(crops.rows, gallery))
    of, n = crops.rows[mine], len(gallery)
    return per_query(
        np.concatenate([data.space(head, gallery), crops.space(head)[mine]]),
        np.arange(len(mine)) + n,
        np.arange(n),
        lambda a, b: of[a - n][:, None] == gallery[b][None, :],
        excluded=lambda a, b: ~data.same_label(of[a - n], gallery[b]),
    ).values["recall@1"]


def _worst(data: Dataset, score: PerQuery, nearest: Ints) -> list[Missed]:
    """The queries with the lowest MAP@R."""
    order = np.argsort(score.values["map@r"], kind="stable")[:WORST]
    return [
        Missed(
            str(data.sha256[score.rows[i]]),
            float(score.values["map@r"][i]),
            data.sha256[nearest[i]].tolist(),
            data.same_label(score.rows[[i]], nearest[i])[0].tolist(),
        )
        for i in order.tolist()
    ]


def per_query(
    vectors: Floats, queries: Ints, gallery: Ints, relevant: Relevance, *, excluded: Relevance | None = None
) -> PerQuery:
    """Metrics of each query, by exact cosine search in chunks of bounded memory.

    `vectors` (n, d) unit float32; `queries`, `gallery`: row numbers. A row is never its own neighbour, nor
    is what `excluded` names (pictures of the same shop, say): neither found nor missed.
    Queries with nothing relevant in the gallery are left out.
    """
    kept: list[Ints] = [queries[:0]]
    parts: dict[str, list[Values]] = {metric: [np.zeros(0)] for metric in METRICS}
    step = max(1, _CELLS // max(1, len(gallery)))
    answers = vectors[gallery]
    for start in range(0, len(queries), step):
        rows = queries[start : start + step]
        itself = rows[:, None] == gallery[None, :]
        if excluded is not None:
            itself |= excluded(rows, gallery)
        match = relevant(rows, gallery) & ~itself
        possible = match.sum(axis=1)
        asked = possible > 0
        if not asked.any():
            continue
        rows, itself, match, possible = rows[asked], itself[asked], match[asked], possible[asked]
        similarity = vectors[rows] @ answers.T
        similarity[itself] = -np.inf
        hits = np.take_along_axis(match, _nearest(similarity, max(10, int(possible.max()))), axis=1)
        kept.append(rows)
        for metric, values in _measure(hits, possible).items():
            parts[metric].append(values)
    return PerQuery(np.concatenate(kept), {metric: np.concatenate(parts[metric]) for metric in METRICS})


def bootstrap(values: Values, *, seed: int = 0) -> Estimate:
    """The mean of `values` (n,) and its percentile interval over resampled queries."""
    if not len(values):
        return Estimate(None, None, None, 0)
    low, high = np.quantile(_resampled(values, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def paired_gain(ours: Values, theirs: Values, *, seed: int = 0) -> Estimate:
    """How much better `ours` is than `theirs`, query by query (n,), with its interval."""
    if ours.shape != theirs.shape:
        raise ValueError(f"not the same queries: {ours.shape} and {theirs.shape}")
    return bootstrap(ours - theirs, seed=seed)


def _nearest(similarity: Floats, count: int) -> Ints:
    """Column numbers of the `count` most similar, best first, ties by column."""
    count = min(count, similarity.shape[1])
    best = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    best.sort(axis=1)
    order = np.argsort(-np.take_along_axis(similarity, best, axis=1), axis=1, kind="stable")
    found: Ints = np.take_along_axis(best, order, axis=1)
    return found


def _measure(hits: Mask, possible: Ints) -> dict[str, Values]:
    """`hits` (q, k) in order of similarity, `possible` (q,) relevant ones in the gallery."""
    ranks = np.arange(1, hits.shape[1] + 1)
    within = ranks[None, :] <= possible[:, None]
    precision = np.cumsum(hits, axis=1) / ranks
    found: Values = np.maximum.accumulate(hits, axis=1).astype(np.float64)
    last = hits.shape[1] - 1
    values = {f"recall@{k}": found[:, min(k - 1, last)] for k in (1, 5, 10)}
    exact: Values = (hits & within).sum(axis=1) / possible
    average: Values = (precision * (hits & within)).sum(axis=1) / possible
    return values | {"r-precision": exact, "map@r": average}


def _resampled(values: Values, seed: int) -> Values:
    """`RESAMPLES` means of as many values drawn with replacement."""
    rng = np.random.default_rng(seed)
    n = len(values)
    step = max(1, _CELLS // n)
    means = [
        values[rng.integers(n, size=(min(step, RESAMPLES - start), n))].mean(axis=1)
        for start in range(0, RESAMPLES, step)
    ]
    return np.concatenate(means)


def _estimates(score: PerQuery, mine: Mask, seed: int) -> dict[str, Estimate]:
    return {metric: bootstrap(values[mine], seed=seed) for metric, values in score.values.items()}
