"""How several examples, pictures and words become one ranking.

Pure functions of arrays. Scores are never mixed before each is on a scale with a meaning: cosine for
pictures, relevance relative to the best hit for words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pinflow.errors import SearchError
from pinflow.learning.text.tower import relevance
from pinflow.retrieval.index import Floats, Index, Mask, Rows
from pinflow.retrieval.scan import best, exact
from pinflow.retrieval.selection import Selection

# Rocchio's weights as in Manning, Raghavan & Schuetze, "Introduction to Information Retrieval", 9.1.1
# (beta .75, gamma .15). There is no query beside the examples, so alpha has nothing to weigh.
BETA = 0.75
GAMMA = 0.15
EXACT_ROWS = 50_000  # a selection up to this size is scored row by row
# So many results are looked for whatever page is asked for: an approximate search for more finds other rows,
# and pages of one search must fit together.
DEPTH = 256
# Candidates by picture, and as many by words, where a selection is too large to score every row.
POOL = 5_000


@dataclass(frozen=True, eq=False)
class Manner:
    """The style that is looked for beside a content: a unit vector (d,) among the styles (n, d) of all rows,
    and how much it counts, 0..1."""

    picture: Floats
    vectors: Floats
    index: Index
    weight: float


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
    manner: Manner | None = None


def blended(
    content: Floats, style: Floats, weight: float, among: tuple[Floats, Floats] | None = None
) -> Floats:
    """A slider between what is shown and how: similarities (m,), at `weight` 0 those of content, at 1 in the
    order of style, between them both.

    The style's are brought to the mean and spread of the content's first, since whitened vectors lie much
    farther apart: else half would not mean half. `among`: the similarities (r,), of content and of
    style, that mean and spread are taken from; the given ones by default.
    """
    reference, manner = among or (content, style)
    if weight == 0 or not len(reference):
        return content
    spread = float(manner.std())
    scale = float(reference.std()) / spread if spread > 0 else 0.0
    moved = (style - manner.mean()) * scale + reference.mean()
    return np.asarray((1 - weight) * content + weight * moved, dtype=np.float32)


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


def centre(vectors: Floats, rows: Rows) -> Floats:
    """The mean direction of those rows as (1, d), or (0, d) where there is none: browsing starts there.

    Of more than `EXACT_ROWS` rows, as many, evenly spread, are averaged.
    """
    rows = rows[:: max(1, -(-len(rows) // EXACT_ROWS))]
    mean = vectors[rows].mean(axis=0, keepdims=True) if len(rows) else vectors[:0]
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    return np.asarray(mean / length if (length > 0).all() else vectors[rows[:1]], dtype=np.float32)


def seen(index: Index, vectors: Floats, words: Floats, written: Floats, allowed: Selection) -> Floats:
    """How well pictures fit the vector (d,) of some words: (n,) in 0..1, on the scale of `relevance`.

    Of more than `EXACT_ROWS` rows the `POOL` nearest of the `allowed` are looked at, and as many of those
    that caption-text search found, `written` (n,); what is seen on the others counts as nothing.
    """
    if index.n <= EXACT_ROWS:
        return relevance(vectors @ words)
    nearest, _ = index.search(words[None], 1)
    average = vectors[:: max(1, index.n // POOL)] @ words
    _, near = index.search(words[None], min(index.n, POOL), allowed)
    rows = np.union1d(near[near >= 0], _most(written, allowed, POOL))
    found = np.zeros(index.n, np.float32)
    found[rows] = relevance(_cosine(vectors, rows, words), np.append(average, nearest))
    return found


def rank(
    index: Index,
    vectors: Floats,
    wanted: Wanted,
    k: int,
    allowed: Mask | Selection,
    without: Rows | None = None,
) -> tuple[Floats, Rows]:
    """The best rows among `allowed`, and not `without`, best first: scores (m,) and rows (m,), m <= k. The
    first of more are the same rows; those behind the first `DEPTH` come from an exact scan.

    Score: the cosine (`blended` where a manner is wanted too) if only a picture is wanted, the relevance if
    only words are, else the mean of both with a negative cosine as 0; less `GAMMA` times the likeness to
    what is to be avoided. Words alone find only rows of some relevance.
    """
    selection = allowed if isinstance(allowed, Selection) else Selection(allowed)
    without = np.empty(0, np.int64) if without is None else without
    k = min(k, index.n)
    if k == 0 or not selection.count:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    others = (wanted.text, wanted.avoid_text, wanted.avoid_picture, wanted.manner)
    if wanted.picture is not None and all(one is None for one in others):
        return _nearest(index, vectors, wanted.picture, k, selection, without)
    candidates = _candidates(index, wanted, k, selection)
    candidates = candidates[~np.isin(candidates, without)]
    scores = _scores(vectors, wanted, candidates, _spread(vectors, wanted, selection))
    order = best(scores, k)
    return scores[order], candidates[order]


def _nearest(
    index: Index, vectors: Floats, picture: Floats, k: int, selection: Selection, without: Rows
) -> tuple[Floats, Rows]:
    more = len(without)
    scores, rows = index.search(picture[None], min(index.n, DEPTH + more), selection)
    scores, rows = _only(scores[0], rows[0], without)
    scores, rows = scores[:DEPTH], rows[:DEPTH]
    if k > DEPTH:
        deep, behind = exact(vectors, picture[None], min(index.n, k + more), selection.rows)
        deep, behind = _only(deep[0], behind[0], np.union1d(without, rows))
        scores, rows = np.concatenate([scores, deep]), np.concatenate([rows, behind])
    return scores[:k], rows[:k]


def _only(scores: Floats, rows: Rows, without: Rows) -> tuple[Floats, Rows]:
    kept = (rows >= 0) & ~np.isin(rows, without)
    return scores[kept], rows[kept]


def _candidates(index: Index, wanted: Wanted, k: int, selection: Selection) -> Rows:
    if wanted.picture is None:
        assert wanted.text is not None
        return np.flatnonzero(selection.mask & (wanted.text > 0))
    if selection.count <= EXACT_ROWS:
        return selection.rows
    pool = min(index.n, POOL * -(-k // POOL))
    _, near = index.search(wanted.picture[None], pool, selection)
    chosen = near[0][near[0] >= 0]
    if wanted.manner is not None:
        _, near = wanted.manner.index.search(wanted.manner.picture[None], pool, selection)
        chosen = np.union1d(chosen, near[0][near[0] >= 0])
    if wanted.text is not None:
        chosen = np.union1d(chosen, _most(wanted.text, selection, pool))
    return np.sort(chosen)


def _most(text: Floats, selection: Selection, pool: int) -> Rows:
    """The rows of the most relevance to words, at most `pool`."""
    hits = np.flatnonzero(selection.mask & (text > 0))
    return hits[best(text[hits], pool)]


def _spread(vectors: Floats, wanted: Wanted, selection: Selection) -> tuple[Floats, Floats] | None:
    """Similarities of content and of style, of rows that do not depend on the page that is asked for."""
    if wanted.manner is None or wanted.picture is None:
        return None
    rows = selection.rows
    rows = rows[:: max(1, -(-len(rows) // EXACT_ROWS))]
    return _cosine(vectors, rows, wanted.picture), _cosine(wanted.manner.vectors, rows, wanted.manner.picture)


def _scores(
    vectors: Floats, wanted: Wanted, candidates: Rows, among: tuple[Floats, Floats] | None = None
) -> Floats:
    parts = []
    if wanted.picture is not None:
        cosine = _cosine(vectors, candidates, wanted.picture)
        if wanted.manner is not None:
            manner = _cosine(wanted.manner.vectors, candidates, wanted.manner.picture)
            cosine = blended(cosine, manner, wanted.manner.weight, among)
        parts.append(np.maximum(cosine, 0) if wanted.text is not None else cosine)
    if wanted.text is not None:
        parts.append(wanted.text[candidates])
    score = np.mean(parts, axis=0)
    if wanted.avoid_picture is not None:
        score = score - GAMMA * np.maximum(_cosine(vectors, candidates, wanted.avoid_picture), 0)
    if wanted.avoid_text is not None:
        score = score - GAMMA * wanted.avoid_text[candidates]
    return np.asarray(score, dtype=np.float32)


def _cosine(vectors: Floats, rows: Rows, to: Floats) -> Floats:
    """That of chosen rows (m,). Of most of them, all are compared where they lie: copying costs more."""
    if 2 * len(rows) > len(vectors):
        return np.asarray((vectors @ to)[rows], np.float32)
    return np.asarray(vectors[rows] @ to, np.float32)
