"""How several examples, pictures and words become one ranking.

Pure functions of arrays. Scores are never mixed before each is on a scale with a meaning: cosine for
pictures, relevance relative to the best hit for words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pinflow.errors import SearchError
from pinflow.retrieval.index import EXACT_ROWS, Floats, Index, Mask, Rows

# Rocchio's weights as in Manning, Raghavan & Schuetze, "Introduction to Information Retrieval", 9.1.1
# (beta .75, gamma .15). There is no query beside the examples, so alpha has nothing to weigh.
BETA = 0.75
GAMMA = 0.15
# Candidates by picture, and as many by words, where a selection is too large to score every row.
POOL = 5_000


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is looked for, in one space of n rows of width d.

    `picture`: (d,) unit vector, or None. `text`: (n,) relevance in [0, 1], or None. `avoid_picture` and
    `avoid_text`: the same for what is not wanted; pictures to avoid are part of `picture` where it is set.
    """

    picture: Floats | None = None
    text: Floats | None = None
    avoid_picture: Floats | None = None
    avoid_text: Floats | None = None


def rocchio(positive: Floats, negative: Floats) -> Floats:
    """One unit vector (d,) from unit vectors (p, d) to be near and (m, d) to be away from; p >= 1.

    Raises `SearchError` where they cancel each other out.
    """
    wish = BETA * positive.mean(axis=0)
    if len(negative):
        wish = wish - GAMMA * negative.mean(axis=0)
    length = float(np.linalg.norm(wish))
    if length < 1e-6:
        raise SearchError("positive: the examples cancel each other out; leave one out", "positive")
    unit: Floats = (wish / length).astype(np.float32)
    return unit


def centre(vectors: Floats, allowed: Mask) -> Floats:
    """The mean direction of the allowed rows as (1, d), or (0, d) where there is none: browsing starts there.

    Of more than `EXACT_ROWS` rows, as many, evenly spread, are averaged.
    """
    rows = np.flatnonzero(allowed)
    rows = rows[:: max(1, -(-len(rows) // EXACT_ROWS))]
    mean = vectors[rows].mean(axis=0, keepdims=True) if len(rows) else vectors[:0]
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    return np.asarray(mean / length if (length > 0).all() else vectors[rows[:1]], dtype=np.float32)


def rank(index: Index, vectors: Floats, wanted: Wanted, k: int, allowed: Mask) -> tuple[Floats, Rows]:
    """The best rows among `allowed`, best first: scores (m,) and rows (m,), m <= k.

    Score: the cosine if only a picture is wanted, the relevance if only words are, else the mean of both
    with a negative cosine as 0; less `GAMMA` times the likeness to what is to be avoided. Words
    alone find only rows that hold them.
    """
    k = min(k, index.n)
    if k == 0 or not allowed.any():
        return np.empty(0, np.float32), np.empty(0, np.int64)
    plain = wanted.text is None and wanted.avoid_text is None and wanted.avoid_picture is None
    if plain and wanted.picture is not None:
        scores, rows = index.search(wanted.picture[None], k, None if allowed.all() else allowed)
        found = rows[0] >= 0
        return scores[0][found], rows[0][found]
    candidates = _candidates(index, wanted, k, allowed)
    scores = _scores(vectors[candidates], wanted, candidates)
    order = np.lexsort((candidates, -scores))[:k]
    return scores[order], candidates[order]


def _candidates(index: Index, wanted: Wanted, k: int, allowed: Mask) -> Rows:
    if wanted.picture is None:
        assert wanted.text is not None
        return np.flatnonzero(allowed & (wanted.text > 0))
    if int(allowed.sum()) <= EXACT_ROWS:
        return np.flatnonzero(allowed)
    _, near = index.search(wanted.picture[None], min(index.n, k + POOL), allowed)
    chosen = near[0][near[0] >= 0]
    if wanted.text is not None:
        hits = np.flatnonzero(allowed & (wanted.text > 0))
        best = hits[np.lexsort((hits, -wanted.text[hits]))][: k + POOL]
        chosen = np.union1d(chosen, best)
    return np.sort(chosen)


def _scores(vectors: Floats, wanted: Wanted, candidates: Rows) -> Floats:
    parts = []
    if wanted.picture is not None:
        cosine = vectors @ wanted.picture
        parts.append(np.maximum(cosine, 0) if wanted.text is not None else cosine)
    if wanted.text is not None:
        parts.append(wanted.text[candidates])
    score = np.mean(parts, axis=0)
    if wanted.avoid_picture is not None:
        score = score - GAMMA * np.maximum(vectors @ wanted.avoid_picture, 0)
    if wanted.avoid_text is not None:
        score = score - GAMMA * wanted.avoid_text[candidates]
    return np.asarray(score, dtype=np.float32)
