"""What is done to a ranking so that its first page is not one thing many times: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pinflow.retrieval.scan import Floats, Rows


def diverse(scores: Floats, vectors: Floats, weight: float) -> Rows:
    """The order (m,) of m rows by maximal marginal relevance (Carbonell & Goldstein 1998): next comes the row
    with the most of (1 - weight) relevance - weight likeness to the likest row before it.

    `scores` (m,), `vectors` (m, d) unit vectors, `weight` 0..1. Relevance and likeness are each brought to
    0..1 over the rows first: in a tuned space all cosines of one neighbourhood lie close together,
    and half would not mean half. At 0 the order is that of the scores.
    """
    m = len(scores)
    relevance = _spread(scores)
    likeness = vectors @ vectors.T
    others = ~np.eye(m, dtype=bool)
    likeness[others] = _spread(likeness[others])
    nearest = np.zeros(m, np.float32)
    left, order = np.ones(m, bool), np.empty(m, np.int64)
    for place in range(m):
        gain = np.where(left, (1 - weight) * relevance - weight * nearest, -np.inf)
        order[place] = best = int(np.argmax(gain))  # the first of equals: that of the higher score
        left[best] = False
        nearest = np.maximum(nearest, likeness[best])
    return order


def interleaved(rankings: Sequence[tuple[Floats, Rows]]) -> tuple[Floats, Rows]:
    """One ranking of several (scores, rows): the best of each in turn, then the second of each. A row that
    several have comes where the first of them has it, with that one's score."""
    scores = np.concatenate([scores for scores, _ in rankings])
    rows = np.concatenate([rows for _, rows in rankings])
    rank = np.concatenate([np.arange(len(rows)) for _, rows in rankings])
    turn = np.concatenate([np.full(len(rows), number) for number, (_, rows) in enumerate(rankings)])
    order = np.lexsort((turn, rank))
    first = np.sort(np.unique(rows[order], return_index=True)[1])
    return scores[order][first], rows[order][first]


def _spread(values: Floats) -> Floats:
    if not len(values):
        return values
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
