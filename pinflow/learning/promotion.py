"""The one rule by which a tuned head comes into use.

A candidate is promoted if, on a paired bootstrap over queries, the lower 95% bound of its gain in
MAP@R over what is served is above zero on unseen pictures of known labels, and (with 8 labels or more)
label-fold cross-validation shows no significant loss on unseen labels.

The pictures are those of train and val, each scored by a head that was tuned without its fold (or
without its label): test takes no part in the decision. A served head is only compared on pictures
that it was not tuned on itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from pinflow import schema
from pinflow.learning.dataset import Dataset, Ints, Mask
from pinflow.learning.evaluate import Estimate, Relevance, Values, bootstrap, per_query
from pinflow.learning.head import Head
from pinflow.learning.tune import MANY_SETS, Recipe, tune

MIN_LABELS = 8  # below, too few labels are left to learn from when some are put aside
# How far a head may go from the frozen space. Unseen labels choose, known ones then judge that choice
# alone, so the gain on them is not the best of several tries.
STRENGTHS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)


@dataclass(frozen=True)
class Promotion:
    """The decision, with the gain in MAP@R over the served head and its 95% interval."""

    promoted: bool
    reason: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    queries: int = 0
    unseen_labels: Estimate | None = None  # the gain on labels that the head was not tuned on
    strength: float = 1.0  # of the candidate, see `STRENGTHS`
    kind: str = "residual"  # of the candidate's head


def decide(
    known: Estimate, unseen: Estimate | None = None, strength: float = 1.0, kind: str = "residual"
) -> Promotion:
    """The rule. `known`: gain on known labels; `unseen`: on unseen ones, None where there are too few."""

    def verdict(promoted: bool, reason: str) -> Promotion:
        return Promotion(
            promoted, reason, known.value, known.low, known.high, known.n, unseen, strength, kind
        )

    if known.value is None or known.low is None or known.high is None:
        return verdict(False, "no query to measure with: more pictures are needed")
    gain = f"{known.value:+.3f} [{known.low:+.3f}, {known.high:+.3f}] MAP@R over {known.n} queries"
    if known.low <= 0:
        return verdict(False, f"no sure gain on unseen pictures: {gain}")
    if unseen is not None and unseen.high is not None and unseen.high < 0:
        lost = f"{unseen.value:+.3f} [{unseen.low:+.3f}, {unseen.high:+.3f}]"
        return verdict(False, f"gains on known labels ({gain}) but loses on unseen ones ({lost})")
    return verdict(True, f"gain on unseen pictures: {gain}")


def unseen_by(data: Dataset, served: Head, trained_on: Collection[str]) -> Mask:
    """Pictures of train and val on which the served head may be judged.

    All of them for the identity; else those whose sha256 and group are not in `trained_on`; and if that
    is not known, only val, which no encoder is ever tuned on.
    """
    if served.kind == "identity":
        return data.in_splits("train", "val")
    if not trained_on:
        return data.in_splits("val")
    seen = list(trained_on)
    known = np.isin(data.sha256, seen) | np.isin(data.group, seen)
    return data.in_splits("train", "val") & ~known


def gain_on_known(
    data: Dataset,
    served: Head,
    recipe: Recipe,
    *,
    judged: Mask,
    relevant: Relevance,
    strength: float = 1.0,
    folds: int = schema.FOLDS,
    seed: int = 0,
) -> Estimate:
    """Out-of-fold gain: each fold is asked and answers alone, by a head tuned on the other folds."""
    usable = data.in_splits("train", "val")
    gains = [np.zeros(0)]
    for fold in range(folds):
        inside = data.fold % folds == fold
        head = tune(data, np.flatnonzero(usable & ~inside), recipe, seed=seed).softened(strength)
        gains += _gains(data, [head], served, np.flatnonzero(judged & inside), relevant)
    return bootstrap(np.concatenate(gains), seed=seed)


def gain_on_unseen(
    data: Dataset, served: Head, recipe: Recipe, *, judged: Mask, seed: int = 0
) -> dict[float, Estimate]:
    """For each of `STRENGTHS` (an `affine` head has but one) the gain on labels that were put aside, a few
    at a time. Empty with fewer than `MIN_LABELS` labels."""
    usable = data.in_splits("train", "val")
    present = np.unique(data.labels[usable])
    present = present[present >= 0]
    if len(present) < MIN_LABELS:
        return {}
    # By the names' hashes, so that neighbours in the alphabet do not share a fold.
    shuffled = sorted(present, key=lambda one: hashlib.sha256(data.label_names[one].encode()).hexdigest())
    folds = min(schema.FOLDS, len(present) // 2)
    strengths = STRENGTHS if recipe.kind == "residual" else STRENGTHS[:1]
    gains: dict[float, list[Values]] = {strength: [np.zeros(0)] for strength in strengths}
    for fold in range(folds):
        aside = data.in_labels(np.array(shuffled[fold::folds]))
        # A group may span labels: what is asked must not have been learned under another one.
        learned = usable & ~aside & ~np.isin(data.group, data.group[aside])
        head = tune(data, np.flatnonzero(learned), recipe, seed=seed)
        heads = [head.softened(strength) for strength in strengths]
        found = _gains(data, heads, served, np.flatnonzero(judged & aside), data.same_label)
        for strength, gain in zip(strengths, found, strict=True):
            gains[strength].append(gain)
    return {strength: bootstrap(np.concatenate(found), seed=seed) for strength, found in gains.items()}


def strongest(unseen: dict[float, Estimate]) -> float:
    """The strongest head without a significant loss on unseen labels; the weakest if each loses."""
    fine = [strength for strength, gain in unseen.items() if gain.high is None or gain.high >= 0]
    return max(fine) if fine else min(unseen, default=1.0)


@dataclass(frozen=True)
class Choice:
    """Which head to tune, how far to go with it, and what it gains on unseen labels."""

    recipe: Recipe
    strength: float = 1.0
    unseen: Estimate | None = None


def choose(data: Dataset, served: Head, recipe: Recipe, *, judged: Mask, seed: int = 0) -> Choice:
    """The kind of head, by unseen labels alone, so that known ones can judge it without bias.

    `affine` where there are `MANY_SETS` to know the directions by and it gains surely on labels put aside;
    else `residual`, as strong as unseen labels allow.
    """
    rows = np.flatnonzero(data.in_splits("train", "val"))
    if len(recipe.positives.of(data, rows, seed=seed).sets()) >= MANY_SETS:
        wide = recipe.as_affine()
        gain = gain_on_unseen(data, served, wide, judged=judged, seed=seed).get(1.0)
        if gain is not None and gain.low is not None and gain.low > 0:
            return Choice(wide, 1.0, gain)
    gains = gain_on_unseen(data, served, recipe, judged=judged, seed=seed)
    strength = strongest(gains)
    return Choice(recipe, strength, gains.get(strength))


def _gains(
    data: Dataset, heads: Iterable[Head], served: Head, asked: Ints, relevant: Relevance
) -> list[Values]:
    """For each head the gain in MAP@R of each query, `asked` being queries and gallery."""
    rows = np.arange(len(asked))

    def score(head: Head) -> Values:
        vectors = head.apply(data.vectors[asked])
        return per_query(vectors, rows, rows, lambda a, b: relevant(asked[a], asked[b])).values["map@r"]

    base = score(served)
    return [score(head) - base for head in heads]
