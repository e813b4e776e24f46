"""Protocols: who is asked what, after learning from whom. The measures stand in `evaluate`.

`instance`: pictures of labels that training knew, each fold of groups by a head that never saw it.
`class_disjoint`: labels that training never saw, half of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pinflow import schema
from pinflow.learning.dataset import Crops, Dataset, Floats, Ints, Mask
from pinflow.learning.evaluate import Estimate, Values, bootstrap, found_again, paired_gain, per_query
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.promotion import STRENGTHS, choose, gain_on_known, held_back
from pinflow.learning.tune import Recipe, tune

# Of same-label search, of search for the same thing among all pictures, and of crops (`found_again`).
REPORTED = ("recall@1", "map@r", "group recall@1", "crop recall@1")
DEFAULT = Recipe()


def known_and_unseen(
    vectors: Floats,
    labels: Ints,
    *,
    groups: Ints,
    stages: Floats | None = None,
    crops: tuple[Floats, Floats] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    recipe: Recipe = DEFAULT,
) -> dict[str, dict[str, Estimate]]:
    """Figures of the default head beside the frozen space, means over seeds, for both protocols.

    `labels`, `groups` (n,): pictures of a group (one thing) never stand on both sides; `crops`: vectors and
    stages of a part of each. The head is chosen on the learning side alone: view, kind and strength.
    Protocol -> `frozen`, `head` and `gain` of each metric, over the pictures that have something to find.
    """
    every = np.arange(len(labels))
    parts = None if crops is None else Crops(every, *crops)
    data = _dataset(vectors, stages, parts, labels, groups)
    found: dict[str, dict[str, Estimate]] = {}
    for name in ("known labels", "unseen labels"):
        runs = [_run(data, labels, groups, recipe, seed, disjoint=name == "unseen labels") for seed in seeds]
        for metric in REPORTED:
            frozen, ours = (np.mean([run[which][metric] for run in runs], axis=0) for which in (0, 1))
            asked = ~np.isnan(frozen)
            frozen, ours = frozen[asked], ours[asked]
            found.setdefault(name, {})[f"frozen {metric}"] = bootstrap(frozen)
            found[name][f"head {metric}"] = bootstrap(ours)
            found[name][f"gain {metric}"] = paired_gain(ours, frozen)
    return found


def _run(
    data: Dataset, labels: Ints, groups: Ints, recipe: Recipe, seed: int, *, disjoint: bool
) -> tuple[dict[str, Values], dict[str, Values]]:
    """Per picture, frozen and tuned; NaN for what has nothing to find."""
    rng = np.random.default_rng(seed)
    # Folds of the protocol; the folds of the data set are those of the choice inside the learning side.
    side = _deal(labels, 2, rng) if disjoint else _deal(groups, schema.FOLDS, rng)
    inner = _deal(groups, schema.FOLDS, rng)
    both = tuple({metric: np.full(len(labels), np.nan) for metric in REPORTED} for _ in range(2))
    every = np.arange(len(labels))

    def same(a: Ints, b: Ints) -> Mask:
        return np.asarray(groups[a][:, None] == groups[b][None, :])

    for fold in range(int(side.max()) + 1):
        aside = side == fold
        split = np.where(aside | np.isin(groups, groups[aside]), "held_out", "train")
        here = replace(data, split=split, fold=inner)
        learned = here.in_splits("train")
        head = _head(here, learned, recipe, seed)
        asked = np.flatnonzero(aside)
        for scores, space in zip(both, (IDENTITY, head), strict=True):
            found = here.space(space)
            score = per_query(found, asked, asked, here.same_label)
            for metric in ("recall@1", "map@r"):
                scores[metric][score.rows] = score.values[metric]
            score = per_query(found, asked, every, same)
            scores["group recall@1"][score.rows] = score.values["recall@1"]
            if here.crops is not None:
                scores["crop recall@1"][asked] = found_again(here, space, aside, every)
    return both[0], both[1]


def _head(data: Dataset, learned: Mask, recipe: Recipe, seed: int) -> Head:
    """The default head: chosen and held back on the learning side as a collection's is; never refused."""
    choice = choose(data, IDENTITY, recipe, judged=learned, seed=seed)
    head = tune(data, np.flatnonzero(learned), choice.recipe, seed=seed)
    softer = [one for one in STRENGTHS if one <= choice.strength] if head.kind == "residual" else [1.0]
    gains = gain_on_known(
        data,
        IDENTITY,
        choice.recipe,
        judged=learned,
        relevant=data.same_label,
        strengths=softer,
        seed=seed,
    )
    return head.softened(held_back(gains))


def _deal(of: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """A fold for each row (n,): all rows of one value go to one fold, as many values in each."""
    values, number = np.unique(of, return_inverse=True)
    dealt: Ints = (rng.permutation(len(values)) % folds)[number]
    return dealt


def _dataset(
    vectors: Floats, stages: Floats | None, crops: Crops | None, labels: Ints, groups: Ints
) -> Dataset:
    return Dataset(
        vectors,
        np.arange(len(vectors)).astype(str),
        groups.astype(str),
        np.full(len(vectors), "train"),
        np.zeros(len(vectors), dtype=np.int64),
        tuple(f"label {one}" for one in range(int(labels.max(initial=-1)) + 1)),
        labels[:, None],
        np.zeros((0, 2), dtype=np.int64),
        stages=stages,
        crops=crops,
    )
