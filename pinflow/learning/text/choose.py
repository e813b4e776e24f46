"""What answers a search by words: what is written, what is seen, or both. Chosen on validation, measured on
test.

Three questions of every picture, because people ask all of them:

- `written`: its own words, as they stand beside it, asked of everything as it is;
- `partly`: the first few of its words, among others that nobody wrote;
- `unwritten`: the same words, asked as if nothing were written beside the pictures in question, only the
  labels that they were found under. Nobody else's words give them away, and no training saw them.

The answer is a mixture of caption-text search and one contender's tower: so much of the former where some
picture holds all the words, so much where none does and what is written is a guess (`Shares`). Those with
the best recall@10 over the questions are taken. They differ from caption-text search alone only where the
lower 95% bound of the gain in that is above zero, and where who types what is written finds it first as
often as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pinflow.learning.evaluate import Estimate, bootstrap, paired_gain
from pinflow.learning.text.contenders import Contender
from pinflow.learning.text.tower import Shares, Tower, relevance
from pinflow.learning.text.tune import LEAST, fit_tower

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
# words -> relevance (n,) in 0..1 of every picture, 0: not found; and whether some picture holds all the words
Relevance = Callable[[str], tuple[Floats, bool]]
Ranks = npt.NDArray[np.float64]  # (m, 2): how many are before each asking picture, and how many beside it

WHOLE = (1.0, 0.98, 0.9, 0.75)
PARTIAL = (1.0, 0.75, 0.5, 0.25, 0.0)
WRITTEN_ALONE, SEEN_ALONE = Shares(1.0, 1.0), Shares(0.0, 0.0)
VALIDATION = 200  # pictures; with fewer in val, every picture outside test is asked out of fold
ASKED = 1000  # pictures at most that ask
FOLDS = 5
QUESTIONS = ("written", "partly", "unwritten")
FIRST_WORDS = 4
CAPTIONS = "captions"


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
    """What is served, and why. `figures`: question -> means -> metric -> estimate, on test; `validated`: the
    recall@10 that was chosen by, of caption-text search and of each contender at its best share."""

    tower: Tower | None
    shares: Shares  # of caption-text search; 1: it alone, 0: the tower alone
    contender: str | None
    sentences: str | None  # the model that the tower takes its sentences from
    reason: str
    gain: Estimate | None = None  # over caption-text search on validation, in what is chosen by
    figures: Mapping[str, Mapping[str, Mapping[str, Estimate]]] = field(default_factory=dict)
    validated: Mapping[str, float] = field(default_factory=dict)

    @property
    def means(self) -> str:
        """`captions`, `tower` or `both`."""
        return {WRITTEN_ALONE: CAPTIONS, SEEN_ALONE: "tower"}.get(self.shares, "both")


def choose(
    words: Words,
    contenders: Sequence[Contender],
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
    *,
    seed: int = 0,
) -> Choice:
    """Fit every contender on the training pictures, choose on validation, measure on test.

    `written`: caption-text search over everything; `unwritten`: rows -> the same with nothing but labels
    beside these. Of equals, the earlier contender and the greater share of what is written.
    """
    train, val = (np.flatnonzero(words.split == one) for one in ("train", "val"))
    asked = {row for row in range(len(words.own)) if words.own[row]}
    have = [row for row in train.tolist() if words.own[row]]
    if len(have) < LEAST:
        return _captions(f"{len(have)} training pictures have words, {LEAST} are needed to learn from")
    rounds = _rounds(words, train, val, asked)
    if not rounds:
        return _captions("no picture outside test has words to ask with")
    found = _validate(words, rounds, contenders, written, unwritten, seed)
    means = {one: found[one][0].mean() for one in found}
    as_before = [one for one in found if found[one][1].mean() >= found[one[0], WRITTEN_ALONE][1].mean()]
    order = {one.name: -number for number, one in enumerate(contenders)}
    best, shares = max(as_before, key=lambda one: (round(float(means[one]), 6), one[1], order[one[0]]))
    gain = paired_gain(found[best, shares][0], found[best, WRITTEN_ALONE][0], seed=seed)
    contender = next(one for one in contenders if one.name == best)
    tower = _fitted(words, train, contender, seed)
    serve = shares if shares != WRITTEN_ALONE and gain.low is not None and gain.low > 0 else WRITTEN_ALONE
    of_test = np.array(
        [row for row in np.flatnonzero(words.split == "test").tolist() if row in asked], dtype=np.int64
    )
    return Choice(
        tower,
        serve,
        best,
        contender.sentences,
        _reason(serve, shares, gain, best),
        gain,
        _measured(words, _some(of_test, ASKED), contender, tower, serve, written, unwritten, seed),
        {
            CAPTIONS: float(means[best, WRITTEN_ALONE]),
            **{name: max(float(means[one]) for one in as_before if one[0] == name) for name in order},
        },
    )


def _captions(reason: str) -> Choice:
    return Choice(None, WRITTEN_ALONE, None, None, reason)


def _rounds(words: Words, train: Ints, val: Ints, asked: set[int]) -> list[tuple[Ints, Ints]]:
    """Pictures to learn from and pictures to ask with: val, or, where it is small, folds of train and val."""
    of_val = np.array([row for row in val.tolist() if row in asked], dtype=np.int64)
    if len(of_val) >= VALIDATION:
        return [(train, _some(of_val, ASKED))]
    both = np.concatenate([train, val])
    pool = np.array([row for row in both.tolist() if row in asked], dtype=np.int64)
    parts = [pool[words.fold[pool] == k] for k in range(FOLDS)]
    return [(np.setdiff1d(both, part), _some(part, ASKED // FOLDS)) for part in parts if len(part)]


def _fitted(words: Words, rows: Ints, contender: Contender, seed: int) -> Tower:
    texts, of = words.said(rows)
    sentences = contender.encode(texts)
    return fit_tower(words.vectors[rows], sentences, of, contender.recipe, start=contender.start, seed=seed)


def _validate(
    words: Words,
    rounds: Sequence[tuple[Ints, Ints]],
    contenders: Sequence[Contender],
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
    seed: int,
) -> dict[tuple[str, Shares], npt.NDArray[np.float64]]:
    """(contender, shares) -> (2, m), of each picture that asks: recall@10 over the questions, and recall@1 of
    the first."""
    among = np.flatnonzero(words.split != "test")
    pairs = [Shares(whole, partial) for whole in WHOLE for partial in PARTIAL]
    parts: dict[tuple[str, Shares], list[npt.NDArray[np.float64]]] = {
        (one.name, pair): [] for one in contenders for pair in pairs
    }
    for learn, ask in rounds:
        towers = [(one, _fitted(words, learn, one, seed)) for one in contenders]
        ranks = _ranks(words, ask, among, towers, pairs, written, unwritten)
        for name, pair in parts:
            hits = [_hit(ranks[question, name, pair], 10) for question in QUESTIONS]
            first = _hit(ranks[QUESTIONS[0], name, pair], 1)
            parts[name, pair].append(np.stack([np.mean(hits, axis=0), first]))
    return {one: np.concatenate(values, axis=1) for one, values in parts.items()}


def _ranks(
    words: Words,
    ask: Ints,
    among: Ints,
    towers: Sequence[tuple[Contender, Tower]],
    pairs: Sequence[Shares],
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
) -> dict[tuple[str, str, Shares], Ranks]:
    """(question, contender, shares) -> where among the rows `among` each asking picture comes. Each asks with
    the longest of its own texts; what is not found ends in any order."""
    whole = [max(words.own[row], key=len) for row in ask.tolist()]
    some = [f"a picture of {' '.join(words.own[row][0].split()[:FIRST_WORDS])}" for row in ask.tolist()]
    texts = {"written": whole, "partly": some, "unwritten": whole}
    searches = {"written": written, "partly": written, "unwritten": unwritten(ask)}
    meant = {
        (question, one.name): (tower, tower.apply(one.encode(said)))
        for question, said in texts.items()
        for one, tower in towers
    }
    pictures, places = words.vectors[among], np.searchsorted(among, ask).tolist()
    found = {(*one, pair): np.zeros((len(ask), 2)) for one in meant for pair in pairs}
    for i, at in enumerate(places):
        asked = {question: search(texts[question][i]) for question, search in searches.items()}
        for (question, name), (tower, of) in meant.items():
            everywhere, all_there = asked[question]
            said, like = everywhere[among], relevance(tower.likeness(of[i], pictures))
            come: dict[float, tuple[int, int]] = {}
            for pair in pairs:
                share = pair.whole if all_there else pair.partial
                if share not in come:
                    score = share * said + (1 - share) * like
                    come[share] = int((score > score[at]).sum()), int((score == score[at]).sum())
                found[question, name, pair][i] = come[share]
    return found


def _hit(ranks: Ranks, k: int) -> npt.NDArray[np.float64]:
    """Whether it is among the k best; among equals, the chance that it is."""
    before, beside = ranks.T
    hit: npt.NDArray[np.float64] = np.clip((k - before) / np.maximum(beside, 1), 0, 1)
    return hit


def _measured(
    words: Words,
    ask: Ints,
    contender: Contender,
    tower: Tower,
    serve: Shares,
    written: Relevance,
    unwritten: Callable[[Ints], Relevance],
    seed: int,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    if not len(ask):
        return {}
    means, n = {CAPTIONS: WRITTEN_ALONE, "tower": SEEN_ALONE, "served": serve}, len(words.vectors)
    ranks = _ranks(
        words, ask, np.arange(n), [(contender, tower)], sorted({*means.values()}), written, unwritten
    )
    return {
        question: {
            "chance": {f"recall@{k}": Estimate(min(1.0, k / n), None, None, n) for k in (1, 10)},
            **{
                name: {
                    f"recall@{k}": bootstrap(_hit(ranks[question, contender.name, one], k), seed=seed)
                    for k in (1, 10)
                }
                for name, one in means.items()
            },
        }
        for question in QUESTIONS
    }


def _some(rows: Ints, most: int) -> Ints:
    """At most so many, evenly spread."""
    return rows[:: max(1, -(-len(rows) // max(1, most)))]


def _reason(serve: Shares, best: Shares, gain: Estimate, contender: str) -> str:
    bounds = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] recall@10 over {gain.n} pictures"
    if serve != WRITTEN_ALONE:
        return (
            f"what is written counts {serve.whole:.0%} where it holds all the words and {serve.partial:.0%} "
            f"elsewhere, what is seen ({contender}) the rest: {bounds}"
        )
    if best == WRITTEN_ALONE:
        return "caption-text search alone finds most"
    return f"a mixture does not beat caption-text search for certain: {bounds}"
