"""Protocols: who is asked what, after learning from whom. The measures stand in `evaluate`.

`instance`: pictures of labels that training knew, each fold of groups by a head that never saw it.
`class_disjoint`: labels that training never saw, half of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pinflow import schema
from pinflow.learning.dataset import Dataset, Floats, Ints
from pinflow.learning.evaluate import Estimate, Values, bootstrap, paired_gain, per_query
from pinflow.learning.head import IDENTITY
from pinflow.learning.promotion import choose
from pinflow.learning.tune import Recipe, tune

REPORTED = ("recall@1", "map@r")
DEFAULT = Recipe()


def known_and_unseen(
    vectors: Floats,
    labels: Ints,
    *,
    groups: Ints,
    stages: Floats | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    recipe: Recipe = DEFAULT,
) -> dict[str, dict[str, Estimate]]:
    """Figures of the default head beside the frozen space, means over seeds, for both protocols.

    `labels`, `groups` (n,): pictures of a group never stand on both sides. The kind and strength of the
    head are chosen on the learning side alone. Protocol -> `frozen`, `head` and `gain` of each metric.
    """
    found: dict[str, dict[str, Estimate]] = {}
    for name in ("known labels", "unseen labels"):
        runs = [
            _run(vectors, stages, labels, groups, recipe, seed, disjoint=name == "unseen labels")
            for seed in seeds
        ]
        for metric in REPORTED:
            frozen, ours = (np.mean([run[which][metric] for run in runs], axis=0) for which in (0, 1))
            found.setdefault(name, {})[f"frozen {metric}"] = bootstrap(frozen)
            found[name][f"head {metric}"] = bootstrap(ours)
            found[name][f"gain {metric}"] = paired_gain(ours, frozen)
    return found


def _run(
    vectors: Floats,
    stages: Floats | None,
    labels: Ints,
    groups: Ints,
    recipe: Recipe,
    seed: int,
    *,
    disjoint: bool,
) -> tuple[dict[str, Values], dict[str, Values]]:
    """Per picture, frozen and tuned; NaN-free: what has nothing to find counts 0 in both."""
    rng = np.random.default_rng(seed)
    # Folds of the protocol; the folds of the data set are those of the choice inside the learning side.
    side = _deal(labels, 2, rng) if disjoint else _deal(groups, schema.FOLDS, rng)
    inner = _deal(groups, schema.FOLDS, rng)
    both = tuple({metric: np.zeros(len(labels)) for metric in REPORTED} for _ in range(2))
    for fold in range(int(side.max()) + 1):
        aside = side == fold
        split = np.where(aside | np.isin(groups, groups[aside]), "held_out", "train")
        data = _dataset(vectors, stages, labels, groups, split, inner)
        learned = data.in_splits("train")
        choice = choose(data, IDENTITY, recipe, judged=learned, seed=seed)
        head = tune(data, np.flatnonzero(learned), choice.recipe, seed=seed).softened(choice.strength)
        asked = np.flatnonzero(aside)
        for scores, space in zip(both, (IDENTITY, head), strict=True):
            score = per_query(data.space(space), asked, asked, data.same_label)
            for metric in REPORTED:
                scores[metric][score.rows] = score.values[metric]
    return both[0], both[1]


def _deal(of: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """A fold for each row (n,): all rows of one value go to one fold, as many values in each."""
    values, number = np.unique(of, return_inverse=True)
    dealt: Ints = (rng.permutation(len(values)) % folds)[number]
    return dealt


def _dataset(
    vectors: Floats,
    stages: Floats | None,
    labels: Ints,
    groups: Ints,
    split: npt.NDArray[np.str_],
    fold: Ints,
) -> Dataset:
    return Dataset(
        vectors,
        np.arange(len(vectors)).astype(str),
        groups.astype(str),
        split,
        fold,
        tuple(f"label {one}" for one in range(int(labels.max(initial=-1)) + 1)),
        labels[:, None],
        np.zeros((0, 2), dtype=np.int64),
        stages=stages,
    )
