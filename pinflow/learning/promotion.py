"""The one rule by which a tuned head comes into use.

A candidate is promoted if, on a paired bootstrap over queries, the lower 95% bound of its gain in
MAP@R over what is served is above zero on unseen pictures of known labels, and (with 4 labels or more)
label-fold cross-validation shows no significant loss on unseen labels. And a part of a picture must find
the whole among the pictures of its label as often as in the frozen space, less `CROPS_LOST` at most: a space
that only knows labels has lost what tells their pictures apart.

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
from pinflow.learning.evaluate import Estimate, Relevance, Values, bootstrap, found_again, per_query
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.stages import Reads
from pinflow.learning.tune import MANY_SETS, Recipe, tune

MIN_LABELS = 4  # below, too few labels are left to learn from when some are put aside
# How far a head may go from the frozen space. Unseen labels choose, known ones then judge that choice
# alone, so the gain on them is not the best of several tries.
STRENGTHS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
CROPS_LOST = 0.01  # of the crops that find their picture


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
    reads: Reads = "last"
    crops: Estimate | None = None  # how much more often than in the frozen space a crop finds its picture


@dataclass(frozen=True)
class Choice:
    """Which head to tune, how far to go with it, and what it gains on unseen labels."""

    recipe: Recipe
    strength: float = 1.0
    unseen: Estimate | None = None


@dataclass(frozen=True)
class Gain:
    """Of a head: in MAP@R on known labels over what is served, and in crops found over the frozen space."""

    known: Estimate
    crops: Estimate

    @property
    def keeps_crops(self) -> bool:
        return self.crops.value is None or self.crops.value >= -CROPS_LOST


def decide(gain: Gain, choice: Choice) -> Promotion:
    """The rule. `choice`: what was chosen, with its gain on unseen labels, None where there are too few."""
    known, unseen = gain.known, choice.unseen

    def verdict(promoted: bool, reason: str) -> Promotion:
        return Promotion(
            promoted,
            reason,
            known.value,
            known.low,
            known.high,
            known.n,
            unseen,
            choice.strength,
            choice.recipe.kind,
            choice.recipe.reads,
            gain.crops,
        )

    if known.value is None or known.low is None or known.high is None:
        return verdict(False, "no query to measure with: more pictures are needed")
    told = f"{known.value:+.3f} [{known.low:+.3f}, {known.high:+.3f}] MAP@R over {known.n} queries"
    if known.low <= 0:
        return verdict(False, f"no sure gain on unseen pictures: {told}")
    if unseen is not None and unseen.high is not None and unseen.high < 0:
        lost = f"{unseen.value:+.3f} [{unseen.low:+.3f}, {unseen.high:+.3f}]"
        return verdict(False, f"gains on known labels ({told}) but loses on unseen ones ({lost})")
    if not gain.keeps_crops:
        crops = f"{gain.crops.value:+.3f} of {gain.crops.n} crops find their picture"
        return verdict(False, f"gains on known labels ({told}) but loses pictures inside them ({crops})")
    return verdict(True, f"gain on unseen pictures: {told}")


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
    strengths: Iterable[float] = (1.0,),
    folds: int = schema.FOLDS,
    seed: int = 0,
) -> dict[float, Gain]:
    """Out-of-fold gain of a head of each strength: each fold is asked and answers alone, by a head tuned on
    the other folds; its crops search among all pictures."""
    usable = data.in_splits("train", "val")
    gains: dict[float, list[Values]] = {strength: [np.zeros(0)] for strength in strengths}
    crops: dict[float, list[Values]] = {strength: [np.zeros(0)] for strength in strengths}
    for fold in range(folds):
        inside = data.fold % folds == fold
        whole = tune(data, np.flatnonzero(usable & ~inside), recipe, seed=seed)
        heads = [whole.softened(strength) for strength in gains]
        found = _gains(data, heads, served, np.flatnonzero(judged & inside), relevant)
        frozen, *again = (
            found_again(data, head, usable & inside, np.flatnonzero(usable)) for head in (IDENTITY, *heads)
        )
        for strength, gain, crop in zip(gains, found, again, strict=True):
            gains[strength].append(gain)
            crops[strength].append(crop - frozen)
    return {
        strength: Gain(*(bootstrap(np.concatenate(one[strength]), seed=seed) for one in (gains, crops)))
        for strength in gains
    }


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
    # With many labels half of them are enough to learn from, and it is sooner known.
    folds = min(schema.FOLDS if recipe.kind == "residual" else 2, len(present) // 2)
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


def choose(data: Dataset, served: Head, recipe: Recipe, *, judged: Mask, seed: int = 0) -> Choice:
    """The kind of head and what it reads, by unseen labels alone, so that known ones judge without bias.

    `affine` where there are `MANY_SETS` to know the directions by and it gains surely on labels put aside;
    else `residual`. Either reads the inner stages only if it gains surely on labels put aside; else the last
    vector alone, as strong as unseen labels allow.
    """
    views: tuple[Reads, ...] = ("last",) if data.stages is None else ("stages", "last")
    rows = np.flatnonzero(data.in_splits("train", "val"))
    many = len(recipe.positives.of(data, rows, seed=seed).sets()) >= MANY_SETS
    kinds = [recipe.as_affine(), recipe] if many else [recipe]
    gains: dict[float, Estimate] = {}
    for one in (kind.reading(reads) for kind in kinds for reads in views):
        gains = gain_on_unseen(data, served, one, judged=judged, seed=seed)
        sure = [strength for strength, gain in gains.items() if gain.low is not None and gain.low > 0]
        if sure:
            return Choice(one, max(sure), gains[max(sure)])
    strength = strongest(gains)
    return Choice(recipe, strength, gains.get(strength))


def held_back(gains: dict[float, Gain]) -> float:
    """The strongest head that keeps what tells the pictures of a label apart; the weakest if none does."""
    fine = [strength for strength, gain in gains.items() if gain.keeps_crops]
    return max(fine) if fine else min(gains)


def _gains(
    data: Dataset, heads: Iterable[Head], served: Head, asked: Ints, relevant: Relevance
) -> list[Values]:
    """For each head the gain in MAP@R of each query, `asked` being queries and gallery."""
    rows = np.arange(len(asked))

    def score(head: Head) -> Values:
        vectors = data.space(head, asked)
        return per_query(vectors, rows, rows, lambda a, b: relevant(asked[a], asked[b])).values["map@r"]

    base = score(served)
    return [score(head) - base for head in heads]
