"""What answers a search by words: what is written, what is seen, or both. Chosen on validation, measured on
test.

Two questions of every picture, because people ask both:

- `written`: its own words, as they stand beside it, asked of everything as it is;
- `unwritten`: the same words, asked as if nothing were written beside the pictures in question, only the
  labels that they were found under. Nobody else's words give them away, and no training saw them.

The answer is a mixture of caption-text search and the tower, `share` of the former. It differs from
caption-text search alone only where the lower 95% bound of its gain, in the mean of recall@1 and recall@10
of both questions, is above zero, and where who types what is written finds it first as often as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinflow.learning.evaluate import Estimate, bootstrap, paired_gain
from pinflow.learning.text.tower import Tower, relevance
from pinflow.learning.text.tune import LEAST, Recipe, fit_tower

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Relevance = Callable[[str], Floats]  # words -> relevance (n,) in 0..1 of every picture; 0: not found

SHARES = (1.0, 0.9, 0.75, 0.5, 0.0)
# Without mixup, a tuned tower was between these two on both sample sets, and nearer to the linear one.
RECIPES = {"linear": Recipe(steps=0), "mixup": Recipe(steps=100, mixup=1.0)}
VALIDATION = 200  # pictures; with fewer in val, every picture outside test is asked out of fold
ASKED = 1000  # pictures at most that ask
FOLDS = 5
QUESTIONS = ("written", "unwritten")


@dataclass(frozen=True)
class Words:
    """n pictures and what is said of them. Arrays are parallel."""

    vectors: Floats  # (n, d) unit vectors in the shared space
    split: npt.NDArray[np.str_]
    fold: Ints
    own: Sequence[Sequence[str]]  # titles and captions
    prompts: Sequence[Sequence[str]]  # sentences about its labels

    def said(self, rows: Ints) -> tuple[list[str], Ints]:
        """Every text about these pictures, and the position in `rows` of the picture that it is about."""
        pairs = [
            (text, i) for i, row in enumerate(rows.tolist()) for text in (*self.own[row], *self.prompts[row])
        ]
        return [text for text, _ in pairs], np.array([i for _, i in pairs], dtype=np.int64)


@dataclass(frozen=True)
class Choice:
    """What is served, and why. `figures`: question -> means -> metric -> estimate, on test."""

    tower: Tower | None
    share: float  # of caption-text search; 1: it alone, 0: the tower alone
    recipe: str | None
    reason: str
    gain: Estimate | None  # over caption-text search on validation, in what is chosen by
    figures: Mapping[str, Mapping[str, Mapping[str, Estimate]]]

    @property
    def means(self) -> str:
        """`captions`, `tower` or `both`."""
        return "captions" if self.share == 1 else "tower" if self.share == 0 else "both"


def choose(
    words: Words,
    encode: Callable[[Sequence[str]], Floats],
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
    *,
    seed: int = 0,
) -> Choice:
    """Fit towers on the training pictures, choose on validation, measure on test.

    `encode`: sentences -> unit vectors; `written`: caption-text search over everything; `unwritten`: rows ->
    the same with nothing but labels beside these.
    """
    train, val = (np.flatnonzero(words.split == one) for one in ("train", "val"))
    asked = {row for row in range(len(words.own)) if words.own[row]}
    of_val = np.array([row for row in val.tolist() if row in asked], dtype=np.int64)
    have = [row for row in train.tolist() if words.own[row]]
    if len(have) < LEAST:
        reason = f"{len(have)} training pictures have words, {LEAST} are needed to learn from"
        return Choice(None, 1.0, None, reason, None, {})
    if len(of_val) < VALIDATION:
        pool = np.array([row for row in [*train.tolist(), *val.tolist()] if row in asked], dtype=np.int64)
        rounds = [
            (
                np.setdiff1d(np.concatenate([train, val]), pool[words.fold[pool] == k]),
                pool[words.fold[pool] == k],
            )
            for k in range(FOLDS)
        ]
    else:
        rounds = [(train, of_val)]
    rounds = [(learn, _some(ask, ASKED // len(rounds))) for learn, ask in rounds if len(ask)]
    if not rounds:
        return Choice(None, 1.0, None, "no picture outside test has words to ask with", None, {})
    found = _validate(words, rounds, encode, written, unwritten, seed)
    first = {one: values[1].mean() for one, values in found.items()}
    best, share = max(
        (one for one in found if first[one] >= first[one[0], 1.0]),
        key=lambda one: (round(float(found[one][0].mean()), 6), one[1], one[0] == "linear"),
    )
    gain = paired_gain(found[best, share][0], found[best, 1.0][0], seed=seed)
    tower = fit_tower(*_learn(words, train, encode), RECIPES[best], seed=seed)
    serve = share if share < 1 and gain.low is not None and gain.low > 0 else 1.0
    reason = _reason(serve, share, gain)
    of_test = np.array(
        [row for row in np.flatnonzero(words.split == "test").tolist() if row in asked], dtype=np.int64
    )
    figures = _measured(words, _some(of_test, ASKED), tower, serve, encode, written, unwritten, seed)
    return Choice(tower, serve, best, reason, gain, figures)


def _learn(
    words: Words, rows: Ints, encode: Callable[[Sequence[str]], Floats]
) -> tuple[Floats, Floats, Ints]:
    texts, of = words.said(rows)
    return words.vectors[rows], encode(texts), of


def _validate(
    words: Words,
    rounds: Sequence[tuple[Ints, Ints]],
    encode: Callable[[Sequence[str]], Floats],
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
    seed: int,
) -> dict[tuple[str, float], npt.NDArray[np.float64]]:
    """(recipe, share) -> (2, m), of each picture that asks: the mean of recall@1 and recall@10 of both
    questions, and recall@1 of the first."""
    among = np.flatnonzero(words.split != "test")
    parts: dict[tuple[str, float], list[npt.NDArray[np.float64]]] = {
        (name, share): [] for name in RECIPES for share in SHARES
    }
    for learn, ask in rounds:
        known = _learn(words, learn, encode)
        towers = {name: fit_tower(*known, recipe, seed=seed) for name, recipe in RECIPES.items()}
        ranks = _ranks(words, ask, among, towers, SHARES, encode, written, unwritten)
        for name, share in parts:
            hits = [_hit(ranks[question, name, share], k) for question in QUESTIONS for k in (1, 10)]
            parts[name, share].append(np.stack([np.mean(hits, axis=0), hits[0]]))
    return {one: np.concatenate(values, axis=1) for one, values in parts.items()}


def _ranks(
    words: Words,
    ask: Ints,
    among: Ints,
    towers: Mapping[str, Tower],
    shares: Sequence[float],
    encode: Callable[[Sequence[str]], Floats],
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
) -> dict[tuple[str, str, float], npt.NDArray[np.float64]]:
    """(question, tower, share) -> how many rows `among` these are before each asking picture, and how many
    beside it (m, 2). Each asks with the longest of its own texts; what is not found ends in any order."""
    texts = [max(words.own[row], key=len) for row in ask.tolist()]
    sentences = encode(texts)
    meant = {name: tower.apply(sentences) for name, tower in towers.items()}
    without, pictures = unwritten(ask), words.vectors[among]
    found = {
        (question, name, share): np.zeros((len(ask), 2))
        for question in QUESTIONS
        for name in towers
        for share in shares
    }
    for i, (row, text) in enumerate(zip(ask.tolist(), texts, strict=True)):
        seen = {name: relevance(towers[name].likeness(meant[name][i], pictures)) for name in towers}
        said = dict(zip(QUESTIONS, (written(text)[among], without(text)[among]), strict=True))
        at = int(np.searchsorted(among, row))
        for question, name, share in found:
            score = share * said[question] + (1 - share) * seen[name]
            found[question, name, share][i] = (score > score[at]).sum(), (score == score[at]).sum()
    return found


def _hit(ranks: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """Whether it is among the k best; among equals, the chance that it is."""
    before, beside = ranks.T
    hit: npt.NDArray[np.float64] = np.clip((k - before) / np.maximum(beside, 1), 0, 1)
    return hit


def _measured(
    words: Words,
    ask: Ints,
    tower: Tower,
    share: float,
    encode: Callable[[Sequence[str]], Floats],
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
    seed: int,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    if not len(ask):
        return {}
    means, n = {"captions": 1.0, "tower": 0.0, "served": share}, len(words.vectors)
    ranks = _ranks(
        words, ask, np.arange(n), {"": tower}, sorted({*means.values()}), encode, written, unwritten
    )
    return {
        question: {
            "chance": {f"recall@{k}": Estimate(min(1.0, k / n), None, None, n) for k in (1, 10)},
            **{
                name: {
                    f"recall@{k}": bootstrap(_hit(ranks[question, "", one], k), seed=seed) for k in (1, 10)
                }
                for name, one in means.items()
            },
        }
        for question in QUESTIONS
    }


def _some(rows: Ints, most: int) -> Ints:
    """At most so many, evenly spread."""
    return rows[:: max(1, -(-len(rows) // max(1, most)))]


def _reason(serve: float, share: float, gain: Estimate) -> str:
    bounds = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] recall over {gain.n} pictures"
    if serve < 1:
        return f"{serve:.0%} what is written, {1 - serve:.0%} what is seen: {bounds}"
    if share == 1:
        return "caption-text search alone finds most"
    return f"a mixture does not beat caption-text search for certain: {bounds}"
