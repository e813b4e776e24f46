"""Evidence for a tag: the most similar pictures that are known, and how far they agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pinflow.learning.dataset import Floats

NEIGHBOURS = 10


@dataclass(frozen=True)
class Evidence:
    """The nearest rows of a gallery, best first, and the share of them that speaks for each label."""

    rows: tuple[int, ...]
    similarities: tuple[float, ...]
    support: dict[str, float]  # label -> share of the neighbours' similarity, over all that have it


def evidence(
    vector: Floats, gallery: Floats, labels: Sequence[Sequence[str]], *, count: int = NEIGHBOURS
) -> Evidence:
    """`vector` (d,) and `gallery` (n, d), unit, of one space; `labels`: those of each row."""
    similarity = gallery @ vector
    nearest = np.argsort(-similarity, kind="stable")[:count]
    weight = np.maximum(similarity[nearest], 0)
    total = float(weight.sum()) or 1.0
    support: dict[str, float] = {}
    for row, part in zip(nearest.tolist(), weight.tolist(), strict=True):
        for label in labels[row]:
            support[label] = support.get(label, 0.0) + part / total
    ranked = dict(sorted(support.items(), key=lambda one: (-one[1], one[0])))
    return Evidence(tuple(nearest.tolist()), tuple(similarity[nearest].tolist()), ranked)
